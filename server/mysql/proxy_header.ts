/**
 * PROXY protocol, version 2: a load balancer says in front of everything whose connection it
 * forwards. https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
 */
import { BlockList, isIP } from 'node:net';
import { SqlError } from '../../base/errors.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const HEADER_BYTES = 16;
/** Addresses and what else a balancer tells; none tells as much. */
const REST_BYTES_MAX = 4096;
const VERSION_2 = 0x20;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const TCP_4 = 0x11;
const TCP_6 = 0x21;

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** Networks as `10.0.0.0/8, ::1, localhost`, or `*`; undefined: the text is none. */
export function parseNetworks(text: string): BlockList | undefined {
  const list = new BlockList();
  for (const part of text.split(',').map((word) => word.trim())) {
    if (part === '') continue;
    if (!addNetwork(list, part)) return undefined;
  }
  return list;
}

function addNetwork(list: BlockList, part: string): boolean {
  if (part === '*') return addNetwork(list, '0.0.0.0/0') && addNetwork(list, '::/0');
  if (part === 'localhost') return addNetwork(list, '127.0.0.0/8') && addNetwork(list, '::1');
  const [address = '', bits, ...more] = part.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  const widest = version === 4 ? 32 : 128;
  if (bits !== undefined && !/^\d{1,3}$/.test(bits)) return false;
  const prefix = bits === undefined ? widest : Number(bits);
  if (prefix > widest) return false;
  list.addSubnet(address, prefix, version === 4 ? 'ipv4' : 'ipv6');
  return true;
}

export function isInNetworks(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/** Takes the header off the first bytes of a connection; one without a header is let through. */
export class ProxyHeader {
  readonly #deliver: (bytes: Buffer) => void;
  readonly #onAddress: (address: PeerAddress) => void;
  readonly #fail: (error: SqlError) => void;
  #held = Buffer.alloc(0);
  #done = false;

  constructor(handlers: {
    readonly deliver: (bytes: Buffer) => void;
    readonly onAddress: (address: PeerAddress) => void;
    readonly fail: (error: SqlError) => void;
  }) {
    this.#deliver = handlers.deliver;
    this.#onAddress = handlers.onAddress;
    this.#fail = handlers.fail;
  }

  push(chunk: Buffer): void {
    if (this.#done) {
      this.#deliver(chunk);
      return;
    }
    // At most the longest header: what follows is handed on at once.
    this.#held = Buffer.concat([this.#held, chunk]);
    const held = this.#held;
    const seen = Math.min(held.length, SIGNATURE.length);
    if (!held.subarray(0, seen).equals(SIGNATURE.subarray(0, seen))) {
      this.#finish(held);
      return;
    }
    if (held.length < HEADER_BYTES) return;
    const end = HEADER_BYTES + held.readUInt16BE(14);
    if (end > HEADER_BYTES + REST_BYTES_MAX) {
      this.#refuse();
      return;
    }
    if (held.length < end) return;
    try {
      const address = addressOf(held.subarray(0, end));
      if (address !== undefined) this.#onAddress(address);
    } catch {
      this.#refuse();
      return;
    }
    this.#finish(held.subarray(end));
  }

  #finish(rest: Buffer): void {
    this.#done = true;
    this.#held = Buffer.alloc(0);
    if (rest.length > 0) this.#deliver(rest);
  }

  #refuse(): void {
    this.#done = true;
    this.#held = Buffer.alloc(0);
    this.#fail(new SqlError('HANDSHAKE_ERROR'));
  }
}

/** undefined: the balancer itself connects (a health check), or says nothing of an address. */
function addressOf(header: Buffer): PeerAddress | undefined {
  const version = header.readUInt8(12) & 0xf0;
  const command = header.readUInt8(12) & 0x0f;
  if (version !== VERSION_2 || command > COMMAND_PROXY) throw new RangeError('not version 2');
  if (command === COMMAND_LOCAL) return undefined;
  switch (header.readUInt8(13)) {
    case TCP_4:
      return {
        host: Array.from(header.subarray(16, 20)).join('.'),
        port: header.readUInt16BE(24),
      };
    case TCP_6:
      return { host: ipv6Text(header.subarray(16, 32)), port: header.readUInt16BE(48) };
    default:
      return undefined;
  }
}

/** As the runtime writes addresses, so that host patterns and lists see one form. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  const text = new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(text);
  if (mapped === null) return text;
  return Array.from(bytes.subarray(12, 16)).join('.');
}
