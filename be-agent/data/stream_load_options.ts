/**
 * The headers of a stream load (Doris's names), read strictly: a header of a stream load that is
 * not known, or has a value that is not allowed, is an error and never ignored.
 */
import { SqlError } from '../../base/errors.ts';

const STREAM_LOAD_FORMATS = ['csv', 'csv_with_names', 'json', 'parquet'] as const;
type StreamLoadFormat = (typeof STREAM_LOAD_FORMATS)[number];

export interface StreamLoadOptions {
  /** undefined: the server draws one. */
  readonly label: string | undefined;
  readonly format: StreamLoadFormat;
  /** Names of the source's columns, in order; names that the table has not are skipped. */
  readonly columns: readonly string[] | undefined;
  readonly partitions: readonly string[] | undefined;
  /** Default a tab, as in Doris. */
  readonly columnSeparator: string;
  readonly lineDelimiter: string;
  readonly enclose: string | undefined;
  readonly escape: string | undefined;
  /** Lines before the data (and before the names of csv_with_names) that are not read. */
  readonly skipLines: number;
  readonly stripOuterArray: boolean;
  /** false: the body is one JSON object (or, with stripOuterArray, one array). */
  readonly readJsonByLine: boolean;
  readonly gzip: boolean;
  /** 0..1 */
  readonly maxFilterRatio: number;
  /** false: a value that does not fit a nullable column becomes NULL. */
  readonly strictMode: boolean;
  /** undefined: stream_load_default_timeout_second. */
  readonly timeoutSeconds: number | undefined;
}

export type HeaderValues = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Longest column_separator and line_delimiter, characters. */
const SEPARATOR_LENGTH_MAX = 16;
const TIMEOUT_SECONDS_MAX = 604_800;
const LABEL = /^[-\w.:]{1,128}$/;

/** Doris's headers that mean something we do not do yet; a neutral value is accepted. */
const UNSUPPORTED: Readonly<Record<string, RegExp>> = {
  where: /^$/,
  jsonpaths: /^$/,
  json_root: /^$/,
  function_column: /^$/,
  sequence_col: /^$/,
  'function_column.sequence_col': /^$/,
  merge_type: /^append$/i,
  delete: /^$/,
  two_phase_commit: /^false$/i,
  partial_columns: /^false$/i,
  temporary_partitions: /^$/,
  hidden_columns: /^$/,
  num_as_string: /^false$/i,
  fuzzy_parse: /^false$/i,
  negative: /^false$/i,
  group_commit: /^(off_mode|false)$/i,
  sql: /^$/,
  trim_double_quotes: /^false$/i,
};

/** Throws BAD_PROPERTY, BAD_LABEL, NOT_SUPPORTED. `headers` with names in lower case (node:http). */
export function parseStreamLoadHeaders(headers: HeaderValues): StreamLoadOptions {
  refuseUnsupported(headers);
  const separator = text(headers, 'column_separator');
  const delimiter = text(headers, 'line_delimiter');
  const format = formatOf(headers);
  const byLine = flag(headers, 'read_json_by_line');
  const stripOuterArray = flag(headers, 'strip_outer_array') ?? false;
  const options: StreamLoadOptions = {
    label: labelOf(headers),
    format,
    columns: columnsOf(headers),
    partitions: namesOf(headers, 'partitions'),
    columnSeparator: separatorOf('column_separator', separator, '\t'),
    lineDelimiter: separatorOf('line_delimiter', delimiter, '\n'),
    enclose: oneCharacter(headers, 'enclose'),
    escape: oneCharacter(headers, 'escape'),
    skipLines: wholeNumber(headers, 'skip_lines', 0, 2 ** 31 - 1) ?? 0,
    stripOuterArray,
    readJsonByLine: byLine ?? !stripOuterArray,
    gzip: gzipOf(headers),
    maxFilterRatio: ratioOf(headers),
    strictMode: flag(headers, 'strict_mode') ?? true,
    timeoutSeconds: wholeNumber(headers, 'timeout', 1, TIMEOUT_SECONDS_MAX),
  };
  if (options.gzip && format === 'parquet') {
    throw bad('compress_type', 'gz', 'none for parquet, whose pages are compressed already');
  }
  return options;
}

function bad(name: string, value: string, allowed: string): SqlError {
  return new SqlError('BAD_PROPERTY', { name, value, allowed });
}

/** HTTP hands header bytes out as Latin-1; names and separators are UTF-8. */
function text(headers: HeaderValues, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  const first = typeof value === 'string' ? value : value.join(',');
  const utf8 = Buffer.from(first, 'latin1').toString('utf8');
  return utf8.includes('\ufffd') ? first : utf8;
}

function refuseUnsupported(headers: HeaderValues): void {
  for (const [name, neutral] of Object.entries(UNSUPPORTED)) {
    const value = text(headers, name);
    if (value !== undefined && !neutral.test(value)) {
      throw new SqlError('NOT_SUPPORTED', { what: `stream load header ${name}: ${value}` });
    }
  }
}

function formatOf(headers: HeaderValues): StreamLoadFormat {
  const value = text(headers, 'format') ?? 'csv';
  const format = STREAM_LOAD_FORMATS.find((known) => known === value.toLowerCase());
  if (format === undefined) throw bad('format', value, STREAM_LOAD_FORMATS.join(', '));
  return format;
}

function labelOf(headers: HeaderValues): string | undefined {
  const label = text(headers, 'label');
  if (label === undefined || LABEL.test(label)) return label;
  throw new SqlError('BAD_LABEL', { label });
}

/** `a, b, c` or `` `a`,`b` ``; an expression (`c = a + 1`) is not supported. */
function columnsOf(headers: HeaderValues): string[] | undefined {
  const value = text(headers, 'columns');
  if (value === undefined) return undefined;
  if (/[=()]/.test(value)) {
    throw new SqlError('NOT_SUPPORTED', { what: `expressions in stream load header columns` });
  }
  return namesOf(headers, 'columns');
}

function namesOf(headers: HeaderValues, header: string): string[] | undefined {
  const value = text(headers, header);
  if (value === undefined) return undefined;
  const names = value.split(',').map((name) => name.trim().replace(/^`(.*)`$/, '$1'));
  if (names.some((name) => name === '')) throw bad(header, value, 'names separated by commas');
  return names;
}

/** Names escapes: `\t`, `\n`, `\r`, `\\` and `\x01`, because a header cannot hold the characters. */
function separatorOf(header: string, value: string | undefined, fallback: string): string {
  if (value === undefined) return fallback;
  const escapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };
  const plain = value.replaceAll(
    /\\(?:x([0-9a-fA-F]{2})|([tnr\\]))/g,
    (whole, hex: string | undefined, letter: string | undefined) =>
      hex === undefined
        ? (escapes[letter ?? ''] ?? whole)
        : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  if (plain.length >= 1 && plain.length <= SEPARATOR_LENGTH_MAX) return plain;
  throw bad(header, value, `1 to ${SEPARATOR_LENGTH_MAX} characters, such as , or \\t or \\x01`);
}

function oneCharacter(headers: HeaderValues, name: string): string | undefined {
  const value = text(headers, name);
  if (value === undefined || (value.length === 1 && value > ' ' && value < '\x7f')) return value;
  throw bad(name, value, 'one ASCII character');
}

function wholeNumber(
  headers: HeaderValues,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const value = text(headers, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,10}$/.test(value) ? Number(value) : NaN;
  if (number >= min && number <= max) return number;
  throw bad(name, value, `a whole number from ${min} to ${max}`);
}

function flag(headers: HeaderValues, name: string): boolean | undefined {
  const value = text(headers, name);
  if (value === undefined) return undefined;
  if (/^true$/i.test(value)) return true;
  if (/^false$/i.test(value)) return false;
  throw bad(name, value, 'true or false');
}

function gzipOf(headers: HeaderValues): boolean {
  const value = text(headers, 'compress_type') ?? '';
  if (/^(gz|gzip)$/i.test(value)) return true;
  if (value === '' || /^(plain|none)$/i.test(value)) return false;
  throw bad('compress_type', value, 'gz');
}

function ratioOf(headers: HeaderValues): number {
  const value = text(headers, 'max_filter_ratio');
  if (value === undefined) return 0;
  const ratio = /^\d*\.?\d+$/.test(value) ? Number(value) : NaN;
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw bad('max_filter_ratio', value, 'a number from 0 to 1');
}
