/**
 * One row per column type: how it is written into Parquet and read back. Physical values are what
 * hyparquet(-writer) exchanges when it is kept from converting: booleans, numbers, bigints, strings
 * and bytes. Its own conversion would pass decimals through floats and times through `Date`.
 *
 * | SQL | Parquet |
 * | --- | --- |
 * | BOOLEAN | BOOLEAN |
 * | TINYINT, SMALLINT, INT | INT32 (INT_8, INT_16, plain) |
 * | BIGINT | INT64 |
 * | LARGEINT | FIXED_LEN_BYTE_ARRAY(16), DECIMAL(38,0); values of 39 digits use the same 16 bytes |
 * | FLOAT, DOUBLE | FLOAT, DOUBLE |
 * | DECIMAL(p,s) | INT32 up to 9 digits, INT64 up to 18, else FIXED_LEN_BYTE_ARRAY(16) |
 * | DATE | INT32, DATE |
 * | DATETIME(p) | INT64, TIMESTAMP(MICROS, not adjusted to UTC) |
 * | CHAR, VARCHAR, STRING, JSON | BYTE_ARRAY, STRING (the type JSON is bytes to some readers) |
 */
import type { SchemaElement } from 'hyparquet';
import { civilOfMicros, civilText, dayText, daysOf } from '../../base/civil_time.ts';
import { decimalText } from '../../base/convert.ts';
import type { ColumnType, SqlValue } from '../../base/values.ts';
import type { CellStorage } from './cells.ts';

export type Physical = boolean | number | bigint | string | Uint8Array;

type Present = Exclude<SqlValue, null>;

export interface ColumnCodec {
  /** Name and repetition are the caller's. */
  readonly element: Omit<SchemaElement, 'name' | 'repetition_type'>;
  /** Canonical → physical. */
  readonly encode: (value: Present) => Physical;
  /** Physical → canonical; throws on what the type cannot be. */
  readonly decode: (value: Physical) => Present;
  readonly storage: CellStorage;
  /** Bytes one value holds in memory while a segment is collected, about. */
  readonly bytes: (value: Present) => number;
}

/** Bytes of a DECIMAL or LARGEINT that does not fit into 64 bits. */
const WIDE_BYTES = 16;
/** Texts of days and decimals kept to be reused; most columns have few distinct ones. */
const MEMO_MAX = 4096;

/** With the slack of arrays that double. */
const FIXED_BYTES = 12;
/** A bigint of up to 128 bits, and its place in an array. */
const WIDE_NUMBER_BYTES = 48;
/** Head of a string, rounding, and its place in an array. */
const TEXT_BYTES = 32;

export function columnCodec(type: ColumnType): ColumnCodec {
  switch (type.kind) {
    case 'BOOLEAN':
      return {
        element: { type: 'BOOLEAN' },
        encode: (value) => value === 1,
        decode: (value) => (value === true ? 1 : 0),
        storage: 'any',
        bytes: () => FIXED_BYTES,
      };
    case 'TINYINT':
      return numberCodec({ type: 'INT32', converted_type: 'INT_8' }, 'int32');
    case 'SMALLINT':
      return numberCodec({ type: 'INT32', converted_type: 'INT_16' }, 'int32');
    case 'INT':
      return numberCodec({ type: 'INT32' }, 'int32');
    case 'FLOAT':
      return numberCodec({ type: 'FLOAT' }, 'float64');
    case 'DOUBLE':
      return numberCodec({ type: 'DOUBLE' }, 'float64');
    case 'BIGINT':
      return {
        element: { type: 'INT64' },
        encode: (value) => value,
        decode: asBigint,
        storage: 'int64',
        bytes: () => FIXED_BYTES,
      };
    case 'LARGEINT':
      return {
        element: decimalElement(38, 0),
        encode: (value) => value,
        decode: (value) => bigintOf(value),
        storage: 'any',
        bytes: () => WIDE_NUMBER_BYTES,
      };
    case 'DECIMAL':
      return decimalCodec(type.precision, type.scale);
    case 'DATE':
      return dateCodec();
    case 'DATETIME':
      return datetimeCodec(type.precision);
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      return textCodec();
  }
}

function numberCodec(element: ColumnCodec['element'], storage: CellStorage): ColumnCodec {
  return {
    element,
    encode: (value) => value,
    decode: (value) => {
      if (typeof value !== 'number') throw new TypeError(`expected a number, got ${typeof value}`);
      return value;
    },
    storage,
    bytes: () => FIXED_BYTES,
  };
}

function textCodec(): ColumnCodec {
  return {
    element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
    encode: (value) => value,
    decode: (value) => {
      if (typeof value !== 'string') throw new TypeError(`expected text, got ${typeof value}`);
      return value;
    },
    storage: 'any',
    bytes: (value) => TEXT_BYTES + String(value).length,
  };
}

function decimalElement(precision: number, scale: number): ColumnCodec['element'] {
  const logical = { type: 'DECIMAL', precision, scale } as const;
  const decimal = { converted_type: 'DECIMAL', precision, scale, logical_type: logical } as const;
  if (precision <= 9) return { type: 'INT32', ...decimal };
  if (precision <= 18) return { type: 'INT64', ...decimal };
  return { type: 'FIXED_LEN_BYTE_ARRAY', type_length: WIDE_BYTES, ...decimal };
}

function decimalCodec(precision: number, scale: number): ColumnCodec {
  return {
    element: decimalElement(precision, scale),
    // The writer takes a bigint as the unscaled value.
    encode: (value) => BigInt(String(value).replace('.', '')),
    decode: (value) => decimalText(bigintOf(value), scale),
    storage: precision > 18 ? 'any' : 'int64',
    bytes: () => (precision > 18 ? WIDE_NUMBER_BYTES : FIXED_BYTES),
  };
}

function dateCodec(): ColumnCodec {
  return {
    element: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } },
    encode: memo((value: Present) => daysOfText(String(value))),
    decode: memo((value: Physical) => present(dayText(Number(value)), value)),
    storage: 'int32',
    bytes: () => FIXED_BYTES,
  };
}

function datetimeCodec(precision: number): ColumnCodec {
  return {
    element: {
      type: 'INT64',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, unit: 'MICROS' },
    },
    encode: memo((value: Present) => microsOfText(String(value))),
    decode: memo((value: Physical) =>
      present(civilText(civilOfMicros(asBigint(value)), precision), value),
    ),
    storage: 'int64',
    bytes: () => FIXED_BYTES,
  };
}

/** `YYYY-MM-DD...` in canonical form → days since 1970-01-01. */
function daysOfText(text: string): number {
  return daysOf(Number(text.slice(0, 4)), Number(text.slice(5, 7)), Number(text.slice(8, 10)));
}

/** `YYYY-MM-DD HH:MM:SS[.ffffff]` in canonical form → microseconds since 1970-01-01. */
function microsOfText(text: string): bigint {
  const seconds =
    daysOfText(text) * 86_400 +
    Number(text.slice(11, 13)) * 3600 +
    Number(text.slice(14, 16)) * 60 +
    Number(text.slice(17, 19));
  return BigInt(seconds) * 1_000_000n + BigInt(text.slice(20).padEnd(6, '0'));
}

function asBigint(value: Physical): bigint {
  if (typeof value === 'bigint') return value;
  throw new TypeError(`expected a 64-bit integer, got ${typeof value}`);
}

/** An integer of any physical width; bytes are big-endian two's complement, as Parquet says. */
export function bigintOf(value: Physical): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return BigInt(value);
  if (!ArrayBuffer.isView(value)) throw new TypeError(`expected a number, got ${typeof value}`);
  if (value.byteLength === 0) return 0n;
  const hex = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
  return BigInt.asIntN(value.byteLength * 8, BigInt(`0x${hex}`));
}

function present(text: string | undefined, value: Physical): string {
  if (text === undefined) throw new RangeError(`${String(value)} is no date of the years 0..9999`);
  return text;
}

/** Remembers the last MEMO_MAX results or fewer. */
export function memo<In, Out>(convert: (value: In) => Out): (value: In) => Out {
  const known = new Map<In, Out>();
  return (value) => {
    const hit = known.get(value);
    if (hit !== undefined) return hit;
    const result = convert(value);
    if (known.size >= MEMO_MAX) known.clear();
    known.set(value, result);
    return result;
  };
}
