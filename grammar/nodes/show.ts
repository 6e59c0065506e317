/** SHOW statements about schemas, the server and its sessions, and their ADMIN relatives. */
import type { Properties, ShowFilter, TableName } from './clauses.ts';
import type { VariableScope } from './expr.ts';

/** A SHOW that has nothing but a filter. */
interface Listing<Kind extends string> {
  readonly kind: Kind;
  readonly filter: ShowFilter;
}

/** `db` undefined: the session's database. */
interface DatabaseListing<Kind extends string> extends Listing<Kind> {
  readonly db: string | undefined;
}

interface TableListing<Kind extends string> extends Listing<Kind> {
  readonly table: TableName;
}

export type ShowDatabases = Listing<'ShowDatabases'>;

export interface ShowTables extends DatabaseListing<'ShowTables'> {
  readonly full: boolean;
}

export interface ShowColumns extends TableListing<'ShowColumns'> {
  readonly full: boolean;
}

/** `DESC t [column or pattern]`, `DESC t ALL`. */
export interface Describe {
  readonly kind: 'Describe';
  readonly table: TableName;
  readonly column: string | undefined;
  /** DESC t ALL: the rollups too. */
  readonly all: boolean;
}

export interface ShowCreateTable {
  readonly kind: 'ShowCreateTable';
  readonly table: TableName;
}

export interface ShowCreateDatabase {
  readonly kind: 'ShowCreateDatabase';
  readonly name: string;
  readonly ifNotExists: boolean;
}

/** SHOW CREATE of something this server does not have. */
export interface ShowCreateOther {
  readonly kind: 'ShowCreateOther';
  readonly what: 'VIEW' | 'PROCEDURE' | 'FUNCTION' | 'TRIGGER' | 'EVENT';
  readonly name: TableName;
}

export type ShowTableStatus = DatabaseListing<'ShowTableStatus'>;
export type ShowOpenTables = DatabaseListing<'ShowOpenTables'>;
export type ShowDynamicPartitionTables = DatabaseListing<'ShowDynamicPartitionTables'>;
export type ShowTriggers = DatabaseListing<'ShowTriggers'>;
export type ShowEvents = DatabaseListing<'ShowEvents'>;

/** `SHOW INDEX | INDEXES | KEYS FROM t`. */
export type ShowIndex = TableListing<'ShowIndex'>;

export interface ShowPartitions extends TableListing<'ShowPartitions'> {
  readonly temporary: boolean;
}

export interface ShowTablets extends TableListing<'ShowTablets'> {
  /** Empty: all partitions. */
  readonly partitions: readonly string[];
}

export interface ShowTablet {
  readonly kind: 'ShowTablet';
  readonly tabletId: number;
}

/** `SHOW DATA [FROM t]`. */
export interface ShowData extends Listing<'ShowData'> {
  readonly table: TableName | undefined;
}

/** `SHOW DATA SKEW FROM t`. */
export interface ShowDataSkew extends TableListing<'ShowDataSkew'> {
  readonly partitions: readonly string[];
}

/** `[ADMIN] SHOW REPLICA DISTRIBUTION FROM t`. */
export interface ShowReplicaDistribution extends TableListing<'ShowReplicaDistribution'> {
  readonly partitions: readonly string[];
}

/** `[ADMIN] SHOW REPLICA STATUS FROM t`. */
export interface ShowReplicaStatus extends TableListing<'ShowReplicaStatus'> {
  readonly partitions: readonly string[];
}

export interface ShowVariables extends Listing<'ShowVariables'> {
  readonly scope: VariableScope | undefined;
}

export interface ShowStatus extends Listing<'ShowStatus'> {
  readonly scope: VariableScope | undefined;
}

/** `count`: SHOW COUNT(*) WARNINGS. */
export interface ShowWarnings {
  readonly kind: 'ShowWarnings';
  readonly count: boolean;
  readonly filter: ShowFilter;
}

export interface ShowErrors {
  readonly kind: 'ShowErrors';
  readonly count: boolean;
  readonly filter: ShowFilter;
}

export interface ShowProcesslist extends Listing<'ShowProcesslist'> {
  readonly full: boolean;
}

export type ShowEngines = Listing<'ShowEngines'>;
/** `SHOW ENGINE name STATUS | MUTEX | LOGS`. */
export interface ShowEngineStatus {
  readonly kind: 'ShowEngineStatus';
  readonly engine: string;
  readonly what: 'STATUS' | 'MUTEX' | 'LOGS';
}
export type ShowCollation = Listing<'ShowCollation'>;
export type ShowCharset = Listing<'ShowCharset'>;
export type ShowPlugins = Listing<'ShowPlugins'>;
export type ShowPrivileges = Listing<'ShowPrivileges'>;
export type ShowProcedureStatus = Listing<'ShowProcedureStatus'>;
export type ShowFunctionStatus = Listing<'ShowFunctionStatus'>;
/** `SHOW CATALOGS`. */
export type ShowCatalogs = Listing<'ShowCatalogs'>;
/** `SHOW CONFIG`. */
export type ShowConfig = Listing<'ShowConfig'>;
/** `ADMIN SHOW FRONTEND CONFIG`. */
export type AdminShowConfig = Listing<'AdminShowConfig'>;

/** `ADMIN SET FRONTEND CONFIG ("key" = "value")`; `all`: on all frontends. */
export interface AdminSetConfig {
  readonly kind: 'AdminSetConfig';
  readonly properties: Properties;
  readonly all: boolean;
}

/** `SHOW COMPACTION STATUS [FROM t]`. */
export interface ShowCompactionStatus extends Listing<'ShowCompactionStatus'> {
  readonly table: TableName | undefined;
}

/** `SHOW ALTER TABLE COLUMN | ROLLUP [FROM db]`. */
export interface ShowAlterTable extends DatabaseListing<'ShowAlterTable'> {
  readonly what: 'COLUMN' | 'ROLLUP';
}

/** `SHOW LOAD [FROM db]`. */
export type ShowLoad = DatabaseListing<'ShowLoad'>;
/** `SHOW STREAM LOAD [FROM db]`. */
export type ShowStreamLoad = DatabaseListing<'ShowStreamLoad'>;
/** `SHOW TRANSACTION [FROM db]`. */
export type ShowTransaction = DatabaseListing<'ShowTransaction'>;

/** `SHOW PROC '/path'`. */
export interface ShowProc {
  readonly kind: 'ShowProc';
  readonly path: string;
}

/** Replication's SHOW MASTER STATUS, SLAVE STATUS, BINARY LOGS, ...; `what` in upper case. */
export interface ShowReplication {
  readonly kind: 'ShowReplication';
  readonly what:
    | 'MASTER STATUS'
    | 'SLAVE STATUS'
    | 'REPLICA STATUS'
    | 'BINARY LOGS'
    | 'SLAVE HOSTS'
    | 'REPLICAS';
}

export interface ShowProfiles {
  readonly kind: 'ShowProfiles';
}

export type ShowStatement =
  | ShowDatabases
  | ShowTables
  | ShowColumns
  | Describe
  | ShowCreateTable
  | ShowCreateDatabase
  | ShowCreateOther
  | ShowTableStatus
  | ShowOpenTables
  | ShowDynamicPartitionTables
  | ShowTriggers
  | ShowEvents
  | ShowIndex
  | ShowPartitions
  | ShowTablets
  | ShowTablet
  | ShowData
  | ShowDataSkew
  | ShowReplicaStatus
  | ShowReplicaDistribution
  | ShowVariables
  | ShowStatus
  | ShowWarnings
  | ShowErrors
  | ShowProcesslist
  | ShowEngines
  | ShowEngineStatus
  | ShowCollation
  | ShowCharset
  | ShowPlugins
  | ShowPrivileges
  | ShowProcedureStatus
  | ShowFunctionStatus
  | ShowCatalogs
  | ShowConfig
  | AdminShowConfig
  | AdminSetConfig
  | ShowCompactionStatus
  | ShowAlterTable
  | ShowLoad
  | ShowStreamLoad
  | ShowTransaction
  | ShowProc
  | ShowReplication
  | ShowProfiles;
