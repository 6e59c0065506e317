/** Rows of the binary protocol: what an executed prepared statement answers. */
import type { ColumnKind, ColumnType, SqlRow, SqlValue } from '../../base/values.ts';
import { encodeLatin1 } from './charset.ts';
import type { PacketEncoder } from './packet_encoder.ts';

/** The bitmap of NULLs begins at its third bit. */
const NULL_OFFSET = 2;

/** How a value of a column is written. */
export type WireKind = ColumnKind | 'TIME';

export function wireKind(type: ColumnType): WireKind {
  return type.kind === 'STRING' ? (type.wire ?? type.kind) : type.kind;
}

/** Writes one row into `packets` as a packet of its own. */
export function encodeBinaryRow(
  packets: PacketEncoder,
  row: SqlRow,
  kinds: readonly WireKind[],
  latin1: boolean,
): void {
  packets.begin();
  packets.u8(0);
  let bits = 0;
  for (let at = 0; at < kinds.length; at += 1) {
    const bit = (at + NULL_OFFSET) & 7;
    if (row[at] === null || row[at] === undefined) bits |= 1 << bit;
    if (bit === 7) {
      packets.u8(bits);
      bits = 0;
    }
  }
  if (((kinds.length + NULL_OFFSET) & 7) !== 0) packets.u8(bits);
  for (let at = 0; at < kinds.length; at += 1) {
    const value = row[at];
    const kind = kinds[at];
    if (value !== null && value !== undefined && kind !== undefined) {
      encodeValue(packets, value, kind, latin1);
    }
  }
  packets.end();
}

function encodeValue(
  packets: PacketEncoder,
  value: Exclude<SqlValue, null>,
  kind: WireKind,
  latin1: boolean,
): void {
  switch (kind) {
    case 'BOOLEAN':
    case 'TINYINT':
      packets.u8(Number(value) & 0xff);
      return;
    case 'SMALLINT':
      packets.u16(Number(value) & 0xffff);
      return;
    case 'INT':
      packets.u32(Number(value));
      return;
    case 'BIGINT':
      packets.i64(BigInt(value));
      return;
    case 'FLOAT':
      packets.f32(Number(value));
      return;
    case 'DOUBLE':
      packets.f64(Number(value));
      return;
    case 'DATE':
      encodeDate(packets, String(value), false);
      return;
    case 'DATETIME':
      encodeDate(packets, String(value), true);
      return;
    case 'TIME':
      encodeTime(packets, String(value));
      return;
    case 'LARGEINT':
    case 'DECIMAL':
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      if (latin1) packets.lenencBytes(encodeLatin1(String(value)));
      else packets.text(String(value));
  }
}

/** `YYYY-MM-DD[ HH:MM:SS[.f]]`; the length says how much follows, zeros at the end are left out. */
function encodeDate(packets: PacketEncoder, text: string, withTime: boolean): void {
  const [date = '', time = ''] = text.split(/[ T]/);
  const [year = 0, month = 0, day = 0] = date.split('-').map(Number);
  const [clock = '', fraction = ''] = time.split('.');
  const [hour = 0, minute = 0, second = 0] = clock === '' ? [] : clock.split(':').map(Number);
  const micros = Number(fraction.padEnd(6, '0').slice(0, 6));
  const hasTime = withTime && (hour !== 0 || minute !== 0 || second !== 0 || micros !== 0);
  const isZero = year === 0 && month === 0 && day === 0 && !hasTime;
  const length = isZero ? 0 : micros !== 0 && hasTime ? 11 : hasTime ? 7 : 4;
  packets.u8(length);
  if (length === 0) return;
  packets.u16(year);
  packets.u8(month);
  packets.u8(day);
  if (length === 4) return;
  packets.u8(hour);
  packets.u8(minute);
  packets.u8(second);
  if (length === 11) packets.u32(micros);
}

/** `[-]H:MM:SS[.f]`: sign, days, the rest of the hours, and microseconds where there are any. */
function encodeTime(packets: PacketEncoder, text: string): void {
  const [clock = '', fraction = ''] = text.replace(/^-/, '').split('.');
  const [hours = 0, minutes = 0, seconds = 0] = clock.split(':').map(Number);
  const micros = Number(fraction.padEnd(6, '0').slice(0, 6));
  const isZero = hours === 0 && minutes === 0 && seconds === 0 && micros === 0;
  packets.u8(isZero ? 0 : micros === 0 ? 8 : 12);
  if (isZero) return;
  packets.u8(text.startsWith('-') ? 1 : 0);
  packets.u32(Math.floor(hours / 24));
  packets.u8(hours % 24);
  packets.u8(minutes);
  packets.u8(seconds);
  if (micros !== 0) packets.u32(micros);
}
