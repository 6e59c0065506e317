/** The first packets of a connection: the server's greeting and the client's login. */
import { SqlError } from '../../base/errors.ts';
import { CAPABILITY, SERVER_CAPABILITIES, STATUS, has } from './capabilities.ts';
import { charsetOfCollation, decodeText } from './charset.ts';
import type { PacketEncoder } from './packet_encoder.ts';
import { PayloadReader } from './payload_reader.ts';

/** Bytes of the challenge; one for the life of a connection, as MySQL and its clients have it. */
export const SCRAMBLE_BYTES = 20;
const PROTOCOL_VERSION = 10;
const GREETING_COLLATION = 45;
const SCRAMBLE_PART_1 = 8;

const USER_BYTES_MAX = 256;
const DATABASE_BYTES_MAX = 1024;
const ATTRIBUTES_MAX = 256;

/**
 * The plugin announced. Every client can start with it; an account of the other plugin gets an
 * auth switch. Announcing caching_sha2_password locks out clients that know no switch.
 */
export const ANNOUNCED_PLUGIN = 'mysql_native_password';

export interface Greeting {
  readonly version: string;
  readonly connectionId: number;
  /** SCRAMBLE_BYTES bytes, 7-bit, without NUL and `$`. */
  readonly scramble: Buffer;
  /** Whether the client may ask for TLS. */
  readonly tls: boolean;
}

export function encodeGreeting(packets: PacketEncoder, greeting: Greeting): void {
  const capabilities = SERVER_CAPABILITIES | (greeting.tls ? CAPABILITY.SSL : 0);
  packets.begin();
  packets.u8(PROTOCOL_VERSION);
  packets.nulText(greeting.version);
  packets.u32(greeting.connectionId);
  packets.bytes(greeting.scramble.subarray(0, SCRAMBLE_PART_1));
  packets.u8(0);
  packets.u16(capabilities & 0xffff);
  packets.u8(GREETING_COLLATION);
  packets.u16(STATUS.AUTOCOMMIT);
  packets.u16(capabilities >>> 16);
  packets.u8(SCRAMBLE_BYTES + 1);
  packets.zeros(10);
  packets.bytes(greeting.scramble.subarray(SCRAMBLE_PART_1));
  packets.u8(0);
  packets.nulText(ANNOUNCED_PLUGIN);
  packets.end();
}

/** Who a client says it is, in a login or a COM_CHANGE_USER. */
export interface Claim {
  readonly user: string;
  readonly database: string;
  /** Empty when the client named none. */
  readonly plugin: string;
  readonly response: Buffer;
  readonly collationId: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface LoginRequest extends Claim {
  /** Of both sides. */
  readonly capabilities: number;
  /** The client's wish; 0: none. */
  readonly zstdLevel: number;
}

/** Length of the part of a login that stands before the user's name. */
const LOGIN_HEAD_BYTES = 32;

/** The head of a login with the SSL bit and nothing behind it: the login itself comes in TLS. */
export function isTlsRequest(payload: Buffer): boolean {
  return payload.length === LOGIN_HEAD_BYTES && has(payload.readUInt32LE(0), CAPABILITY.SSL);
}

/** HandshakeResponse41; throws HANDSHAKE_ERROR for anything else. */
export function parseLogin(payload: Buffer): LoginRequest {
  try {
    return readLogin(new PayloadReader(payload));
  } catch (error) {
    throw new SqlError('HANDSHAKE_ERROR', {}, { cause: error });
  }
}

function readLogin(fields: PayloadReader): LoginRequest {
  const capabilities = (fields.u32() & SERVER_CAPABILITIES) >>> 0;
  if (!has(capabilities, CAPABILITY.PROTOCOL_41)) throw new SqlError('HANDSHAKE_ERROR');
  fields.u32(); // the client's packet limit: answers are cut at 16 MiB anyway
  const collationId = fields.u8();
  fields.bytes(23);
  const user = readName(fields.nulBytesOrRest(), USER_BYTES_MAX, collationId);
  const response = readResponse(fields, capabilities);
  const withDatabase = has(capabilities, CAPABILITY.CONNECT_WITH_DB) && fields.remaining > 0;
  const database = withDatabase
    ? readName(fields.nulBytesOrRest(), DATABASE_BYTES_MAX, collationId)
    : '';
  return {
    capabilities,
    collationId,
    user,
    response,
    database,
    plugin: readPlugin(fields, capabilities),
    attributes: readAttributes(fields, capabilities),
    zstdLevel: has(capabilities, CAPABILITY.ZSTD_COMPRESSION) ? lastByte(fields) : 0,
  };
}

function lastByte(fields: PayloadReader): number {
  return fields.remaining > 0 ? fields.u8() : 0;
}

function readResponse(fields: PayloadReader, capabilities: number): Buffer {
  if (has(capabilities, CAPABILITY.PLUGIN_AUTH_LENENC)) return fields.lenencBytes();
  if (has(capabilities, CAPABILITY.SECURE_CONNECTION)) return fields.bytes(fields.u8());
  return fields.nulBytesOrRest();
}

/** The body of COM_CHANGE_USER; throws MALFORMED_PACKET. */
export function parseChangeUser(body: Buffer, login: LoginRequest): Claim {
  const fields = new PayloadReader(body);
  const { capabilities } = login;
  const userBytes = fields.nulBytes();
  const response = has(capabilities, CAPABILITY.SECURE_CONNECTION)
    ? fields.bytes(fields.u8())
    : fields.nulBytes();
  const databaseBytes = fields.remaining > 0 ? fields.nulBytesOrRest() : Buffer.alloc(0);
  const collationId = fields.remaining >= 2 ? fields.u16() : login.collationId;
  return {
    user: readName(userBytes, USER_BYTES_MAX, collationId),
    database: readName(databaseBytes, DATABASE_BYTES_MAX, collationId),
    response,
    collationId,
    plugin: readPlugin(fields, capabilities),
    attributes: readAttributes(fields, capabilities),
  };
}

function readName(bytes: Buffer, limit: number, collationId: number): string {
  if (bytes.length > limit) throw new SqlError('HANDSHAKE_ERROR');
  return decodeText(bytes, charsetOfCollation(collationId));
}

function readPlugin(fields: PayloadReader, capabilities: number): string {
  if (!has(capabilities, CAPABILITY.PLUGIN_AUTH) || fields.remaining === 0) return '';
  return fields.nulBytesOrRest().toString('latin1');
}

/** Attributes are for display only: what is wrong with them ends their list, not the login. */
function readAttributes(fields: PayloadReader, capabilities: number): Record<string, string> {
  const attributes = new Map<string, string>();
  if (has(capabilities, CAPABILITY.CONNECT_ATTRS) && fields.remaining > 0) {
    try {
      const list = new PayloadReader(fields.lenencBytes());
      while (list.remaining > 0 && attributes.size < ATTRIBUTES_MAX) {
        const key = list.lenencBytes().toString('utf8');
        attributes.set(key, list.lenencBytes().toString('utf8'));
      }
    } catch {
      // cut short: what was read before it stays
    }
  }
  return Object.fromEntries(attributes);
}
