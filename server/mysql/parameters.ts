/** Parameters of COM_STMT_EXECUTE: binary values → JavaScript values. */
import { isUtf8 } from 'node:buffer';
import { SqlError } from '../../base/errors.ts';
import { decodeText } from './charset.ts';
import type { ClientCharset } from './charset.ts';
import { shortestFloat } from './number_text.ts';
import { type PayloadReader, malformed } from './payload_reader.ts';

/** A value whose type is more than its text, as MySQL writes it. */
export interface TypedParameter {
  readonly kind: 'DATE' | 'TIMESTAMP' | 'TIME' | 'DECIMAL';
  readonly text: string;
}

/** A bound value. Bytes that are no text in the client's character set stay bytes. */
export type ParameterValue = null | number | bigint | string | Buffer | TypedParameter;

/** Type byte and flags of one parameter, as the client announced them. */
export interface ParameterType {
  readonly type: number;
  readonly unsigned: boolean;
}

const UNSIGNED_FLAG = 0x80;

// prettier-ignore
const TYPE = {
  DECIMAL: 0x00, TINY: 0x01, SHORT: 0x02, LONG: 0x03, FLOAT: 0x04, DOUBLE: 0x05, NULL: 0x06, TIMESTAMP: 0x07,
  LONGLONG: 0x08, INT24: 0x09, DATE: 0x0a, TIME: 0x0b, DATETIME: 0x0c, YEAR: 0x0d, VARCHAR: 0x0f,
  BIT: 0x10, JSON: 0xf5, NEWDECIMAL: 0xf6,
} as const;

export function readParameterType(fields: PayloadReader): ParameterType {
  return { type: fields.u8(), unsigned: (fields.u8() & UNSIGNED_FLAG) !== 0 };
}

/** One value that is neither NULL nor was sent as long data. Throws MALFORMED_PACKET. */
export function readParameter(
  fields: PayloadReader,
  { type, unsigned }: ParameterType,
  charset: ClientCharset,
): ParameterValue {
  switch (type) {
    case TYPE.NULL:
      return null;
    case TYPE.TINY:
      return signed(fields.u8(), 8, unsigned);
    case TYPE.SHORT:
    case TYPE.YEAR:
      return signed(fields.u16(), 16, unsigned);
    case TYPE.LONG:
    case TYPE.INT24:
      return signed(fields.u32(), 32, unsigned);
    case TYPE.LONGLONG: {
      const bytes = fields.bytes(8);
      return unsigned ? bytes.readBigUInt64LE() : bytes.readBigInt64LE();
    }
    case TYPE.FLOAT:
      return finite(shortestFloat(fields.bytes(4).readFloatLE()));
    case TYPE.DOUBLE:
      return finite(fields.bytes(8).readDoubleLE());
    case TYPE.DATE:
    case TYPE.DATETIME:
    case TYPE.TIMESTAMP:
      return {
        kind: type === TYPE.DATE ? 'DATE' : 'TIMESTAMP',
        text: dateTime(fields.bytes(fields.u8()), type === TYPE.DATE),
      };
    case TYPE.TIME:
      return { kind: 'TIME', text: time(fields.bytes(fields.u8())) };
    default:
      if (type === TYPE.DECIMAL || type === TYPE.NEWDECIMAL) {
        return decimal(decodeText(fields.lenencBytes(), charset));
      }
      if (type === TYPE.VARCHAR || type === TYPE.BIT || type >= TYPE.JSON) {
        return textOrBytes(fields.lenencBytes(), charset);
      }
      throw malformed(`a parameter of type ${type}`);
  }
}

/** Text when it is text in the client's character set, else the bytes as they are. */
export function textOrBytes(bytes: Buffer, charset: ClientCharset): string | Buffer {
  if (charset !== 'latin1' && !isUtf8(bytes)) return Buffer.from(bytes);
  return decodeText(bytes, charset);
}

function decimal(text: string): ParameterValue {
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? { kind: 'DECIMAL', text } : text;
}

function signed(value: number, bits: number, unsigned: boolean): number {
  return unsigned || value < 2 ** (bits - 1) ? value : value - 2 ** bits;
}

function finite(value: number): number {
  if (Number.isFinite(value)) return value;
  throw new SqlError('WRONG_ARGUMENTS', { what: `EXECUTE: ${value} is not a number of SQL` });
}

const two = (value: number): string => String(value).padStart(2, '0');

function fraction(bytes: Buffer, at: number): string {
  if (bytes.length < at + 4) return '';
  const micros = bytes.readUInt32LE(at);
  return micros === 0 ? '' : `.${String(micros).padStart(6, '0')}`;
}

/** Lengths 0 (zero date), 4 (date), 7 (with time) and 11 (with microseconds). */
function dateTime(bytes: Buffer, dateOnly: boolean): string {
  if (![0, 4, 7, 11].includes(bytes.length)) throw malformed('a date of a strange length');
  if (bytes.length === 0) return dateOnly ? '0000-00-00' : '0000-00-00 00:00:00';
  const [, , month = 0, day = 0, hour = 0, minute = 0, second = 0] = bytes;
  const date = `${String(bytes.readUInt16LE(0)).padStart(4, '0')}-${two(month)}-${two(day)}`;
  if (dateOnly) return date;
  return `${date} ${two(hour)}:${two(minute)}:${two(second)}${fraction(bytes, 7)}`;
}

/** Lengths 0, 8 and 12: sign, days, hours, minutes, seconds, microseconds. */
function time(bytes: Buffer): string {
  if (![0, 8, 12].includes(bytes.length)) throw malformed('a time of a strange length');
  if (bytes.length === 0) return '00:00:00';
  const [negative] = bytes;
  const [hour = 0, minute = 0, second = 0] = bytes.subarray(5);
  const hours = bytes.readUInt32LE(1) * 24 + hour;
  const sign = negative === 0 ? '' : '-';
  return `${sign}${two(hours)}:${two(minute)}:${two(second)}${fraction(bytes, 8)}`;
}
