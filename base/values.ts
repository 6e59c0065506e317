/**
 * SQL values and column types, as they travel between parser, catalog, backends and the wire.
 *
 * One canonical JavaScript form per type:
 *
 * | type | value |
 * | --- | --- |
 * | BOOLEAN | number 0 or 1 |
 * | TINYINT, SMALLINT, INT | number |
 * | BIGINT, LARGEINT | bigint |
 * | FLOAT, DOUBLE | number (finite) |
 * | DECIMAL(p,s) | string, plain notation with exactly s fraction digits |
 * | DATE | string `YYYY-MM-DD` |
 * | DATETIME(p) | string `YYYY-MM-DD HH:MM:SS[.f{p}]`, no time zone |
 * | CHAR, VARCHAR, STRING, JSON | string |
 *
 * NULL is `null` everywhere.
 */
export type SqlValue = null | number | bigint | string;

export type SqlRow = readonly SqlValue[];

export type ColumnType =
  | { readonly kind: 'BOOLEAN' }
  | { readonly kind: 'TINYINT' }
  | { readonly kind: 'SMALLINT' }
  | { readonly kind: 'INT' }
  | { readonly kind: 'BIGINT' }
  | { readonly kind: 'LARGEINT' }
  | { readonly kind: 'FLOAT' }
  | { readonly kind: 'DOUBLE' }
  /** precision 1..38, scale 0..precision */
  | { readonly kind: 'DECIMAL'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'DATE' }
  /** precision: fraction digits, 0..6 */
  | { readonly kind: 'DATETIME'; readonly precision: number }
  /** length in characters, 1..255 */
  | { readonly kind: 'CHAR'; readonly length: number }
  /** length in characters, 1..65533 (Doris's limit) */
  | { readonly kind: 'VARCHAR'; readonly length: number }
  /** `wire`: what MySQL's clients are told it is: `[-]HH:MM:SS[.f]` of a calculation. */
  | { readonly kind: 'STRING'; readonly wire?: 'TIME' }
  | { readonly kind: 'JSON' };

export type ColumnKind = ColumnType['kind'];

/** The type as SHOW CREATE TABLE and DESC print it, lower case, e.g. `decimal(10,2)`. */
export function typeText(type: ColumnType): string {
  switch (type.kind) {
    case 'DECIMAL':
      return `decimal(${type.precision},${type.scale})`;
    case 'DATETIME':
      return type.precision === 0 ? 'datetime' : `datetime(${type.precision})`;
    case 'CHAR':
    case 'VARCHAR':
      return `${type.kind.toLowerCase()}(${type.length})`;
    case 'BOOLEAN':
      return 'tinyint(1)';
    case 'STRING':
      return 'text';
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
    case 'FLOAT':
    case 'DOUBLE':
    case 'DATE':
    case 'JSON':
      return type.kind.toLowerCase();
  }
}

/** A column of a result set. `table`, `schema` and the `org` names may be empty. */
export interface ResultColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable?: boolean;
  readonly schema?: string;
  readonly table?: string;
  readonly orgTable?: string;
  readonly orgName?: string;
}

/** Rows of a result: all at once when they are few, in batches with back pressure when many. */
export type ResultRows = readonly SqlRow[] | AsyncIterable<readonly SqlRow[]>;

export interface RowsResult {
  readonly kind: 'rows';
  readonly columns: readonly ResultColumn[];
  readonly rows: ResultRows;
}

export interface OkResult {
  readonly kind: 'ok';
  readonly affectedRows: number;
  /** Human text as MySQL's `info`, e.g. `Records: 3  Duplicates: 0  Warnings: 0`. */
  readonly info?: string;
}

export type StatementResult = RowsResult | OkResult;

/** A row of SHOW WARNINGS. */
export interface Warning {
  readonly level: 'Note' | 'Warning' | 'Error';
  readonly code: number;
  readonly message: string;
}

export const OK: OkResult = { kind: 'ok', affectedRows: 0 };

/** A text column, the commonest kind in SHOW results (Doris answers strings throughout). */
export function textColumn(name: string): ResultColumn {
  return { name, type: { kind: 'STRING' }, nullable: true };
}

export function bigintColumn(name: string): ResultColumn {
  return { name, type: { kind: 'BIGINT' }, nullable: true };
}
