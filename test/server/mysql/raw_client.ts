/**
 * A MySQL client at the level of packets, written independently of the server's code, so that a
 * test can send anything at any moment and see exactly what comes back.
 */
import { createHash, publicEncrypt } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

export const FLAGS = {
  base: 0x0000_0001 | 0x0000_0200 | 0x0000_8000 | 0x0000_2000,
  connectWithDb: 0x8,
  multiStatements: 0x1_0000,
  multiResults: 0x2_0000,
  pluginAuth: 0x8_0000,
  connectAttrs: 0x10_0000,
  deprecateEof: 0x100_0000,
} as const;

export interface RawPacket {
  readonly sequence: number;
  readonly payload: Buffer;
}

export interface Greeting {
  readonly protocol: number;
  readonly version: string;
  readonly connectionId: number;
  readonly scramble: Buffer;
  readonly capabilities: number;
  readonly plugin: string;
}

export interface LoginOptions {
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly flags?: number;
  readonly collation?: number;
  readonly plugin?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface RawColumn {
  readonly schema: string;
  readonly table: string;
  readonly name: string;
  readonly charset: number;
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly decimals: number;
}

export interface RawResult {
  readonly kind: 'ok' | 'error' | 'rows';
  readonly columns: readonly RawColumn[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly status: number;
  readonly warnings: number;
  readonly affected: number;
  readonly info: string;
  readonly errno: number;
  readonly message: string;
}

export interface RawPrepared {
  readonly id: number;
  readonly parameters: number;
  readonly columns: readonly RawColumn[];
  readonly error: RawResult | undefined;
}

const CURSOR_EXISTS = 0x40;

const NOTHING: RawResult = {
  kind: 'ok',
  columns: [],
  rows: [],
  status: 0,
  warnings: 0,
  affected: 0,
  info: '',
  errno: 0,
  message: '',
};

const hash = (algorithm: string, ...parts: readonly Uint8Array[]): Buffer => {
  const sum = createHash(algorithm);
  for (const part of parts) sum.update(part);
  return sum.digest();
};
const xor = (left: Buffer, right: Buffer): Buffer =>
  Buffer.from(left.map((byte, index) => byte ^ (right[index % right.length] ?? 0)));

export function nativeResponse(password: string, scramble: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  const once = hash('sha1', Buffer.from(password));
  return xor(once, hash('sha1', scramble, hash('sha1', once)));
}

export function sha2Response(password: string, scramble: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  const once = hash('sha256', Buffer.from(password));
  return xor(once, hash('sha256', hash('sha256', once), scramble));
}

export function packetBytes(payload: Uint8Array, sequence: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequence;
  return Buffer.concat([header, payload]);
}

export function commandBytes(command: number, body: string | Buffer = ''): Buffer {
  return packetBytes(Buffer.concat([Buffer.of(command), Buffer.from(body)]), 0);
}

export function lenencNumber(value: number): Buffer {
  if (value < 0xfb) return Buffer.of(value);
  const bytes = Buffer.alloc(3);
  bytes[0] = 0xfc;
  bytes.writeUInt16LE(value, 1);
  return bytes;
}

/** Up to 64 KiB. */
export function lenencText(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([lenencNumber(bytes.length), bytes]);
}

export class RawClient {
  readonly socket: Socket;
  /** Plugin steps seen at login: `switch <plugin>`, `fast`, `full`. */
  readonly authSteps: string[] = [];
  flags = 0;
  greeting: Greeting | undefined;
  #chunks: Buffer[] = [];
  #size = 0;
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      this.#wake();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
    socket.on('error', () => undefined);
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        resolve(new RawClient(socket));
      });
    });
  }

  /** Connects and logs in; throws when the login is refused. */
  static async loggedIn(port: number, options: LoginOptions = {}): Promise<RawClient> {
    const client = await RawClient.connect(port);
    const result = await client.logIn(options);
    if (result.kind !== 'ok') throw new Error(`login refused: ${result.errno} ${result.message}`);
    return client;
  }

  destroy(): void {
    this.socket.destroy();
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  send(payload: Uint8Array, sequence: number): void {
    this.write(packetBytes(payload, sequence));
  }

  command(command: number, body: string | Buffer = ''): void {
    this.write(commandBytes(command, body));
  }

  /** The next packet (one piece), or undefined when the server closed the connection. */
  async read(): Promise<RawPacket | undefined> {
    const header = await this.#take(4);
    if (header === undefined) return undefined;
    const payload = await this.#take(header.readUIntLE(0, 3));
    return payload === undefined ? undefined : { sequence: header[3] ?? 0, payload };
  }

  /** Everything up to the end of the connection. */
  async readToEnd(): Promise<RawPacket[]> {
    const packets: RawPacket[] = [];
    for (;;) {
      const packet = await this.read();
      if (packet === undefined) return packets;
      packets.push(packet);
    }
  }

  async #take(count: number): Promise<Buffer | undefined> {
    while (this.#size < count) {
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    if (all === undefined) return Buffer.alloc(0);
    this.#chunks = all.length > count ? [all.subarray(count)] : [];
    this.#size -= count;
    return all.subarray(0, count);
  }

  async #must(): Promise<RawPacket> {
    const packet = await this.read();
    if (packet === undefined) throw new Error('the server closed the connection');
    return packet;
  }

  async readGreeting(): Promise<Greeting> {
    const { payload } = await this.#must();
    if (payload[0] === 0xff) throw new Error(parseError(payload).message);
    const nul = payload.indexOf(0, 1);
    let at = nul + 1;
    const connectionId = payload.readUInt32LE(at);
    const first = payload.subarray(at + 4, at + 12);
    at += 13;
    const low = payload.readUInt16LE(at);
    const high = payload.readUInt16LE(at + 5);
    const second = payload.subarray(at + 18, at + 30);
    const plugin = payload.subarray(at + 31, payload.indexOf(0, at + 31)).toString();
    this.greeting = {
      protocol: payload[0] ?? 0,
      version: payload.subarray(1, nul).toString(),
      connectionId,
      scramble: Buffer.concat([first, second]),
      capabilities: (low | (high << 16)) >>> 0,
      plugin,
    };
    return this.greeting;
  }

  loginPayload(options: LoginOptions = {}): Buffer {
    const { user = 'root', password = '', database, collation = 45 } = options;
    const { plugin = 'mysql_native_password' } = options;
    const scramble = this.greeting?.scramble ?? Buffer.alloc(20);
    const response =
      plugin === 'caching_sha2_password'
        ? sha2Response(password, scramble)
        : nativeResponse(password, scramble);
    let flags = options.flags ?? FLAGS.base | FLAGS.pluginAuth;
    if (database !== undefined) flags |= FLAGS.connectWithDb;
    this.flags = flags;
    const head = Buffer.alloc(32);
    head.writeUInt32LE(flags, 0);
    head.writeUInt32LE(1 << 24, 4);
    head[8] = collation;
    const parts = [head, Buffer.from(`${user}\0`), Buffer.of(response.length), response];
    if (database !== undefined) parts.push(Buffer.from(`${database}\0`));
    if ((flags & FLAGS.pluginAuth) !== 0) parts.push(Buffer.from(`${plugin}\0`));
    if ((flags & FLAGS.connectAttrs) !== 0 && options.attributes !== undefined) {
      const attributes = Object.entries(options.attributes ?? {})
        .flat()
        .map(lenencText);
      const list = Buffer.concat(attributes);
      parts.push(lenencNumber(list.length), list);
    }
    return Buffer.concat(parts);
  }

  async logIn(options: LoginOptions = {}): Promise<RawResult> {
    await this.readGreeting();
    this.send(this.loginPayload(options), 1);
    return this.finishLogin(options.password ?? '');
  }

  /** Follows auth switches and the steps of caching_sha2_password to OK or ERR. */
  async finishLogin(password: string): Promise<RawResult> {
    for (;;) {
      const { payload, sequence } = await this.#must();
      if (payload[0] === 0x00) return parseOk(payload);
      if (payload[0] === 0xff) return parseError(payload);
      const answer = this.#authAnswer(payload, password);
      if (answer !== undefined) this.send(answer, sequence + 1);
    }
  }

  #authAnswer(payload: Buffer, password: string): Buffer | undefined {
    const scramble = this.greeting?.scramble ?? Buffer.alloc(20);
    if (payload[0] === 0xfe) {
      const nul = payload.indexOf(0);
      const plugin = payload.subarray(1, nul).toString();
      this.authSteps.push(`switch ${plugin}`);
      const fresh = payload.subarray(nul + 1, nul + 21);
      const isSha = plugin === 'caching_sha2_password';
      return isSha ? sha2Response(password, fresh) : nativeResponse(password, fresh);
    }
    if (payload[1] === 0x03) {
      this.authSteps.push('fast');
      return undefined;
    }
    if (payload[1] === 0x04) {
      this.authSteps.push('full');
      return Buffer.of(0x02);
    }
    const masked = xor(Buffer.from(`${password}\0`), scramble);
    return publicEncrypt({ key: payload.subarray(1).toString(), padding: 4 }, masked);
  }

  /** COM_QUERY and all its results. */
  async query(sql: string | Buffer): Promise<RawResult[]> {
    this.command(0x03, sql);
    const results: RawResult[] = [];
    for (;;) {
      const result = await this.readResult();
      results.push(result);
      if (result.kind === 'error' || (result.status & 0x8) === 0) return results;
    }
  }

  async queryOne(sql: string | Buffer): Promise<RawResult> {
    const [first] = await this.query(sql);
    return first ?? NOTHING;
  }

  /** The answer to COM_STMT_PREPARE: its id and how many there are of parameters and columns. */
  async readPrepared(): Promise<RawPrepared> {
    const { payload } = await this.#must();
    if (payload[0] === 0xff)
      return { id: 0, parameters: 0, columns: [], error: parseError(payload) };
    const parameters = payload.readUInt16LE(7);
    await this.#readColumns(parameters);
    const columns = await this.#readColumns(payload.readUInt16LE(5));
    return { id: payload.readUInt32LE(1), parameters, columns, error: undefined };
  }

  async #readColumns(count: number): Promise<RawColumn[]> {
    const columns: RawColumn[] = [];
    while (columns.length < count) columns.push(parseColumn((await this.#must()).payload));
    if (count > 0 && (this.flags & FLAGS.deprecateEof) === 0) await this.#must();
    return columns;
  }

  /** COM_FIELD_LIST's or COM_STMT_FETCH's: how many packets came before the end. */
  async readList(): Promise<RawResult & { readonly count: number }> {
    const newEnd = (this.flags & FLAGS.deprecateEof) !== 0;
    for (let count = 0; ; count += 1) {
      const { payload } = await this.#must();
      if (payload[0] === 0xff) return { ...parseError(payload), count };
      if (payload[0] !== 0xfe) continue;
      return { ...(newEnd ? parseOk(payload) : parseEof(payload)), count };
    }
  }

  /** Rows of the binary protocol are counted and not read: `rows` has an empty one for each. */
  async readResult({ binary = false } = {}): Promise<RawResult> {
    const first = (await this.#must()).payload;
    if (first[0] === 0x00) return parseOk(first);
    if (first[0] === 0xff) return parseError(first);
    const columns: RawColumn[] = [];
    for (let count = first[0] ?? 0; count > 0; count -= 1) {
      columns.push(parseColumn((await this.#must()).payload));
    }
    const newEnd = (this.flags & FLAGS.deprecateEof) !== 0;
    if (!newEnd) {
      const { payload } = await this.#must();
      if (payload[0] !== 0xfe || payload.length !== 5) throw new Error('no EOF after columns');
      const end = parseEof(payload);
      if ((end.status & CURSOR_EXISTS) !== 0) return { ...end, kind: 'rows', columns };
    }
    const rows: (string | null)[][] = [];
    for (;;) {
      const { payload } = await this.#must();
      if (payload[0] === 0xff) return { ...parseError(payload), columns, rows };
      if (payload[0] === 0xfe && payload.length < 0xff_ff_ff) {
        const end = newEnd ? parseOk(payload) : parseEof(payload);
        return { ...end, kind: 'rows', columns, rows };
      }
      rows.push(binary ? [] : parseRow(payload));
    }
  }
}

class Fields {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  lenenc(): number | null {
    const first = this.bytes.readUInt8(this.at);
    this.at += 1;
    if (first < 0xfb) return first;
    if (first === 0xfb) return null;
    const size = first === 0xfc ? 2 : first === 0xfd ? 3 : 6;
    const value = this.bytes.readUIntLE(this.at, size);
    this.at += first === 0xfe ? 8 : size;
    return value;
  }

  text(): string | null {
    const length = this.lenenc();
    if (length === null) return null;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at).toString();
  }
}

function parseRow(payload: Buffer): (string | null)[] {
  const fields = new Fields(payload);
  const row: (string | null)[] = [];
  while (fields.at < payload.length) row.push(fields.text());
  return row;
}

export function parseColumn(payload: Buffer): RawColumn {
  const fields = new Fields(payload);
  fields.text();
  const schema = fields.text() ?? '';
  const table = fields.text() ?? '';
  fields.text();
  const name = fields.text() ?? '';
  fields.text();
  const at = fields.at + 1;
  return {
    schema,
    table,
    name,
    charset: payload.readUInt16LE(at),
    length: payload.readUInt32LE(at + 2),
    type: payload.readUInt8(at + 6),
    flags: payload.readUInt16LE(at + 7),
    decimals: payload.readUInt8(at + 9),
  };
}

export function parseOk(payload: Buffer): RawResult {
  const fields = new Fields(payload, 1);
  const affected = fields.lenenc() ?? 0;
  fields.lenenc();
  const status = payload.readUInt16LE(fields.at);
  const warnings = payload.readUInt16LE(fields.at + 2);
  fields.at += 4;
  const info = fields.at < payload.length ? (fields.text() ?? '') : '';
  return { ...NOTHING, affected, status, warnings, info };
}

function parseEof(payload: Buffer): RawResult {
  return { ...NOTHING, warnings: payload.readUInt16LE(1), status: payload.readUInt16LE(3) };
}

export function parseError(payload: Buffer): RawResult {
  const message = payload.subarray(9).toString();
  return { ...NOTHING, kind: 'error', errno: payload.readUInt16LE(1), message };
}
