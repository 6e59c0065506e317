/** ALTER TABLE and the head of INSERT. */
import type {
  AlterTable,
  AlterTableAction,
  CancelAlterTable,
  ColumnPosition,
  ColumnSpec,
  Insert,
} from '../nodes/tables.ts';
import type { Expr } from '../nodes/expr.ts';
import { K, T } from '../tokens.ts';
import { alts } from './expr.ts';
import { TableRules } from './tables.ts';

export class AlterTableRules extends TableRules {
  alterTable = this.RULE('alterTable', (): AlterTable => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.TABLE);
    const table = this.SUBRULE(this.tableName);
    const actions: AlterTableAction[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void actions.push(this.SUBRULE(this.alterAction)),
    });
    return { kind: 'AlterTable', table, actions };
  });

  cancelAlterTable = this.RULE('cancelAlterTable', (): CancelAlterTable => {
    this.CONSUME(K.CANCEL);
    this.CONSUME(K.ALTER);
    this.CONSUME(K.TABLE);
    const what = this.OR(
      alts<CancelAlterTable['what']>([
        { ALT: () => (this.CONSUME(K.COLUMN), 'COLUMN') },
        { ALT: () => (this.CONSUME(K.ROLLUP), 'ROLLUP') },
      ]),
    );
    this.CONSUME(K.FROM);
    const table = this.SUBRULE(this.tableName);
    const jobs: number[] = [];
    this.OPTION(() => {
      this.CONSUME(T.LParen);
      this.AT_LEAST_ONE_SEP({
        SEP: T.Comma,
        DEF: () => void jobs.push(this.SUBRULE(this.integer)),
      });
      this.CONSUME(T.RParen);
    });
    return { kind: 'CancelAlterTable', what, table, jobs };
  });

  alterAction = this.RULE('alterAction', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        { ALT: () => (this.CONSUME(K.ADD), this.SUBRULE(this.addAction)) },
        { ALT: () => (this.CONSUME(K.DROP), this.SUBRULE(this.dropAction)) },
        { ALT: () => (this.CONSUME(K.MODIFY), this.SUBRULE(this.modifyAction)) },
        { ALT: () => (this.CONSUME(K.RENAME), this.SUBRULE(this.renameAction)) },
        {
          ALT: () => {
            this.CONSUME(K.ORDER);
            this.CONSUME(K.BY);
            const columns = this.SUBRULE(this.nameList);
            return { kind: 'OrderColumns', columns, rollup: this.SUBRULE(this.fromRollup) };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.SET);
            return { kind: 'SetProperties', properties: this.SUBRULE(this.propertyList) };
          },
        },
        { ALT: () => this.SUBRULE(this.compactAction) },
      ]),
    ),
  );

  addAction = this.RULE('addAction', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        {
          ALT: () => {
            const partition = this.SUBRULE(this.partitionSpec);
            const distribution = this.OPTION(() => this.SUBRULE(this.distribution));
            return { kind: 'AddPartition', partition, distribution };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.ROLLUP);
            const name = this.SUBRULE(this.name);
            const columns = this.SUBRULE(this.nameList);
            const from = this.SUBRULE(this.fromRollup);
            const properties = this.SUBRULE(this.properties);
            return { kind: 'AddRollup', rollup: { name, columns, properties }, from };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.COLUMN);
            return this.SUBRULE(this.addColumns);
          },
        },
      ]),
    ),
  );

  addColumns = this.RULE('addColumns', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        {
          ALT: () => {
            const columns: ColumnSpec[] = [];
            this.CONSUME(T.LParen);
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => void columns.push(this.SUBRULE(this.columnSpec)),
            });
            this.CONSUME(T.RParen);
            return { kind: 'AddColumns', columns, rollup: this.SUBRULE(this.toRollup) };
          },
        },
        {
          ALT: () => {
            const column = this.SUBRULE2(this.columnSpec);
            const position = this.SUBRULE(this.columnPosition);
            return { kind: 'AddColumn', column, position, rollup: this.SUBRULE2(this.toRollup) };
          },
        },
      ]),
    ),
  );

  columnPosition = this.RULE('columnPosition', (): ColumnPosition | undefined =>
    this.OPTION(() =>
      this.OR(
        alts<ColumnPosition>([
          { ALT: () => (this.CONSUME(K.FIRST), { kind: 'first' }) },
          {
            ALT: () => {
              this.CONSUME(K.AFTER);
              return { kind: 'after', column: this.SUBRULE(this.name) };
            },
          },
        ]),
      ),
    ),
  );

  toRollup = this.RULE('toRollup', (): string | undefined =>
    this.OPTION(() => {
      this.OR([{ ALT: () => this.CONSUME(K.TO) }, { ALT: () => this.CONSUME(K.IN) }]);
      return this.SUBRULE(this.name);
    }),
  );

  fromRollup = this.RULE('fromRollup', (): string | undefined =>
    this.OPTION(() => {
      this.CONSUME(K.FROM);
      return this.SUBRULE(this.name);
    }),
  );

  dropAction = this.RULE('dropAction', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        {
          ALT: () => {
            this.CONSUME(K.PARTITION);
            const ifExists = this.SUBRULE(this.ifExists);
            const name = this.SUBRULE(this.name);
            return { kind: 'DropPartition', name, ifExists, force: this.SUBRULE(this.forceWord) };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.ROLLUP);
            return { kind: 'DropRollup', names: this.SUBRULE(this.rollupNames) };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.COLUMN);
            const name = this.SUBRULE2(this.name);
            return { kind: 'DropColumn', name, rollup: this.SUBRULE(this.fromRollup) };
          },
        },
      ]),
    ),
  );

  /** `r1, r2`: a comma may as well begin the next action. */
  rollupNames = this.RULE('rollupNames', (): string[] => {
    const list = [this.SUBRULE(this.name)];
    this.MANY({
      GATE: () => this.LA(2).tokenType !== K.COMPACT && ENDS_NAME.has(this.LA(3).tokenType.name),
      DEF: () => {
        this.CONSUME(T.Comma);
        list.push(this.SUBRULE2(this.name));
      },
    });
    return list;
  });

  modifyAction = this.RULE('modifyAction', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        {
          ALT: () => {
            this.CONSUME(K.COLUMN);
            const column = this.SUBRULE(this.columnSpec);
            const position = this.SUBRULE(this.columnPosition);
            const rollup = this.SUBRULE(this.fromRollup);
            return { kind: 'ModifyColumn', column, position, rollup };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.PARTITION);
            const partitions = this.SUBRULE(this.partitionChoice);
            this.CONSUME(K.SET);
            const properties = this.SUBRULE(this.propertyList);
            return { kind: 'ModifyPartition', partitions, properties };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.COMMENT);
            return { kind: 'Comment', comment: this.SUBRULE(this.stringLiteral) };
          },
        },
      ]),
    ),
  );

  /** `p`, `(p, q)` or `(*)`. */
  partitionChoice = this.RULE('partitionChoice', (): readonly string[] | 'all' =>
    this.OR(
      alts<readonly string[] | 'all'>([
        { ALT: () => [this.SUBRULE(this.name)] },
        {
          ALT: () => {
            this.CONSUME(T.LParen);
            const which = this.OR2(
              alts<readonly string[] | 'all'>([
                { ALT: () => (this.CONSUME(T.Star), 'all') },
                { ALT: () => this.SUBRULE(this.names) },
              ]),
            );
            this.CONSUME(T.RParen);
            return which;
          },
        },
      ]),
    ),
  );

  renameAction = this.RULE('renameAction', (): AlterTableAction =>
    this.OR(
      alts<AlterTableAction>([
        {
          ALT: () => {
            this.CONSUME(K.COLUMN);
            return { kind: 'RenameColumn', ...this.SUBRULE(this.renamed) };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.PARTITION);
            return { kind: 'RenamePartition', ...this.SUBRULE2(this.renamed) };
          },
        },
        // `RENAME rollup` renames the table to "rollup"; with two names it is a rollup's.
        {
          GATE: () => this.LA(3).tokenType.name !== 'EOF' && this.LA(2).tokenType !== T.Comma,
          ALT: () => {
            this.CONSUME(K.ROLLUP);
            return { kind: 'RenameRollup', ...this.SUBRULE3(this.renamed) };
          },
        },
        {
          ALT: () => {
            this.OPTION(() =>
              this.OR2([{ ALT: () => this.CONSUME(K.TO) }, { ALT: () => this.CONSUME(K.AS) }]),
            );
            return { kind: 'Rename', newName: this.SUBRULE(this.name) };
          },
        },
      ]),
    ),
  );

  renamed = this.RULE('renamed', (): { name: string; newName: string } => {
    const name = this.SUBRULE(this.name);
    this.OPTION(() => this.CONSUME(K.TO));
    return { name, newName: this.SUBRULE2(this.name) };
  });

  /** `COMPACT [PARTITION (p)] ['full']`. */
  compactAction = this.RULE('compactAction', (): AlterTableAction => {
    this.CONSUME(K.COMPACT);
    const partitions = this.SUBRULE(this.partitionNames);
    const type = this.OPTION(() =>
      this.OR(
        alts<'BASE' | 'CUMULATIVE' | 'FULL'>([
          { ALT: () => (this.CONSUME(K.BASE), 'BASE') },
          { ALT: () => (this.CONSUME(K.CUMULATIVE), 'CUMULATIVE') },
          { ALT: () => (this.CONSUME(K.FULL), 'FULL') },
        ]),
      ),
    );
    return { kind: 'Compact', partitions, type };
  });

  /** INSERT up to VALUES; the rows are read by a loop over the text (`grammar/value_rows.ts`). */
  insertHead = this.RULE('insertHead', (): Omit<Insert, 'rows'> => {
    this.CONSUME(K.INSERT);
    this.OPTION(() => this.CONSUME(K.INTO));
    const table = this.SUBRULE(this.tableName);
    const partitions = this.SUBRULE(this.partitionNames);
    const label = this.OPTION2(() => {
      this.CONSUME(K.WITH);
      this.CONSUME(K.LABEL);
      return this.SUBRULE(this.nameOrString);
    });
    const columns = this.OPTION3(() => this.SUBRULE(this.insertColumns));
    this.OR([{ ALT: () => this.CONSUME(K.VALUES) }, { ALT: () => this.CONSUME(K.VALUE) }]);
    return { kind: 'Insert', table, partitions, label, columns };
  });

  /** `INSERT INTO t SET a = 1, b = DEFAULT`: one row. */
  insertSet = this.RULE('insertSet', (): Insert => {
    this.CONSUME(K.INSERT);
    this.OPTION(() => this.CONSUME(K.INTO));
    const table = this.SUBRULE(this.tableName);
    const partitions = this.SUBRULE(this.partitionNames);
    this.CONSUME(K.SET);
    const columns: string[] = [];
    const row: Expr[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        columns.push(this.SUBRULE(this.name));
        this.CONSUME(T.Eq);
        row.push(this.SUBRULE(this.expr));
      },
    });
    return { kind: 'Insert', table, partitions, label: undefined, columns, rows: [row] };
  });

  /** MySQL allows `INSERT INTO t () VALUES ()`. */
  insertColumns = this.RULE('insertColumns', (): string[] => {
    const columns: string[] = [];
    this.CONSUME(T.LParen);
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => void columns.push(this.SUBRULE(this.name)),
    });
    this.CONSUME(T.RParen);
    return columns;
  });

  /** One row of VALUES, for rows that hold more than literals. */
  valueRow = this.RULE('valueRow', (): Expr[] => {
    const values: Expr[] = [];
    this.CONSUME(T.LParen);
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => void values.push(this.SUBRULE(this.expr)),
    });
    this.CONSUME(T.RParen);
    return values;
  });
}

const ENDS_NAME: ReadonlySet<string> = new Set(['Comma', 'EOF']);
