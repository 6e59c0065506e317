/** SHOW, DESCRIBE, and ADMIN SHOW | SET. */
import type { TableName } from '../nodes/clauses.ts';
import type { VariableScope } from '../nodes/expr.ts';
import type {
  AdminSetConfig,
  AdminShowConfig,
  Describe,
  ShowAlterTable,
  ShowCompactionStatus,
  ShowCreateDatabase,
  ShowCreateOther,
  ShowCreateTable,
  ShowData,
  ShowDataSkew,
  ShowEngineStatus,
  ShowErrors,
  ShowIndex,
  ShowPartitions,
  ShowProc,
  ShowReplicaDistribution,
  ShowReplicaStatus,
  ShowReplication,
  ShowStatement,
  ShowTablet,
  ShowTablets,
  ShowWarnings,
} from '../nodes/show.ts';
import type { ShowBackends, ShowComputeGroups, ShowFrontends } from '../nodes/cluster.ts';
import type { ShowRoles } from '../nodes/accounts.ts';
import type { ShowResources } from '../nodes/storage.ts';
import { K, T } from '../tokens.ts';
import { AlterTableRules } from './alter_table.ts';
import { alts } from './expr.ts';

type ListingStatement =
  | Extract<ShowStatement, { kind: ListingKind }>
  | ShowBackends
  | ShowComputeGroups
  | ShowFrontends
  | ShowResources
  | ShowRoles;
type ListingKind =
  | 'ShowCatalogs'
  | 'ShowCharset'
  | 'ShowCollation'
  | 'ShowConfig'
  | 'ShowDatabases'
  | 'ShowEngines'
  | 'ShowFunctionStatus'
  | 'ShowPlugins'
  | 'ShowPrivileges'
  | 'ShowProcedureStatus';

export class ShowRules extends AlterTableRules {
  /** Everything of the form SHOW words filter. */
  showListing = this.RULE('showListing', (): ListingStatement => {
    this.CONSUME(K.SHOW);
    const kind = this.OR(
      alts<ListingStatement['kind']>([
        { ALT: () => (this.CONSUME(K.DATABASES), 'ShowDatabases') },
        { ALT: () => (this.CONSUME(K.SCHEMAS), 'ShowDatabases') },
        { ALT: () => (this.CONSUME(K.BACKENDS), 'ShowBackends') },
        { ALT: () => (this.CONSUME(K.FRONTENDS), 'ShowFrontends') },
        { ALT: () => (this.CONSUME(K.CLUSTERS), 'ShowComputeGroups') },
        {
          ALT: () => {
            this.CONSUME(K.COMPUTE);
            this.CONSUME(K.GROUPS);
            return 'ShowComputeGroups';
          },
        },
        { ALT: () => (this.CONSUME(K.RESOURCES), 'ShowResources') },
        { ALT: () => (this.CONSUME(K.ROLES), 'ShowRoles') },
        { ALT: () => (this.CONSUME(K.ENGINES), 'ShowEngines') },
        {
          ALT: () => {
            this.CONSUME2(K.STORAGE);
            this.CONSUME2(K.ENGINES);
            return 'ShowEngines';
          },
        },
        { ALT: () => (this.CONSUME(K.COLLATION), 'ShowCollation') },
        { ALT: () => (this.CONSUME(K.CHARSET), 'ShowCharset') },
        {
          ALT: () => {
            this.CONSUME(K.CHARACTER);
            this.CONSUME(K.SET);
            return 'ShowCharset';
          },
        },
        { ALT: () => (this.CONSUME(K.PLUGINS), 'ShowPlugins') },
        { ALT: () => (this.CONSUME(K.PRIVILEGES), 'ShowPrivileges') },
        { ALT: () => (this.CONSUME(K.CATALOGS), 'ShowCatalogs') },
        { ALT: () => (this.CONSUME(K.CONFIG), 'ShowConfig') },
        {
          ALT: () => {
            this.CONSUME(K.PROCEDURE);
            this.CONSUME(K.STATUS);
            return 'ShowProcedureStatus';
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.FUNCTION);
            this.CONSUME2(K.STATUS);
            return 'ShowFunctionStatus';
          },
        },
      ]),
    );
    return { kind, filter: this.SUBRULE(this.filter) };
  });

  /** SHOW listings of one database's things: `[FROM db]`. */
  showInDatabase = this.RULE('showInDatabase', (): ShowStatement => {
    this.CONSUME(K.SHOW);
    const full = this.OPTION(() =>
      this.OR([{ ALT: () => this.CONSUME(K.FULL) }, { ALT: () => this.CONSUME(K.EXTENDED) }]),
    );
    const kind = this.OR2(
      alts<
        | 'ShowTables'
        | 'ShowTableStatus'
        | 'ShowOpenTables'
        | 'ShowDynamicPartitionTables'
        | 'ShowTriggers'
        | 'ShowEvents'
      >([
        { ALT: () => (this.CONSUME(K.TABLES), 'ShowTables') },
        {
          ALT: () => {
            this.CONSUME(K.TABLE);
            this.CONSUME(K.STATUS);
            return 'ShowTableStatus';
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.OPEN);
            this.CONSUME2(K.TABLES);
            return 'ShowOpenTables';
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.DYNAMIC);
            this.CONSUME(K.PARTITION);
            this.CONSUME3(K.TABLES);
            return 'ShowDynamicPartitionTables';
          },
        },
        { ALT: () => (this.CONSUME(K.TRIGGERS), 'ShowTriggers') },
        { ALT: () => (this.CONSUME(K.EVENTS), 'ShowEvents') },
      ]),
    );
    const db = this.SUBRULE(this.fromDatabase);
    const filter = this.SUBRULE(this.filter);
    return kind === 'ShowTables'
      ? { kind, db, full: full !== undefined, filter }
      : { kind, db, filter };
  });

  fromDatabase = this.RULE('fromDatabase', (): string | undefined =>
    this.OPTION(() => {
      this.SUBRULE(this.fromOrIn);
      return this.SUBRULE(this.name);
    }),
  );

  /** `FROM t`, `FROM t FROM db`, `FROM db.t`. */
  fromTable = this.RULE('fromTable', (): TableName => {
    this.SUBRULE(this.fromOrIn);
    const table = this.SUBRULE(this.tableName);
    const db = this.SUBRULE(this.fromDatabase);
    return db === undefined || this.RECORDING_PHASE ? table : { db, name: table.name };
  });

  showColumns = this.RULE('showColumns', (): ShowStatement => {
    this.CONSUME(K.SHOW);
    this.OPTION(() => this.CONSUME(K.EXTENDED));
    const full = this.OPTION2(() => this.CONSUME(K.FULL)) !== undefined;
    this.OR([{ ALT: () => this.CONSUME(K.COLUMNS) }, { ALT: () => this.CONSUME(K.FIELDS) }]);
    const table = this.SUBRULE(this.fromTable);
    return { kind: 'ShowColumns', table, full, filter: this.SUBRULE(this.filter) };
  });

  showIndex = this.RULE('showIndex', (): ShowIndex => {
    this.CONSUME(K.SHOW);
    // There are no hidden ones that it would add.
    this.OPTION(() => this.CONSUME(K.EXTENDED));
    this.OR([
      { ALT: () => this.CONSUME(K.INDEX) },
      { ALT: () => this.CONSUME(K.INDEXES) },
      { ALT: () => this.CONSUME(K.KEYS) },
    ]);
    const table = this.SUBRULE(this.fromTable);
    return { kind: 'ShowIndex', table, filter: this.SUBRULE(this.filter) };
  });

  describe = this.RULE('describe', (): Describe => {
    this.OR([
      { ALT: () => this.CONSUME(K.DESC) },
      { ALT: () => this.CONSUME(K.DESCRIBE) },
      { ALT: () => this.CONSUME(K.EXPLAIN) },
    ]);
    const table = this.SUBRULE(this.tableName);
    let all = false;
    const column = this.OPTION(() =>
      this.OR2([
        { ALT: () => this.SUBRULE(this.nameOrString) },
        {
          ALT: () => {
            this.CONSUME(K.ALL);
            all = true;
            return undefined;
          },
        },
      ]),
    );
    return { kind: 'Describe', table, column, all };
  });

  showCreate = this.RULE(
    'showCreate',
    (): ShowCreateTable | ShowCreateDatabase | ShowCreateOther => {
      this.CONSUME(K.SHOW);
      this.CONSUME(K.CREATE);
      return this.OR(
        alts<ShowCreateTable | ShowCreateDatabase | ShowCreateOther>([
          {
            ALT: () => {
              this.CONSUME(K.TABLE);
              return { kind: 'ShowCreateTable', table: this.SUBRULE(this.tableName) };
            },
          },
          {
            ALT: () => {
              this.OR2([
                { ALT: () => this.CONSUME(K.DATABASE) },
                { ALT: () => this.CONSUME(K.SCHEMA) },
              ]);
              const ifNotExists = this.SUBRULE(this.ifNotExists);
              return { kind: 'ShowCreateDatabase', name: this.SUBRULE(this.name), ifNotExists };
            },
          },
          {
            ALT: () => {
              const what = this.SUBRULE(this.otherObject);
              return { kind: 'ShowCreateOther', what, name: this.SUBRULE2(this.tableName) };
            },
          },
        ]),
      );
    },
  );

  otherObject = this.RULE('otherObject', (): ShowCreateOther['what'] =>
    this.OR(
      alts<ShowCreateOther['what']>([
        { ALT: () => (this.CONSUME(K.VIEW), 'VIEW') },
        { ALT: () => (this.CONSUME(K.PROCEDURE), 'PROCEDURE') },
        { ALT: () => (this.CONSUME(K.FUNCTION), 'FUNCTION') },
        { ALT: () => (this.CONSUME(K.TRIGGER), 'TRIGGER') },
        { ALT: () => (this.CONSUME(K.EVENT), 'EVENT') },
      ]),
    ),
  );

  showPartitions = this.RULE('showPartitions', (): ShowPartitions => {
    this.CONSUME(K.SHOW);
    const temporary = this.OPTION(() => this.CONSUME(K.TEMPORARY)) !== undefined;
    this.CONSUME(K.PARTITIONS);
    const table = this.SUBRULE(this.fromTable);
    return { kind: 'ShowPartitions', table, temporary, filter: this.SUBRULE(this.filter) };
  });

  showTablets = this.RULE('showTablets', (): ShowTablets => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.TABLETS);
    const table = this.SUBRULE(this.fromTable);
    const partitions = this.SUBRULE(this.partitionNames);
    return { kind: 'ShowTablets', table, partitions, filter: this.SUBRULE(this.filter) };
  });

  showTablet = this.RULE('showTablet', (): ShowTablet => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.TABLET);
    return { kind: 'ShowTablet', tabletId: this.SUBRULE(this.integer) };
  });

  showData = this.RULE('showData', (): ShowData => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.DATA);
    const table = this.OPTION(() => this.SUBRULE(this.fromTable));
    return { kind: 'ShowData', table, filter: this.SUBRULE(this.filter) };
  });

  showDataSkew = this.RULE('showDataSkew', (): ShowDataSkew => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.DATA);
    this.CONSUME(K.SKEW);
    const table = this.SUBRULE(this.fromTable);
    const partitions = this.SUBRULE(this.partitionNames);
    return { kind: 'ShowDataSkew', table, partitions, filter: this.SUBRULE(this.filter) };
  });

  showReplicaStatus = this.RULE('showReplicaStatus', (): ShowReplicaStatus => {
    this.OPTION(() => this.CONSUME(K.ADMIN));
    this.CONSUME(K.SHOW);
    this.CONSUME(K.REPLICA);
    this.CONSUME(K.STATUS);
    const table = this.SUBRULE(this.fromTable);
    const partitions = this.SUBRULE(this.partitionNames);
    return { kind: 'ShowReplicaStatus', table, partitions, filter: this.SUBRULE(this.filter) };
  });

  showReplicaDistribution = this.RULE('showReplicaDistribution', (): ShowReplicaDistribution => {
    this.OPTION(() => this.CONSUME(K.ADMIN));
    this.CONSUME(K.SHOW);
    this.CONSUME(K.REPLICA);
    this.CONSUME(K.DISTRIBUTION);
    const table = this.SUBRULE(this.fromTable);
    const partitions = this.SUBRULE(this.partitionNames);
    const filter = this.SUBRULE(this.filter);
    return { kind: 'ShowReplicaDistribution', table, partitions, filter };
  });

  showVariables = this.RULE('showVariables', (): ShowStatement => {
    this.CONSUME(K.SHOW);
    const scope: VariableScope | undefined = this.OPTION(() => this.SUBRULE(this.variableScope));
    const kind = this.OR(
      alts<'ShowVariables' | 'ShowStatus'>([
        { ALT: () => (this.CONSUME(K.VARIABLES), 'ShowVariables') },
        { ALT: () => (this.CONSUME(K.STATUS), 'ShowStatus') },
      ]),
    );
    return { kind, scope, filter: this.SUBRULE(this.filter) };
  });

  showWarnings = this.RULE('showWarnings', (): ShowWarnings | ShowErrors => {
    this.CONSUME(K.SHOW);
    const count = this.OPTION(() => {
      this.CONSUME(K.COUNT);
      this.CONSUME(T.LParen);
      this.CONSUME(T.Star);
      this.CONSUME(T.RParen);
      return true;
    });
    const kind = this.OR(
      alts<'ShowWarnings' | 'ShowErrors'>([
        { ALT: () => (this.CONSUME(K.WARNINGS), 'ShowWarnings') },
        { ALT: () => (this.CONSUME(K.ERRORS), 'ShowErrors') },
      ]),
    );
    return { kind, count: count ?? false, filter: this.SUBRULE(this.filter) };
  });

  showProcesslist = this.RULE('showProcesslist', (): ShowStatement => {
    this.CONSUME(K.SHOW);
    const full = this.OPTION(() => this.CONSUME(K.FULL)) !== undefined;
    this.CONSUME(K.PROCESSLIST);
    return { kind: 'ShowProcesslist', full, filter: this.SUBRULE(this.filter) };
  });

  showEngineStatus = this.RULE('showEngineStatus', (): ShowEngineStatus => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.ENGINE);
    const engine = this.SUBRULE(this.name);
    const what = this.OR(
      alts<ShowEngineStatus['what']>([
        { ALT: () => (this.CONSUME(K.STATUS), 'STATUS') },
        { ALT: () => (this.CONSUME(K.MUTEX), 'MUTEX') },
        { ALT: () => (this.CONSUME(K.LOGS), 'LOGS') },
      ]),
    );
    return { kind: 'ShowEngineStatus', engine, what };
  });

  frontendConfigWords = this.RULE('frontendConfigWords', (): void => {
    this.CONSUME(K.FRONTEND);
    this.CONSUME(K.CONFIG);
  });

  adminShowConfig = this.RULE('adminShowConfig', (): AdminShowConfig => {
    this.CONSUME(K.ADMIN);
    this.CONSUME(K.SHOW);
    this.SUBRULE(this.frontendConfigWords);
    return { kind: 'AdminShowConfig', filter: this.SUBRULE(this.filter) };
  });

  adminSetConfig = this.RULE('adminSetConfig', (): AdminSetConfig => {
    this.CONSUME(K.ADMIN);
    this.CONSUME(K.SET);
    const all = this.OR([
      {
        ALT: () => {
          this.CONSUME(K.ALL);
          this.CONSUME(K.FRONTENDS);
          this.CONSUME2(K.CONFIG);
          return true;
        },
      },
      { ALT: () => (this.SUBRULE(this.frontendConfigWords), false) },
    ]);
    const properties = this.SUBRULE(this.propertyList);
    const also = this.OPTION(() => this.CONSUME3(K.ALL)) !== undefined;
    return { kind: 'AdminSetConfig', properties, all: all || also };
  });

  showCompactionStatus = this.RULE('showCompactionStatus', (): ShowCompactionStatus => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.COMPACTION);
    this.CONSUME(K.STATUS);
    const table = this.OPTION(() => this.SUBRULE(this.fromTable));
    return { kind: 'ShowCompactionStatus', table, filter: this.SUBRULE(this.filter) };
  });

  showAlterTable = this.RULE('showAlterTable', (): ShowAlterTable => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.ALTER);
    this.CONSUME(K.TABLE);
    const what = this.OR(
      alts<ShowAlterTable['what']>([
        { ALT: () => (this.CONSUME(K.COLUMN), 'COLUMN') },
        { ALT: () => (this.CONSUME(K.ROLLUP), 'ROLLUP') },
      ]),
    );
    const db = this.SUBRULE(this.fromDatabase);
    return { kind: 'ShowAlterTable', what, db, filter: this.SUBRULE(this.filter) };
  });

  showLoads = this.RULE('showLoads', (): ShowStatement => {
    this.CONSUME(K.SHOW);
    const kind = this.OR(
      alts<'ShowLoad' | 'ShowStreamLoad' | 'ShowTransaction'>([
        { ALT: () => (this.CONSUME(K.LOAD), 'ShowLoad') },
        {
          ALT: () => {
            this.CONSUME(K.STREAM);
            this.CONSUME2(K.LOAD);
            return 'ShowStreamLoad';
          },
        },
        { ALT: () => (this.CONSUME(K.TRANSACTION), 'ShowTransaction') },
      ]),
    );
    const db = this.SUBRULE(this.fromDatabase);
    return { kind, db, filter: this.SUBRULE(this.filter) };
  });

  showProc = this.RULE('showProc', (): ShowProc => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.PROC);
    return { kind: 'ShowProc', path: this.SUBRULE(this.stringLiteral) };
  });

  showReplication = this.RULE('showReplication', (): ShowReplication => {
    this.CONSUME(K.SHOW);
    const what = this.OR({
      MAX_LOOKAHEAD: 2,
      DEF: alts<ShowReplication['what']>([
        { ALT: () => (this.CONSUME(K.MASTER), this.CONSUME(K.STATUS), 'MASTER STATUS') },
        { ALT: () => (this.CONSUME(K.SLAVE), this.CONSUME2(K.STATUS), 'SLAVE STATUS') },
        { ALT: () => (this.CONSUME2(K.SLAVE), this.CONSUME(K.HOSTS), 'SLAVE HOSTS') },
        { ALT: () => (this.CONSUME(K.REPLICAS), 'REPLICAS') },
        { ALT: () => (this.CONSUME2(K.MASTER), this.CONSUME2(K.LOGS), 'BINARY LOGS') },
        { ALT: () => (this.CONSUME(K.BINARY), this.CONSUME(K.LOGS), 'BINARY LOGS') },
        { ALT: () => (this.CONSUME(K.REPLICA), this.CONSUME3(K.STATUS), 'REPLICA STATUS') },
      ]),
    });
    return { kind: 'ShowReplication', what };
  });

  showProfiles = this.RULE('showProfiles', (): { kind: 'ShowProfiles' } => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.PROFILES);
    return { kind: 'ShowProfiles' };
  });
}
