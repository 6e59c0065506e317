/** Statements that define databases and tables and put rows into them. */
import type { KeysType } from '../../base/schema.ts';
import type { ColumnType } from '../../base/values.ts';
import type { Properties, TableName } from './clauses.ts';
import type { Expr } from './expr.ts';

export interface CreateDatabase {
  readonly kind: 'CreateDatabase';
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly charset: string | undefined;
  readonly collation: string | undefined;
  readonly properties: Properties;
}

export interface DropDatabase {
  readonly kind: 'DropDatabase';
  readonly name: string;
  readonly ifExists: boolean;
  readonly force: boolean;
}

/** How rows of an AGGREGATE KEY table are merged. */
export type Aggregation =
  | 'SUM'
  | 'MIN'
  | 'MAX'
  | 'REPLACE'
  | 'REPLACE_IF_NOT_NULL'
  | 'HLL_UNION'
  | 'BITMAP_UNION';

export interface ColumnSpec {
  readonly name: string;
  readonly type: ColumnType;
  readonly key: boolean;
  /** PRIMARY KEY written at the column. */
  readonly primary: boolean;
  readonly aggregation: Aggregation | undefined;
  /** undefined: neither NULL nor NOT NULL was written. */
  readonly nullable: boolean | undefined;
  readonly autoIncrement: boolean;
  /** A literal, or a call of CURRENT_TIMESTAMP. */
  readonly defaultValue: Expr | undefined;
  readonly comment: string | undefined;
  readonly at: number;
}

/** `INDEX name (columns) [USING kind] [PROPERTIES] [COMMENT]`; also KEY and UNIQUE KEY. */
export interface IndexSpec {
  readonly name: string | undefined;
  readonly unique: boolean;
  readonly columns: readonly string[];
  /** Upper case: INVERTED, BITMAP, BTREE, ... */
  readonly using: string | undefined;
  readonly properties: Properties;
  readonly comment: string | undefined;
}

/** A bound of a RANGE partition: an expression (a literal), or MAXVALUE. */
export type PartitionBound = { readonly max: true } | { readonly max: false; readonly value: Expr };

export type PartitionSpecValues =
  | { readonly kind: 'lessThan'; readonly upper: readonly PartitionBound[] }
  /** `VALUES [(lower), (upper))`. */
  | {
      readonly kind: 'range';
      readonly lower: readonly PartitionBound[];
      readonly upper: readonly PartitionBound[];
    }
  | { readonly kind: 'in'; readonly tuples: readonly (readonly Expr[])[] };

export interface PartitionSpec {
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly values: PartitionSpecValues;
  readonly properties: Properties;
  readonly at: number;
}

export interface Partitioning {
  readonly kind: 'RANGE' | 'LIST';
  readonly columns: readonly string[];
  readonly partitions: readonly PartitionSpec[];
}

export interface Distribution {
  /** Empty: DISTRIBUTED BY RANDOM. */
  readonly columns: readonly string[];
  /** undefined: not written; 'AUTO': BUCKETS AUTO. */
  readonly buckets: number | 'AUTO' | undefined;
}

export interface KeysSpec {
  readonly type: KeysType;
  readonly columns: readonly string[];
}

export interface RollupSpec {
  readonly name: string;
  readonly columns: readonly string[];
  readonly properties: Properties;
}

export interface CreateTable {
  readonly kind: 'CreateTable';
  readonly table: TableName;
  readonly ifNotExists: boolean;
  readonly temporary: boolean;
  readonly columns: readonly ColumnSpec[];
  readonly indexes: readonly IndexSpec[];
  /** PRIMARY KEY (...) in the column list. */
  readonly primaryKey: readonly string[];
  readonly engine: string | undefined;
  readonly charset: string | undefined;
  readonly collation: string | undefined;
  readonly keys: KeysSpec | undefined;
  readonly comment: string | undefined;
  readonly partitioning: Partitioning | undefined;
  readonly distribution: Distribution | undefined;
  readonly rollups: readonly RollupSpec[];
  readonly properties: Properties;
}

export interface CreateTableLike {
  readonly kind: 'CreateTableLike';
  readonly table: TableName;
  readonly ifNotExists: boolean;
  readonly like: TableName;
}

export interface DropTable {
  readonly kind: 'DropTable';
  readonly tables: readonly TableName[];
  readonly ifExists: boolean;
  readonly force: boolean;
}

export interface TruncateTable {
  readonly kind: 'TruncateTable';
  readonly table: TableName;
  /** Empty: the whole table. */
  readonly partitions: readonly string[];
  readonly force: boolean;
}

export type ColumnPosition =
  | { readonly kind: 'first' }
  | { readonly kind: 'after'; readonly column: string };

export type AlterTableAction =
  | {
      readonly kind: 'AddColumn';
      readonly column: ColumnSpec;
      readonly position: ColumnPosition | undefined;
      readonly rollup: string | undefined;
    }
  | {
      readonly kind: 'AddColumns';
      readonly columns: readonly ColumnSpec[];
      readonly rollup: string | undefined;
    }
  | { readonly kind: 'DropColumn'; readonly name: string; readonly rollup: string | undefined }
  | {
      readonly kind: 'ModifyColumn';
      readonly column: ColumnSpec;
      readonly position: ColumnPosition | undefined;
      readonly rollup: string | undefined;
    }
  | { readonly kind: 'RenameColumn'; readonly name: string; readonly newName: string }
  | {
      readonly kind: 'OrderColumns';
      readonly columns: readonly string[];
      readonly rollup: string | undefined;
    }
  | {
      readonly kind: 'AddPartition';
      readonly partition: PartitionSpec;
      readonly distribution: Distribution | undefined;
    }
  | {
      readonly kind: 'DropPartition';
      readonly name: string;
      readonly ifExists: boolean;
      readonly force: boolean;
    }
  | { readonly kind: 'RenamePartition'; readonly name: string; readonly newName: string }
  | {
      readonly kind: 'ModifyPartition';
      /** 'all' is `MODIFY PARTITION (*)`. */
      readonly partitions: readonly string[] | 'all';
      readonly properties: Properties;
    }
  | {
      readonly kind: 'AddRollup';
      readonly rollup: RollupSpec;
      /** `FROM index`; undefined: the base index. */
      readonly from: string | undefined;
    }
  | { readonly kind: 'DropRollup'; readonly names: readonly string[] }
  | { readonly kind: 'RenameRollup'; readonly name: string; readonly newName: string }
  | { readonly kind: 'Rename'; readonly newName: string }
  | { readonly kind: 'SetProperties'; readonly properties: Properties }
  | {
      readonly kind: 'Compact';
      /** Empty: all partitions. */
      readonly partitions: readonly string[];
      readonly type: 'BASE' | 'CUMULATIVE' | 'FULL' | undefined;
    }
  | { readonly kind: 'Comment'; readonly comment: string };

export interface AlterTable {
  readonly kind: 'AlterTable';
  readonly table: TableName;
  readonly actions: readonly AlterTableAction[];
}

/** `CANCEL ALTER TABLE COLUMN | ROLLUP FROM t [(job, ...)]`. */
export interface CancelAlterTable {
  readonly kind: 'CancelAlterTable';
  readonly what: 'COLUMN' | 'ROLLUP';
  readonly table: TableName;
  /** Empty: whichever runs. */
  readonly jobs: readonly number[];
}

/** `INSERT INTO t [PARTITION (..)] [WITH LABEL l] [(columns)] VALUES (...), ...`. */
export interface Insert {
  readonly kind: 'Insert';
  readonly table: TableName;
  readonly partitions: readonly string[];
  readonly label: string | undefined;
  /** undefined: no column list. */
  readonly columns: readonly string[] | undefined;
  readonly rows: readonly (readonly Expr[])[];
}

/** `INSERT INTO t [...] [(columns)] query`; `query` is its text. */
export interface InsertSelect extends Omit<Insert, 'kind' | 'rows'> {
  readonly kind: 'InsertSelect';
  readonly query: string;
}

/** `RENAME TABLE a TO b, ...`: all of them or none, one after the other. */
export interface RenameTables {
  readonly kind: 'RenameTables';
  readonly renames: readonly { readonly from: TableName; readonly to: TableName }[];
}

export type TableStatement =
  | CreateDatabase
  | DropDatabase
  | CreateTable
  | CreateTableLike
  | DropTable
  | TruncateTable
  | AlterTable
  | CancelAlterTable
  | Insert
  | InsertSelect
  | RenameTables;
