/** Statements that define databases and tables. */
import type { Properties, TableName } from '../nodes/clauses.ts';
import type { Expr } from '../nodes/expr.ts';
import type {
  Aggregation,
  ColumnSpec,
  CreateDatabase,
  CreateTable,
  CreateTableLike,
  Distribution,
  DropDatabase,
  DropTable,
  IndexSpec,
  KeysSpec,
  Partitioning,
  PartitionBound,
  PartitionSpec,
  PartitionSpecValues,
  RenameTables,
  RollupSpec,
  TruncateTable,
} from '../nodes/tables.ts';
import { columnType } from '../column_types.ts';
import { K, Name, T } from '../tokens.ts';
import { ClusterRules } from './cluster.ts';
import { alts } from './expr.ts';

type CharsetOptions = { charset: string | undefined; collation: string | undefined };
type Elements = Pick<CreateTable, 'columns' | 'indexes' | 'primaryKey'>;
type TableOptions = CharsetOptions & { engine: string | undefined; comment: string | undefined };

export class TableRules extends ClusterRules {
  createDatabase = this.RULE('createDatabase', (): CreateDatabase => {
    this.CONSUME(K.CREATE);
    this.OR([{ ALT: () => this.CONSUME(K.DATABASE) }, { ALT: () => this.CONSUME(K.SCHEMA) }]);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const name = this.SUBRULE(this.name);
    const options: CharsetOptions = { charset: undefined, collation: undefined };
    this.MANY(() => this.SUBRULE(this.charsetOption, { ARGS: [options] }));
    const properties = this.SUBRULE(this.properties);
    const { charset, collation } = options;
    return { kind: 'CreateDatabase', name, ifNotExists, charset, collation, properties };
  });

  /** `[DEFAULT] CHARSET | CHARACTER SET | COLLATE [=] name`. */
  charsetOption = this.RULE('charsetOption', (options: CharsetOptions): void => {
    this.OPTION(() => this.CONSUME(K.DEFAULT));
    const collate = this.OR([
      { ALT: () => (this.CONSUME(K.COLLATE), true) },
      { ALT: () => (this.CONSUME(K.CHARSET), false) },
      {
        ALT: () => {
          this.CONSUME(K.CHARACTER);
          this.CONSUME(K.SET);
          return false;
        },
      },
    ]);
    this.OPTION2(() => this.CONSUME(T.Eq));
    const name = this.SUBRULE(this.nameOrString);
    if (this.RECORDING_PHASE) return;
    if (collate) options.collation = name;
    else options.charset = name;
  });

  dropDatabase = this.RULE('dropDatabase', (): DropDatabase => {
    this.CONSUME(K.DROP);
    this.OR([{ ALT: () => this.CONSUME(K.DATABASE) }, { ALT: () => this.CONSUME(K.SCHEMA) }]);
    const ifExists = this.SUBRULE(this.ifExists);
    const name = this.SUBRULE(this.name);
    return { kind: 'DropDatabase', name, ifExists, force: this.SUBRULE(this.forceWord) };
  });

  createTable = this.RULE('createTable', (): CreateTable | CreateTableLike => {
    this.CONSUME(K.CREATE);
    const temporary = this.OPTION(() => this.CONSUME(K.TEMPORARY)) !== undefined;
    this.CONSUME(K.TABLE);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const table = this.SUBRULE(this.tableName);
    return this.OR(
      alts<CreateTable | CreateTableLike>([
        {
          ALT: () => {
            this.CONSUME(K.LIKE);
            const like = this.SUBRULE2(this.tableName);
            return { kind: 'CreateTableLike', table, ifNotExists, like };
          },
        },
        {
          ALT: () => {
            const elements = this.SUBRULE(this.tableElements);
            const rest = this.SUBRULE(this.tableRest);
            const kind = 'CreateTable' as const;
            return { kind, table, ifNotExists, temporary, ...elements, ...rest };
          },
        },
      ]),
    );
  });

  tableElements = this.RULE('tableElements', (): Elements => {
    const columns: ColumnSpec[] = [];
    const indexes: IndexSpec[] = [];
    let primaryKey: readonly string[] = [];
    this.CONSUME(T.LParen);
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        this.OR([
          { ALT: () => void columns.push(this.SUBRULE(this.columnSpec)) },
          {
            ALT: () => {
              this.CONSUME(K.PRIMARY);
              this.CONSUME(K.KEY);
              primaryKey = this.SUBRULE(this.nameList);
            },
          },
          { ALT: () => void indexes.push(this.SUBRULE(this.indexSpec)) },
        ]);
      },
    });
    this.CONSUME(T.RParen);
    return { columns, indexes, primaryKey };
  });

  columnSpec = this.RULE('columnSpec', (): ColumnSpec => {
    const at = this.LA(1).startOffset;
    const name = this.SUBRULE(this.name);
    const type = this.SUBRULE(this.columnType);
    const column = {
      key: false,
      primary: false,
      aggregation: undefined as Aggregation | undefined,
      nullable: undefined as boolean | undefined,
      autoIncrement: false,
      defaultValue: undefined as Expr | undefined,
      comment: undefined as string | undefined,
    };
    this.MANY(() => {
      this.OR([
        { ALT: () => (this.CONSUME(K.KEY), (column.key = true)) },
        { ALT: () => (column.aggregation = this.SUBRULE(this.aggregation)) },
        { ALT: () => (this.CONSUME(K.NULL), (column.nullable = true)) },
        {
          ALT: () => {
            this.CONSUME(K.NOT);
            this.CONSUME2(K.NULL);
            column.nullable = false;
          },
        },
        { ALT: () => (this.CONSUME(K.AUTO_INCREMENT), (column.autoIncrement = true)) },
        {
          ALT: () => {
            this.CONSUME(K.DEFAULT);
            column.defaultValue = this.SUBRULE(this.unary);
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.COMMENT);
            column.comment = this.SUBRULE(this.stringLiteral);
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.PRIMARY);
            this.CONSUME2(K.KEY);
            column.primary = true;
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.COLLATE);
            this.SUBRULE(this.nameOrString);
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.CHARACTER);
            this.CONSUME(K.SET);
            this.SUBRULE2(this.nameOrString);
          },
        },
      ]);
    });
    return { name, type, ...column, at };
  });

  columnType = this.RULE('columnType', () => {
    const { image: name } = this.OR([
      { ALT: () => this.CONSUME(Name) },
      { ALT: () => this.CONSUME(K.SET) },
    ]);
    // DOUBLE PRECISION
    this.OPTION({
      GATE: () => this.LA(1).image.toUpperCase() === 'PRECISION',
      DEF: () => this.CONSUME(T.Word),
    });
    let args: number[] | null = null;
    this.OPTION2(() => {
      this.CONSUME(T.LParen);
      const numbers: number[] = [];
      this.OR2([
        { ALT: () => this.CONSUME(T.Star) },
        {
          ALT: () =>
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => void numbers.push(this.SUBRULE(this.integer)),
            }),
        },
      ]);
      this.CONSUME(T.RParen);
      args = numbers;
    });
    const unsigned = this.OPTION3(() =>
      this.OR3([
        { ALT: () => (this.CONSUME(K.UNSIGNED), true) },
        { ALT: () => (this.CONSUME(K.SIGNED), false) },
      ]),
    );
    if (this.RECORDING_PHASE) return { kind: 'INT' } as const;
    return columnType({ name, args, unsigned: unsigned ?? false });
  });

  aggregation = this.RULE('aggregation', (): Aggregation =>
    this.OR(
      alts<Aggregation>([
        { ALT: () => (this.CONSUME(K.SUM), 'SUM') },
        { ALT: () => (this.CONSUME(K.MIN), 'MIN') },
        { ALT: () => (this.CONSUME(K.MAX), 'MAX') },
        { ALT: () => (this.CONSUME(K.REPLACE), 'REPLACE') },
        { ALT: () => (this.CONSUME(K.REPLACE_IF_NOT_NULL), 'REPLACE_IF_NOT_NULL') },
        { ALT: () => (this.CONSUME(K.HLL_UNION), 'HLL_UNION') },
        { ALT: () => (this.CONSUME(K.BITMAP_UNION), 'BITMAP_UNION') },
      ]),
    ),
  );

  indexSpec = this.RULE('indexSpec', (): IndexSpec => {
    const unique = this.OPTION(() => this.CONSUME(K.UNIQUE)) !== undefined;
    this.OR([{ ALT: () => this.CONSUME(K.INDEX) }, { ALT: () => this.CONSUME(K.KEY) }]);
    this.SUBRULE(this.ifNotExists);
    const name = this.OPTION2(() => this.SUBRULE(this.name));
    const columns = this.SUBRULE(this.nameList);
    const using = this.OPTION3(() => {
      this.CONSUME(K.USING);
      return this.CONSUME(Name).image.toUpperCase();
    });
    const properties = this.SUBRULE(this.properties);
    const comment = this.SUBRULE(this.commentClause);
    return { name, unique, columns, using, properties, comment };
  });

  commentClause = this.RULE('commentClause', (): string | undefined =>
    this.OPTION(() => {
      this.CONSUME(K.COMMENT);
      this.OPTION2(() => this.CONSUME(T.Eq));
      return this.SUBRULE(this.stringLiteral);
    }),
  );

  /** What follows the column list. */
  tableRest = this.RULE(
    'tableRest',
    (): Omit<CreateTable, 'kind' | 'table' | 'ifNotExists' | 'temporary' | keyof Elements> => {
      const options = noOptions();
      // COMMENT = is an option, COMMENT '..' comes after the keys.
      this.MANY({
        MAX_LOOKAHEAD: 2,
        DEF: () => this.SUBRULE(this.tableOption, { ARGS: [options] }),
      });
      const keys = this.OPTION(() => this.SUBRULE(this.keysSpec));
      const comment = this.SUBRULE(this.commentClause);
      const partitioning = this.OPTION2(() => this.SUBRULE(this.partitioning));
      const distribution = this.OPTION3(() => this.SUBRULE(this.distribution));
      const rollups = this.OPTION4(() => {
        this.CONSUME(K.ROLLUP);
        this.CONSUME(T.LParen);
        const list = this.SUBRULE(this.rollupSpecs);
        this.CONSUME(T.RParen);
        return list;
      });
      const properties = this.SUBRULE(this.properties);
      const { engine, charset, collation } = options;
      return {
        engine,
        charset,
        collation,
        keys,
        comment: comment ?? options.comment,
        partitioning,
        distribution,
        rollups: rollups ?? [],
        properties,
      };
    },
  );

  tableOption = this.RULE('tableOption', (options: TableOptions = noOptions()): void => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.ENGINE);
          this.OPTION(() => this.CONSUME(T.Eq));
          options.engine = this.SUBRULE(this.nameOrString);
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.AUTO_INCREMENT);
          this.OPTION2(() => this.CONSUME2(T.Eq));
          this.SUBRULE(this.integer);
        },
      },
      { ALT: () => this.SUBRULE(this.charsetOption, { ARGS: [options] }) },
      {
        ALT: () => {
          options.comment = this.SUBRULE(this.mysqlComment);
        },
      },
    ]);
    this.OPTION3(() => this.CONSUME(T.Comma));
  });

  /** MySQL's `COMMENT = '..'` among the options; Doris's has no `=` and its own place. */
  mysqlComment = this.RULE('mysqlComment', (): string => {
    this.CONSUME(K.COMMENT);
    this.CONSUME(T.Eq);
    return this.SUBRULE(this.stringLiteral);
  });

  keysSpec = this.RULE('keysSpec', (): KeysSpec => {
    const type = this.OR(
      alts<KeysSpec['type']>([
        { ALT: () => (this.CONSUME(K.DUPLICATE), 'DUPLICATE') },
        { ALT: () => (this.CONSUME(K.UNIQUE), 'UNIQUE') },
        { ALT: () => (this.CONSUME(K.AGGREGATE), 'AGGREGATE') },
      ]),
    );
    this.CONSUME(K.KEY);
    return { type, columns: this.SUBRULE(this.nameList) };
  });

  partitioning = this.RULE('partitioning', (): Partitioning => {
    this.CONSUME(K.PARTITION);
    this.CONSUME(K.BY);
    const kind = this.OR(
      alts<Partitioning['kind']>([
        { ALT: () => (this.CONSUME(K.RANGE), 'RANGE') },
        { ALT: () => (this.CONSUME(K.LIST), 'LIST') },
      ]),
    );
    const columns = this.SUBRULE(this.nameList);
    const partitions: PartitionSpec[] = [];
    this.CONSUME(T.LParen);
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => void partitions.push(this.SUBRULE(this.partitionSpec)),
    });
    this.CONSUME(T.RParen);
    return { kind, columns, partitions };
  });

  partitionSpec = this.RULE('partitionSpec', (): PartitionSpec => {
    this.CONSUME(K.PARTITION);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const at = this.LA(1).startOffset;
    const name = this.SUBRULE(this.name);
    this.CONSUME(K.VALUES);
    const values = this.SUBRULE(this.partitionValues);
    const properties = this.SUBRULE(this.bareProperties);
    return { name, ifNotExists, values, properties, at };
  });

  /** `("k" = "v")` as Doris has it after a partition, or with the word PROPERTIES. */
  bareProperties = this.RULE(
    'bareProperties',
    (): Properties =>
      this.OPTION(() => {
        this.OPTION2(() => this.CONSUME(K.PROPERTIES));
        return this.SUBRULE(this.propertyList);
      }) ?? [],
  );

  partitionValues = this.RULE('partitionValues', (): PartitionSpecValues =>
    this.OR(
      alts<PartitionSpecValues>([
        {
          ALT: () => {
            this.CONSUME(K.LESS);
            this.CONSUME(K.THAN);
            const upper = this.OR2(
              alts<PartitionBound[]>([
                { ALT: () => (this.CONSUME(K.MAXVALUE), [{ max: true }]) },
                { ALT: () => this.SUBRULE(this.bounds) },
              ]),
            );
            return { kind: 'lessThan', upper };
          },
        },
        {
          ALT: () => {
            this.CONSUME(T.LBracket);
            const lower = this.SUBRULE2(this.bounds);
            this.CONSUME(T.Comma);
            const upper = this.SUBRULE3(this.bounds);
            this.CONSUME(T.RParen);
            return { kind: 'range', lower, upper };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.IN);
            this.CONSUME(T.LParen);
            const tuples: Expr[][] = [];
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => void tuples.push(this.SUBRULE(this.listTuple)),
            });
            this.CONSUME2(T.RParen);
            return { kind: 'in', tuples };
          },
        },
      ]),
    ),
  );

  bounds = this.RULE('bounds', (): PartitionBound[] => {
    const list: PartitionBound[] = [];
    this.CONSUME(T.LParen);
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        this.OR([
          { ALT: () => (this.CONSUME(K.MAXVALUE), void list.push({ max: true })) },
          { ALT: () => void list.push({ max: false, value: this.SUBRULE(this.unary) }) },
        ]);
      },
    });
    this.CONSUME(T.RParen);
    return list;
  });

  /** A value, or a tuple of them when there are several partition columns. */
  listTuple = this.RULE('listTuple', (): Expr[] => {
    const values: Expr[] = [];
    this.OR([
      {
        // A parenthesis begins a tuple here, never an expression.
        IGNORE_AMBIGUITIES: true,
        ALT: () => {
          this.CONSUME(T.LParen);
          this.AT_LEAST_ONE_SEP({
            SEP: T.Comma,
            DEF: () => void values.push(this.SUBRULE(this.unary)),
          });
          this.CONSUME(T.RParen);
        },
      },
      { ALT: () => void values.push(this.SUBRULE2(this.unary)) },
    ]);
    return values;
  });

  distribution = this.RULE('distribution', (): Distribution => {
    this.CONSUME(K.DISTRIBUTED);
    this.CONSUME(K.BY);
    const columns = this.OR(
      alts<string[]>([
        { ALT: () => (this.CONSUME(K.HASH), this.SUBRULE(this.nameList)) },
        { ALT: () => (this.CONSUME(K.RANDOM), []) },
      ]),
    );
    const buckets = this.OPTION(() => {
      this.CONSUME(K.BUCKETS);
      return this.OR2(
        alts<number | 'AUTO'>([
          { ALT: () => this.SUBRULE(this.integer) },
          { ALT: () => (this.CONSUME(K.AUTO), 'AUTO') },
        ]),
      );
    });
    return { columns, buckets };
  });

  rollupSpecs = this.RULE('rollupSpecs', (): RollupSpec[] => {
    const list: RollupSpec[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void list.push(this.SUBRULE(this.rollupSpec)),
    });
    return list;
  });

  rollupSpec = this.RULE('rollupSpec', (): RollupSpec => {
    const name = this.SUBRULE(this.name);
    const columns = this.SUBRULE(this.nameList);
    return { name, columns, properties: this.SUBRULE(this.properties) };
  });

  dropTable = this.RULE('dropTable', (): DropTable => {
    this.CONSUME(K.DROP);
    this.CONSUME(K.TABLE);
    const ifExists = this.SUBRULE(this.ifExists);
    const tables: TableName[] = this.SUBRULE(this.tableNames);
    return { kind: 'DropTable', tables, ifExists, force: this.SUBRULE(this.forceWord) };
  });

  renameTables = this.RULE('renameTables', (): RenameTables => {
    this.CONSUME(K.RENAME);
    this.OR([{ ALT: () => this.CONSUME(K.TABLE) }, { ALT: () => this.CONSUME(K.TABLES) }]);
    const renames: RenameTables['renames'][number][] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const from = this.SUBRULE(this.tableName);
        this.CONSUME(K.TO);
        const to = this.SUBRULE2(this.tableName);
        renames.push({ from, to });
      },
    });
    return { kind: 'RenameTables', renames };
  });

  truncateTable = this.RULE('truncateTable', (): TruncateTable => {
    this.CONSUME(K.TRUNCATE);
    this.OPTION(() => this.CONSUME(K.TABLE));
    const table = this.SUBRULE(this.tableName);
    const partitions = this.SUBRULE(this.partitionNames);
    const force = this.SUBRULE(this.forceWord);
    return { kind: 'TruncateTable', table, partitions, force };
  });
}

/** Filled by the option rules; the default is for the recording phase, which passes no arguments. */
function noOptions(): TableOptions {
  return { engine: undefined, charset: undefined, collation: undefined, comment: undefined };
}
