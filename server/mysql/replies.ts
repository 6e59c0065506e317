/** The small answers of the protocol: OK, EOF and ERR. */
import type { SqlError } from '../../base/errors.ts';
import { CAPABILITY, STATUS, has } from './capabilities.ts';
import { encodeLatin1 } from './charset.ts';
import type { ClientCharset } from './charset.ts';
import type { PacketEncoder } from './packet_encoder.ts';

/** Longest error text sent, characters; MySQL's own clients keep 512 bytes. */
const MESSAGE_CHARS_MAX = 4096;
const U16_MAX = 0xffff;

/** What every answer depends on. */
export interface ReplyState {
  readonly capabilities: number;
  /** STATUS bits without MORE_RESULTS_EXISTS. */
  readonly status: number;
  readonly charset: ClientCharset;
  /** What the client is to be told of its session, once; only with SESSION_TRACK. */
  readonly changes?: (() => Buffer | undefined) | undefined;
}

export interface OkFields {
  readonly affectedRows?: number;
  readonly info?: string | undefined;
  readonly warnings?: number;
  readonly more?: boolean;
}

export function encodeOk(packets: PacketEncoder, state: ReplyState, fields: OkFields = {}): void {
  okWithHeader(packets, 0x00, state, fields);
}

/** The end of rows or of a list: an EOF packet, or an OK with its header for newer clients. */
export function encodeEnd(packets: PacketEncoder, state: ReplyState, fields: OkFields = {}): void {
  if (has(state.capabilities, CAPABILITY.DEPRECATE_EOF)) {
    okWithHeader(packets, 0xfe, state, fields);
  } else {
    encodeEof(packets, state, fields);
  }
}

/** The old EOF packet. After column definitions it is sent only without DEPRECATE_EOF. */
export function encodeEof(packets: PacketEncoder, state: ReplyState, fields: OkFields = {}): void {
  packets.begin();
  packets.u8(0xfe);
  packets.u16(Math.min(fields.warnings ?? 0, U16_MAX));
  packets.u16(statusBits(state, fields));
  packets.end();
}

function okWithHeader(
  packets: PacketEncoder,
  header: number,
  state: ReplyState,
  fields: OkFields,
): void {
  const changes = header === 0x00 ? state.changes?.() : undefined;
  packets.begin();
  packets.u8(header);
  packets.lenenc(fields.affectedRows ?? 0);
  packets.lenenc(0); // last insert id: there is no AUTO_INCREMENT
  packets.u16(statusBits(state, fields) | (changes === undefined ? 0 : STATUS.SESSION_CHANGED));
  packets.u16(Math.min(fields.warnings ?? 0, U16_MAX));
  const { info } = fields;
  if (info !== undefined && info !== '') {
    if (state.charset === 'latin1') packets.lenencBytes(encodeLatin1(info));
    else packets.text(info);
  } else if (changes !== undefined) {
    packets.lenenc(0);
  }
  if (changes !== undefined) packets.lenencBytes(changes);
  packets.end();
}

function statusBits(state: ReplyState, fields: OkFields): number {
  return state.status | (fields.more === true ? STATUS.MORE_RESULTS_EXISTS : 0);
}

export function encodeError(packets: PacketEncoder, error: SqlError, charset: ClientCharset): void {
  const message = error.message.slice(0, MESSAGE_CHARS_MAX);
  packets.begin();
  packets.u8(0xff);
  packets.u16(error.errno);
  packets.plain(`#${error.sqlState}`);
  if (charset === 'latin1') packets.bytes(encodeLatin1(message));
  else packets.plain(message);
  packets.end();
}
