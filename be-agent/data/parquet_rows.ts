/**
 * A Parquet file that a stream load brought → rows. The file lies on disk, because Parquet is read
 * from its end; a row group (or SLICE_ROWS of a large one) is held at a time.
 */
import type { FileHandle } from 'node:fs/promises';
import type { SchemaElement } from 'hyparquet';
import { civilOfMicros, civilText, dayText } from '../../base/civil_time.ts';
import { type InputValue, decimalText } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import { type Physical, bigintOf, memo } from './column_codec.ts';
import { messageOf } from './message_of.ts';
import {
  INVALID_TEXT,
  type ParquetFile,
  type PhysicalColumn,
  TAIL_BYTES,
  footerLength,
  isText,
  parseFooter,
  readRows,
} from './parquet_file.ts';
import type { SourceRow } from './row_batch.ts';

const SLICE_ROWS = 65_536;
/** Rows turned from columns at once: row arrays that live short cost the collector little. */
const BATCH_ROWS = 2048;
const WHOLE_GROUP_ROWS_MAX = 2 * SLICE_ROWS;
const WHOLE_GROUP_BYTES_MAX = 64 * 1024 * 1024;
/** A row group that claims to unfold to more is refused. */
const GROUP_BYTES_MAX = 1024 * 1024 * 1024;
const FOOTER_BYTES_MAX = 64 * 1024 * 1024;
const MAGIC = 'PAR1';
/** 1970-01-01 in Julian days, which INT96 times count. */
const JULIAN_EPOCH = 2_440_588n;

export interface SpooledParquet {
  readonly file: ParquetFile;
  readonly handle: FileHandle;
  readonly size: number;
}

/** Throws LOAD_FAILED when it is no whole Parquet file. */
export async function openParquet(handle: FileHandle): Promise<SpooledParquet> {
  const { size } = await handle.stat();
  try {
    const head = Buffer.from(await readRange(handle, 0, Math.min(size, MAGIC.length)));
    if (head.toString('latin1') !== MAGIC) throw new Error('it does not begin with PAR1');
    const tail = await readRange(handle, Math.max(0, size - TAIL_BYTES), size);
    const length = footerLength(new Uint8Array(tail));
    if (length > Math.min(size - TAIL_BYTES - MAGIC.length, FOOTER_BYTES_MAX)) {
      throw new Error(`its footer of ${length} bytes does not fit`);
    }
    const footer = await readRange(handle, size - TAIL_BYTES - length, size);
    return { file: parseFooter(new Uint8Array(footer)), handle, size };
  } catch (error) {
    throw unreadable('not a Parquet file, or cut off', error);
  }
}

/** Rows of the named columns (names as in the file, at least one). */
export async function* parquetRows(
  { file, handle, size }: SpooledParquet,
  names: readonly string[],
): AsyncGenerator<SourceRow[], void, undefined> {
  const readers = names.map((name) => physicalReader(name, file.leaves.get(name)));
  let groupStart = 0;
  for (const { num_rows, total_byte_size } of file.metadata.row_groups) {
    const groupEnd = groupStart + Number(num_rows);
    if (total_byte_size > GROUP_BYTES_MAX) {
      throw new SqlError('LOAD_FAILED', { why: `a row group exceeds ${GROUP_BYTES_MAX} bytes` });
    }
    const whole =
      groupEnd - groupStart <= WHOLE_GROUP_ROWS_MAX && total_byte_size <= WHOLE_GROUP_BYTES_MAX;
    const step = whole ? Math.max(1, groupEnd - groupStart) : SLICE_ROWS;
    for (let start = groupStart; start < groupEnd; start += step) {
      const end = Math.min(start + step, groupEnd);
      const columns = await readSlice(start, end);
      for (let from = 0; from < end - start; from += BATCH_ROWS) {
        yield transpose(columns, readers, names, from, Math.min(from + BATCH_ROWS, end - start));
      }
    }
    groupStart = groupEnd;
  }

  async function readSlice(start: number, end: number): Promise<PhysicalColumn[]> {
    try {
      return await readRows(file, names, start, end, size, async (from, to = size) =>
        readRange(handle, from, to),
      );
    } catch (error) {
      throw unreadable(`Parquet rows ${start + 1} to ${end} cannot be read`, error);
    }
  }
}

function transpose(
  columns: readonly PhysicalColumn[],
  readers: readonly ((value: Physical) => InputValue)[],
  names: readonly string[],
  start: number,
  end: number,
): SourceRow[] {
  const rows: InputValue[][] = Array.from({ length: end - start }, () => []);
  const invalid = new Map<number, string>();
  columns.forEach((column, c) => {
    const read = readers[c];
    for (let r = 0; r < end - start; r += 1) {
      const value = column[start + r];
      const input = value === null || value === undefined ? null : (read?.(value) ?? null);
      if (input === INVALID_TEXT) invalid.set(r, names[c] ?? '');
      rows[r]?.push(input);
    }
  });
  if (invalid.size === 0) return rows;
  return rows.map((row, r) => {
    const name = invalid.get(r);
    return name === undefined ? row : { problem: `invalid UTF-8 in column ${name}` };
  });
}

function unreadable(what: string, error: unknown): SqlError {
  if (error instanceof SqlError) return error;
  const why = `${what}: ${messageOf(error)}`;
  return new SqlError('LOAD_FAILED', { why }, { cause: error });
}

async function readRange(handle: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(0, end - start));
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
  if (bytesRead !== bytes.length) throw new Error('the file ends early');
  return bytes.buffer;
}

/** How a stored value of this column becomes one that the converters read; NOT_SUPPORTED if not. */
function physicalReader(
  name: string,
  element: SchemaElement | undefined,
): (value: Physical) => InputValue {
  const reader = element === undefined ? undefined : readerOf(element);
  if (reader !== undefined) return reader;
  const type = element?.logical_type?.type ?? element?.converted_type ?? element?.type ?? 'none';
  throw new SqlError('NOT_SUPPORTED', { what: `Parquet column ${name} of type ${type}` });
}

function readerOf(element: SchemaElement): ((value: Physical) => InputValue) | undefined {
  const { type, converted_type: converted, logical_type: logical } = element;
  if (converted === 'DECIMAL' || logical?.type === 'DECIMAL') {
    const scale = (logical?.type === 'DECIMAL' ? logical.scale : element.scale) ?? 0;
    return (value) => decimalText(bigintOf(value), scale);
  }
  if (converted === 'DATE' || logical?.type === 'DATE') {
    return (value) => dayText(Number(value)) ?? `day ${String(value)}`;
  }
  const perSecond = unitsPerSecond(element);
  if (perSecond !== undefined) {
    return memo((value: Physical) => timeText(toMicros(bigintOf(value), perSecond)));
  }
  if (type === 'INT96') return (value) => timeText(int96Micros(bigintOf(value)));
  if (converted === 'UINT_64' || unsigned(element, 64)) {
    return (value) => BigInt.asUintN(64, bigintOf(value));
  }
  if (converted?.startsWith('UINT_') === true || unsigned(element, 32)) {
    return (value) => Number(value) >>> 0;
  }
  if (isText(element)) return textOf;
  const plain = logical === undefined || logical.type === 'INTEGER';
  if (!plain || converted?.startsWith('TIME_') === true || converted === 'INTERVAL') {
    return undefined;
  }
  return type === 'BYTE_ARRAY' ? bytesText : type === 'FIXED_LEN_BYTE_ARRAY' ? undefined : numberOf;
}

function unsigned({ logical_type: logical }: SchemaElement, bits: number): boolean {
  return logical?.type === 'INTEGER' && !logical.isSigned && logical.bitWidth <= bits;
}

function unitsPerSecond({ converted_type: converted, logical_type: logical }: SchemaElement) {
  if (logical?.type === 'TIMESTAMP') {
    const units = { MILLIS: 1000n, MICROS: 1_000_000n, NANOS: 1_000_000_000n };
    return units[logical.unit];
  }
  if (converted === 'TIMESTAMP_MILLIS') return 1000n;
  return converted === 'TIMESTAMP_MICROS' ? 1_000_000n : undefined;
}

function toMicros(value: bigint, perSecond: bigint): bigint {
  if (perSecond <= 1_000_000n) return value * (1_000_000n / perSecond);
  const part = perSecond / 1_000_000n;
  return (value - (((value % part) + part) % part)) / part;
}

function int96Micros(value: bigint): bigint {
  const days = (value >> 64n) - JULIAN_EPOCH;
  return days * 86_400_000_000n + BigInt.asUintN(64, value) / 1000n;
}

function timeText(micros: bigint): string {
  return civilText(civilOfMicros(micros), 6) ?? `${micros} microseconds since 1970`;
}

function numberOf(value: Physical): InputValue {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  return ArrayBuffer.isView(value) ? null : value;
}

function textOf(value: Physical): InputValue {
  return typeof value === 'string' ? value : null;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Old writers leave text unmarked. */
function bytesText(value: Physical): InputValue {
  if (!ArrayBuffer.isView(value)) return null;
  try {
    return UTF8.decode(value);
  } catch {
    return INVALID_TEXT;
  }
}
