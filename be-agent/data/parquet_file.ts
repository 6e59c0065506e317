/**
 * Reads Parquet: footer → typed description, row range → physical columns. Used for our segments
 * (through the block cache) and for files that a stream load brought.
 */
import {
  type AsyncBuffer,
  type DecodedArray,
  type FileMetaData,
  type ParquetParsers,
  type SchemaElement,
  parquetMetadata,
  parquetRead,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { Physical } from './column_codec.ts';

/** Bytes of the file's end: length of the footer, magic number. */
export const TAIL_BYTES = 8;
const MAGIC = 0x31524150;

/** Stands for a text that is not UTF-8; no text equals it, because it is half a surrogate pair. */
export const INVALID_TEXT = '\udfff invalid UTF-8';

export interface ParquetFile {
  readonly metadata: FileMetaData;
  /** Leaf columns as the file declares them, by name. */
  readonly leaves: ReadonlyMap<string, SchemaElement>;
  /** Names of columns with structure below them (lists, maps, structs). */
  readonly nested: readonly string[];
  readonly rows: number;
  /** Key-value metadata. */
  readonly keys: ReadonlyMap<string, string>;
}

/** Times and days stay numbers, as exact as they are stored; statistics pass through here too. */
const RAW_PARSERS = {
  timestampFromMilliseconds: (value: bigint) => value,
  timestampFromMicroseconds: (value: bigint) => value,
  timestampFromNanoseconds: (value: bigint) => value,
  dateFromDays: (value: number) => value,
  jsonFromBytes: textOf,
  stringFromBytes: textOf,
  uuidFromBytes: (value: Uint8Array) => value,
  geometryFromBytes: (value: Uint8Array) => value,
  geographyFromBytes: (value: Uint8Array) => value,
} as unknown as ParquetParsers;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** hyparquet's own parser drops a leading U+FEFF and replaces bad bytes silently. */
function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  try {
    return UTF8.decode(bytes);
  } catch {
    return INVALID_TEXT;
  }
}

/** Length of the footer that ends at the file's end, without the tail; throws when it is none. */
export function footerLength(tail: Uint8Array): number {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  if (tail.byteLength < TAIL_BYTES || view.getUint32(tail.byteLength - 4, true) !== MAGIC) {
    throw new Error('it does not end with the Parquet magic number');
  }
  return view.getUint32(tail.byteLength - TAIL_BYTES, true);
}

/** `tail`: the last bytes of the file, with the whole footer in them. */
export function parseFooter(tail: Uint8Array): ParquetFile {
  const length = footerLength(tail);
  if (length > tail.byteLength - TAIL_BYTES) throw new Error('its footer is longer than the file');
  // A view of its own: hyparquet recognises Uint8Array by instanceof.
  const bytes = new Uint8Array(tail.buffer, tail.byteOffset, tail.byteLength);
  const declared = parquetMetadata(bytes, { parsers: RAW_PARSERS, geoparquet: false });
  const [leaves, nested] = topLevel(declared.schema);
  const keys = (declared.key_value_metadata ?? []).map((entry) => [entry.key, entry.value ?? '']);
  return {
    metadata: { ...declared, schema: declared.schema.map(physicalElement) },
    leaves,
    nested,
    rows: Number(declared.num_rows),
    keys: new Map(keys as [string, string][]),
  };
}

/** Without its logical type hyparquet hands the value out as it is stored; text is decoded. */
function physicalElement(element: SchemaElement): SchemaElement {
  const { converted_type: _converted, logical_type: _logical, ...physical } = element;
  if (!isText(element)) return physical;
  return { ...physical, converted_type: 'UTF8' };
}

export function isText({ type, converted_type, logical_type }: SchemaElement): boolean {
  if (type !== 'BYTE_ARRAY') return false;
  const converted = converted_type === 'UTF8' || converted_type === 'JSON';
  const logical = logical_type?.type === 'STRING' || logical_type?.type === 'JSON';
  return converted || logical || converted_type === 'ENUM' || logical_type?.type === 'ENUM';
}

function topLevel(schema: readonly SchemaElement[]): [Map<string, SchemaElement>, string[]] {
  const leaves = new Map<string, SchemaElement>();
  const nested: string[] = [];
  let index = 1;
  while (index < schema.length) {
    const element = schema[index];
    if (element === undefined) break;
    const flat = element.num_children === undefined && element.repetition_type !== 'REPEATED';
    if (flat) leaves.set(element.name, element);
    else nested.push(element.name);
    index = afterSubtree(schema, index);
  }
  return [leaves, nested];
}

function afterSubtree(schema: readonly SchemaElement[], index: number): number {
  let next = index + 1;
  for (let child = schema[index]?.num_children ?? 0; child > 0; child -= 1) {
    if (next >= schema.length) throw new Error('its schema ends in the middle');
    next = afterSubtree(schema, next);
  }
  return next;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Ranges of the named columns' chunks in a row group; throws when they lie outside the file. */
export function chunkRanges(
  file: ParquetFile,
  group: number,
  names: ReadonlySet<string>,
  size: number,
): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (const { meta_data: chunk } of file.metadata.row_groups[group]?.columns ?? []) {
    const [name] = chunk?.path_in_schema ?? [];
    if (chunk === undefined || name === undefined || !names.has(name)) continue;
    const dictionary = chunk.dictionary_page_offset ?? 0n;
    const first = dictionary > 0n && dictionary < chunk.data_page_offset;
    const start = Number(first ? dictionary : chunk.data_page_offset);
    const end = start + Number(chunk.total_compressed_size);
    if (!(start >= 0 && start < end && end <= size)) throw new Error('a column lies outside of it');
    ranges.push({ start, end });
  }
  return ranges;
}

/** Sorted, and joined when no more than `gap` unwanted bytes lie between two. */
export function joinRanges(ranges: readonly ByteRange[], gap: number): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end + gap) {
      joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else joined.push(range);
  }
  return joined;
}

/** undefined and null both stand for NULL. */
export type PhysicalColumn = ArrayLike<Physical | null | undefined>;

/**
 * Decodes rows [start, end) of the named flat columns. `read` gets file offsets. Throws when a
 * column has fewer rows than the file says.
 */
export async function readRows(
  file: ParquetFile,
  names: readonly string[],
  start: number,
  end: number,
  size: number,
  read: AsyncBuffer['slice'],
): Promise<PhysicalColumn[]> {
  const parts = new Map<string, { from: number; data: DecodedArray }[]>();
  await parquetRead({
    file: { byteLength: size, slice: read },
    metadata: file.metadata,
    columns: [...names],
    rowStart: start,
    rowEnd: end,
    utf8: false,
    geoparquet: false,
    parsers: RAW_PARSERS,
    compressors,
    onChunk: ({ columnName, columnData, rowStart }) => {
      const list = parts.get(columnName) ?? [];
      list.push({ from: rowStart, data: columnData });
      parts.set(columnName, list);
    },
  });
  return names.map((name) => assemble(name, parts.get(name) ?? [], start, end));
}

function assemble(
  name: string,
  parts: readonly { from: number; data: DecodedArray }[],
  start: number,
  end: number,
): PhysicalColumn {
  const [only] = parts;
  if (parts.length === 1 && only?.from === start && only.data.length === end - start) {
    return only.data as PhysicalColumn;
  }
  const column: (Physical | null | undefined)[] = [];
  for (const { from, data } of [...parts].sort((a, b) => a.from - b.from)) {
    const stop = Math.min(end - from, data.length);
    for (let i = Math.max(0, start - from); i < stop; i += 1) {
      column.push((data as PhysicalColumn)[i]);
    }
  }
  if (column.length !== end - start) {
    throw new Error(`column ${name} has ${column.length} of ${end - start} rows`);
  }
  return column;
}
