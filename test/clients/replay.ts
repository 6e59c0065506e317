/** Says a recorded conversation to a server, packet by packet, and collects what came back. */
import { FLAGS, RawClient, nativeResponse } from '../server/mysql/raw_client.ts';
import type { RawColumn, RawResult } from '../server/mysql/raw_client.ts';
import type { RecordedEntry } from './recorded.ts';

export const PASSWORD = 'secret';

// prettier-ignore
const FLAG_BITS: Readonly<Record<string, number>> = {
  LONG_PASSWORD: 0x1, FOUND_ROWS: 0x2, LONG_FLAG: 0x4, CONNECT_WITH_DB: 0x8, ODBC: 0x40, IGNORE_SPACE: 0x100, PROTOCOL_41: 0x200, INTERACTIVE: 0x400,
  IGNORE_SIGPIPE: 0x1000, TRANSACTIONS: 0x2000, RESERVED: 0x4000, SECURE_CONNECTION: 0x8000, MULTI_STATEMENTS: 0x1_0000, MULTI_RESULTS: 0x2_0000,
  PS_MULTI_RESULTS: 0x4_0000, PLUGIN_AUTH: 0x8_0000, CONNECT_ATTRS: 0x10_0000, LENENC_AUTH: 0x20_0000, EXPIRED_PW: 0x40_0000, DEPRECATE_EOF: 0x100_0000,
};

export interface Answer {
  readonly kind: 'ok' | 'error' | 'rows' | 'prepared' | 'list' | 'text' | 'none';
  readonly columns: readonly RawColumn[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly errno: number;
  readonly message: string;
  readonly parameters: number;
  readonly text: string;
}

const NONE: Answer = {
  kind: 'none',
  columns: [],
  rows: [],
  errno: 0,
  message: '',
  parameters: 0,
  text: '',
};

export class Replay {
  readonly #port: number;
  readonly #clients = new Map<number, RawClient>();
  /** Of the statements, by connection and the id that was recorded. */
  readonly #statements = new Map<string, number>();
  /** Entries whose command is sent already. */
  readonly #sent = new Set<number>();
  /** Waits until a connection runs a statement that begins so. */
  readonly #untilRunning: (sql: string) => Promise<void>;

  constructor(port: number, untilRunning: (sql: string) => Promise<void>) {
    this.#port = port;
    this.#untilRunning = untilRunning;
  }

  close(): void {
    for (const client of this.#clients.values()) client.destroy();
  }

  /** The answer to one entry; rejects when the server closes the connection. */
  async say(entry: RecordedEntry, later: readonly RecordedEntry[]): Promise<Answer> {
    if (entry.command === 'Connect') return await this.#connect(entry, later);
    const client = this.#clients.get(entry.conn);
    if (client === undefined) throw new Error('the conversation has no such connection');
    const run = COMMANDS[entry.command];
    if (run === undefined) throw new Error(`unknown command ${entry.command}`);
    return await run({
      client,
      entry,
      id: this.#statements.get(`${entry.conn} ${entry.stmt}`) ?? 0,
      query: async () => await this.#query(client, entry, later),
      keep: (id) => void this.#statements.set(`${entry.conn} ${entry.stmt}`, id),
    });
  }

  async #connect(entry: RecordedEntry, later: readonly RecordedEntry[]): Promise<Answer> {
    const client = await RawClient.connect(this.#port);
    this.#clients.set(entry.conn, client);
    const next = later.find(({ conn }) => conn === entry.conn);
    const isWrong = next?.command === 'AuthError' && next.err === 1045;
    const flags = (entry.flags ?? []).reduce((bits, name) => bits | (FLAG_BITS[name] ?? 0), 0);
    const result = await client.logIn({
      user: entry.user ?? '',
      password: isWrong ? 'wrong' : PASSWORD,
      flags,
      collation: entry.charset ?? 45,
      ...(entry.db === undefined ? {} : { database: entry.db }),
      ...(entry.plugin === undefined ? {} : { plugin: entry.plugin }),
      attributes: entry.attrs ?? {},
    });
    return answered(result);
  }

  async #query(
    client: RawClient,
    entry: RecordedEntry,
    later: readonly RecordedEntry[],
  ): Promise<Answer> {
    const { sql = '' } = entry;
    if (this.#sent.has(entry.seq)) return await lastResult(client);
    const victim = /^KILL QUERY \d+$/.test(sql) ? later.find(wasInterrupted) : undefined;
    const target = this.#clients.get(victim?.conn ?? 0);
    if (victim === undefined || target === undefined) {
      client.command(0x03, sql);
      return await lastResult(client);
    }
    target.command(0x03, victim.sql ?? '');
    this.#sent.add(victim.seq);
    await this.#untilRunning(victim.sql ?? '');
    client.command(0x03, `KILL QUERY ${target.greeting?.connectionId ?? 0}`);
    return await lastResult(client);
  }
}

/** Ended by a KILL that is recorded before it. */
function wasInterrupted({ err }: RecordedEntry): boolean {
  return typeof err === 'object' && err.code === 1317;
}

interface Said {
  readonly client: RawClient;
  readonly entry: RecordedEntry;
  /** Ours of the prepared statement. */
  readonly id: number;
  readonly query: () => Promise<Answer>;
  readonly keep: (id: number) => void;
}

const simple =
  (command: number, body: (entry: RecordedEntry) => string | Buffer = () => '') =>
  async ({ client, entry }: Said): Promise<Answer> => {
    client.command(command, body(entry));
    return answered(await client.readResult());
  };

const COMMANDS: Readonly<Record<string, (said: Said) => Promise<Answer> | Answer>> = {
  // The login said it already, or the command that the switch belongs to will.
  AuthError: () => NONE,
  AuthSwitchResponse: () => NONE,
  Query: async (said) => await said.query(),
  'Init DB': simple(0x02, ({ sql = '' }) => sql),
  Ping: simple(0x0e),
  'Reset connection': simple(0x1f),
  Refresh: simple(0x07, ({ arg = 0 }) => Buffer.of(arg)),
  'Process Kill': simple(0x0c, ({ arg = 0 }) => u32(arg)),
  Debug: list(0x0d, () => ''),
  'Set option': list(0x1b, ({ arg = 0 }) => u32(arg).subarray(0, 2)),
  'Field List': list(
    0x04,
    ({ sql = '', wildcard = '' }: RecordedEntry & { wildcard?: string }) => `${sql}\0${wildcard}`,
  ),
  Statistics: async ({ client }) => {
    client.command(0x09);
    const packet = await client.read();
    return { ...NONE, kind: 'text', text: packet?.payload.toString() ?? '' };
  },
  Quit: async ({ client }) => {
    client.command(0x01);
    if ((await client.readToEnd()).length > 0) throw new Error('QUIT was answered');
    return NONE;
  },
  'Change User': changeUser,
  Prepare: async ({ client, entry, keep }) => {
    client.command(0x16, entry.sql ?? '');
    const { id, error, parameters, columns } = await client.readPrepared();
    keep(id);
    return error === undefined
      ? { ...NONE, kind: 'prepared', parameters, columns }
      : answered(error);
  },
  Execute: async ({ client, entry, id }) => {
    client.command(0x17, executeBody(entry, id));
    return answered(await client.readResult({ binary: true }));
  },
  Fetch: async ({ client, entry, id }) => {
    client.command(0x1c, Buffer.concat([u32(id), u32(entry.rows ?? 1)]));
    return { ...answered(await client.readList()), kind: 'list' };
  },
  'Reset stmt': async ({ client, id }) => {
    client.command(0x1a, u32(id));
    return answered(await client.readResult());
  },
  'Close stmt': ({ client, id }) => {
    client.command(0x19, u32(id));
    return NONE;
  },
  'Long Data': ({ client, entry, id }) => {
    const { param = 0, len = 0 } = entry;
    client.command(
      0x18,
      Buffer.concat([u32(id), u32(param).subarray(0, 2), Buffer.alloc(len, 'x')]),
    );
    return NONE;
  },
};

function list(command: number, body: (entry: RecordedEntry) => string | Buffer) {
  return async ({ client, entry }: Said): Promise<Answer> => {
    client.command(command, body(entry));
    const result = await client.readList();
    return result.kind === 'error' ? answered(result) : { ...answered(result), kind: 'list' };
  };
}

async function changeUser({ client, entry }: Said): Promise<Answer> {
  const response = nativeResponse(PASSWORD, client.greeting?.scramble ?? Buffer.alloc(20));
  const body = [
    Buffer.from(`${entry.sql}\0`),
    Buffer.of(response.length),
    response,
    Buffer.from('adm\0'),
    Buffer.of(45, 0),
    Buffer.from((client.flags & FLAGS.pluginAuth) === 0 ? '' : 'mysql_native_password\0'),
  ];
  client.command(0x11, Buffer.concat(body));
  return answered(await client.finishLogin(PASSWORD));
}

/** Of several results the last, as recorded. */
async function lastResult(client: RawClient): Promise<Answer> {
  for (;;) {
    const result = await client.readResult();
    if (result.kind === 'error' || (result.status & 0x8) === 0) return answered(result);
  }
}

function answered({ kind, columns, rows, errno, message }: RawResult): Answer {
  return { ...NONE, kind, columns, rows, errno, message };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function executeBody({ types = [], params = [], cursor = 0 }: RecordedEntry, id: number): Buffer {
  const head = Buffer.concat([u32(id), Buffer.of(cursor), u32(1)]);
  if (types.length === 0) return head;
  const nulls = Buffer.alloc(Math.ceil(types.length / 8));
  const values = types.map(([type], at) => {
    const value = params[at] ?? null;
    if (value === '<long data>') return Buffer.alloc(0);
    if (value === null) nulls[at >> 3] = (nulls[at >> 3] ?? 0) | (1 << (at & 7));
    return value === null ? Buffer.alloc(0) : parameterBytes(type, value);
  });
  return Buffer.concat([head, nulls, Buffer.of(1), Buffer.from(types.flat()), ...values]);
}

function parameterBytes(type: number, value: string | number): Buffer {
  const bytes = Buffer.alloc(8);
  switch (type) {
    case 0x01:
      return Buffer.of(Number(value) & 0xff);
    case 0x03:
      bytes.writeInt32LE(Number(value));
      return bytes.subarray(0, 4);
    case 0x05:
      bytes.writeDoubleLE(Number(value));
      return bytes;
    case 0x08:
      bytes.writeBigInt64LE(BigInt(value));
      return bytes;
    case 0x07:
    case 0x0a:
    case 0x0b:
    case 0x0c: {
      const time = Buffer.from(String(value).slice(2), 'hex');
      return Buffer.concat([Buffer.of(time.length), time]);
    }
    default: {
      const text = Buffer.from(String(value));
      return Buffer.concat([Buffer.of(text.length), text]);
    }
  }
}
