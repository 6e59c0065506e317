/** Column definitions of result sets: type, length, flags and decimals per column type. */
import type { ColumnType, ResultColumn } from '../../base/values.ts';
import { BINARY_COLLATION, charsetRow, encodeLatin1 } from './charset.ts';
import type { ClientCharset } from './charset.ts';
import { PacketEncoder } from './packet_encoder.ts';
import type { RecentRows } from './recent_rows.ts';

// prettier-ignore
const TYPE = {
  TINY: 1, SHORT: 2, LONG: 3, FLOAT: 4, DOUBLE: 5, LONGLONG: 8, DATE: 10, TIME: 11, DATETIME: 12,
  JSON: 245, NEWDECIMAL: 246, VAR_STRING: 253, STRING: 254,
} as const;

const FLAG = { NOT_NULL: 0x01, BLOB: 0x10, BINARY: 0x80 } as const;

/** "As many decimals as it needs": MySQL's NOT_FIXED_DEC. */
const NOT_FIXED = 31;
const JSON_BYTES_MAX = 0xffff_ffff;
/** Length of a STRING column in characters: the limit of a VARCHAR, which clients can buffer. */
const STRING_CHARS = 65_535;
const LARGEINT_CHARS = 40;

interface WireType {
  readonly type: number;
  /** Display width in characters for text (times the bytes of a character), else in bytes. */
  readonly length: number;
  readonly decimals: number;
  readonly flags: number;
  readonly isText: boolean;
}

const number = (type: number, length: number, decimals = 0): WireType => ({
  type,
  length,
  decimals,
  flags: 0,
  isText: false,
});
const time = (type: number, length: number, decimals = 0): WireType => ({
  type,
  length,
  decimals,
  flags: FLAG.BINARY,
  isText: false,
});
const text = (type: number, length: number): WireType => ({
  type,
  length,
  decimals: 0,
  flags: 0,
  isText: true,
});

/**
 * The wire's idea of a type. LARGEINT has no MySQL type and goes as text, as Doris sends it.
 * STRING goes as VAR_STRING and not as BLOB, like MySQL's SHOW columns: ODBC-based tools neither
 * group nor filter by long types.
 */
function wireType(type: ColumnType): WireType {
  switch (type.kind) {
    case 'BOOLEAN':
      return number(TYPE.TINY, 1);
    case 'TINYINT':
      return number(TYPE.TINY, 4);
    case 'SMALLINT':
      return number(TYPE.SHORT, 6);
    case 'INT':
      return number(TYPE.LONG, 11);
    case 'BIGINT':
      return number(TYPE.LONGLONG, 20);
    case 'LARGEINT':
      return text(TYPE.STRING, LARGEINT_CHARS);
    case 'FLOAT':
      return number(TYPE.FLOAT, 12, NOT_FIXED);
    case 'DOUBLE':
      return number(TYPE.DOUBLE, 22, NOT_FIXED);
    case 'DECIMAL':
      return number(TYPE.NEWDECIMAL, type.precision + (type.scale > 0 ? 2 : 1), type.scale);
    case 'DATE':
      return time(TYPE.DATE, 10);
    case 'DATETIME':
      return time(TYPE.DATETIME, type.precision === 0 ? 19 : 20 + type.precision, type.precision);
    case 'CHAR':
      return text(TYPE.STRING, type.length);
    case 'VARCHAR':
      return text(TYPE.VAR_STRING, type.length);
    case 'STRING':
      return type.wire === 'TIME' ? time(TYPE.TIME, 10) : text(TYPE.VAR_STRING, STRING_CHARS);
    case 'JSON':
      return {
        type: TYPE.JSON,
        length: JSON_BYTES_MAX,
        decimals: 0,
        flags: FLAG.BLOB | FLAG.BINARY,
        isText: false,
      };
  }
}

/** Writes the fields of one column definition into the packet that is open. */
export function encodeColumn(
  packets: PacketEncoder,
  column: ResultColumn,
  charset: ClientCharset,
): void {
  const wire = wireType(column.type);
  const { collationId, bytesPerChar } = charsetRow(charset);
  const table = column.table ?? '';
  const computed = table === '';
  const name = (value: string): void => {
    if (charset === 'latin1') packets.lenencBytes(encodeLatin1(value));
    else packets.text(value);
  };
  name('def');
  name(column.schema ?? '');
  name(table);
  name(column.orgTable ?? table);
  name(column.name);
  name(column.orgName ?? (computed ? '' : column.name));
  packets.u8(0x0c); // length of what follows
  packets.u16(wire.isText ? collationId : BINARY_COLLATION);
  packets.u32(wire.isText ? wire.length * bytesPerChar : wire.length);
  packets.u8(wire.type);
  packets.u16(
    wire.flags |
      (column.nullable === false ? FLAG.NOT_NULL : 0) |
      (computed && !wire.isText ? FLAG.BINARY : 0),
  );
  packets.u8(computed && wire.isText ? NOT_FIXED : wire.decimals);
  packets.zeros(2);
}

export interface ColumnBlock {
  readonly bytes: Buffer;
  readonly packets: number;
  /** How many results have had it. One of a SELECT is used once. */
  uses: number;
  /** What the last short result with these columns had, by form. */
  readonly recent: { text?: RecentRows; binary?: RecentRows };
}

/** Encoded blocks by the identity of the columns array: executors keep theirs as constants. */
const blocks = new WeakMap<readonly ResultColumn[], Map<ClientCharset, ColumnBlock>>();

/** The column count packet and all definitions, numbered from 1. */
export function columnBlock(columns: readonly ResultColumn[], charset: ClientCharset): ColumnBlock {
  let byCharset = blocks.get(columns);
  if (byCharset === undefined) {
    byCharset = new Map();
    blocks.set(columns, byCharset);
  }
  let block = byCharset.get(charset);
  if (block === undefined) {
    block = encodeBlock(columns, charset);
    byCharset.set(charset, block);
  }
  block.uses += 1;
  return block;
}

function encodeBlock(columns: readonly ResultColumn[], charset: ClientCharset): ColumnBlock {
  const packets = new PacketEncoder();
  packets.sequence = 1;
  packets.begin();
  packets.lenenc(columns.length);
  packets.end();
  for (const column of columns) {
    packets.begin();
    encodeColumn(packets, column, charset);
    packets.end();
  }
  return { bytes: packets.take(), packets: columns.length + 1, uses: 0, recent: {} };
}
