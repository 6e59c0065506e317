/** A column's type in the words of information_schema.columns and SHOW COLUMNS. */
import type { ColumnDef } from '../../base/schema.ts';
import { typeText, type ColumnType } from '../../base/values.ts';

export interface ColumnFacts {
  /** `decimal` */
  readonly dataType: string;
  /** `decimal(10,2)` */
  readonly columnType: string;
  readonly characters: bigint | null;
  readonly bytes: bigint | null;
  readonly precision: bigint | null;
  readonly scale: bigint | null;
  readonly datetimePrecision: bigint | null;
  readonly isText: boolean;
}

/** Digits of the integer types, as MySQL counts them. */
const INTEGER_DIGITS: Readonly<Partial<Record<ColumnType['kind'], bigint>>> = {
  BOOLEAN: 3n,
  TINYINT: 3n,
  SMALLINT: 5n,
  INT: 10n,
  BIGINT: 19n,
  LARGEINT: 38n,
};
/** Doris's limit of a STRING, bytes. */
const STRING_BYTES = 2_147_483_643n;
const BYTES_PER_CHARACTER = 4n;

export function columnFacts(type: ColumnType): ColumnFacts {
  const columnType = typeText(type);
  const facts: ColumnFacts = {
    dataType: columnType.replace(/\(.*$/, ''),
    columnType,
    characters: null,
    bytes: null,
    precision: INTEGER_DIGITS[type.kind] ?? null,
    scale: INTEGER_DIGITS[type.kind] === undefined ? null : 0n,
    datetimePrecision: null,
    isText: false,
  };
  switch (type.kind) {
    case 'DECIMAL':
      return { ...facts, precision: BigInt(type.precision), scale: BigInt(type.scale) };
    case 'FLOAT':
      return { ...facts, precision: 12n };
    case 'DOUBLE':
      return { ...facts, precision: 22n };
    case 'DATETIME':
      return { ...facts, datetimePrecision: BigInt(type.precision) };
    case 'CHAR':
    case 'VARCHAR': {
      const characters = BigInt(type.length);
      return { ...facts, characters, bytes: characters * BYTES_PER_CHARACTER, isText: true };
    }
    case 'STRING':
      return { ...facts, characters: STRING_BYTES, bytes: STRING_BYTES, isText: true };
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
    case 'DATE':
    case 'JSON':
      return facts;
  }
}

/** The default as text; null when there is none. */
export function defaultText(column: ColumnDef): string | null {
  const value = column.defaultValue;
  if (value === undefined || value === null) return null;
  return typeof value === 'object' ? value.fn : String(value);
}
