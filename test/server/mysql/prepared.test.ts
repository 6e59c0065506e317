/** COM_STMT_* packet by packet. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ColumnType, SqlRow } from '../../../base/values.ts';
import { FLAGS, RawClient, parseError } from './raw_client.ts';
import type { RawPacket } from './raw_client.ts';
import { rowsResult, startServer } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

const PREPARE = 0x16;
const EXECUTE = 0x17;
const LONG_DATA = 0x18;
const CLOSE = 0x19;
const RESET = 0x1a;
const FETCH = 0x1c;
const PING = 0x0e;
const RESET_CONNECTION = 0x1f;

let server: TestServer;
let client: RawClient;

beforeEach(async () => {
  server = await startServer();
  client = await RawClient.loggedIn(server.port);
});
afterEach(async () => {
  client.destroy();
  await server.close();
});

async function packet(from = client): Promise<RawPacket> {
  const read = await from.read();
  if (read === undefined) throw new Error('the connection was closed');
  return read;
}

async function errno(): Promise<number> {
  const { payload } = await packet();
  expect(payload[0]).toBe(0xff);
  return parseError(payload).errno;
}

/** The id; reads the definitions of the parameters, too. */
async function prepare(sql: string, from = client, eof = true): Promise<number> {
  from.command(PREPARE, sql);
  const { payload } = await packet(from);
  expect(payload[0]).toBe(0);
  const parameters = payload.readUInt16LE(7);
  for (let at = 0; at < parameters; at += 1) await packet(from);
  if (parameters > 0 && eof) expect((await packet(from)).payload[0]).toBe(0xfe);
  return payload.readUInt32LE(1);
}

const id = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

interface Bound {
  readonly type: number;
  readonly unsigned?: boolean;
  /** undefined: NULL. */
  readonly bytes?: Buffer;
}

function executeBody(statement: number, bound: readonly Bound[], withTypes = true): Buffer {
  const nulls = Buffer.alloc(Math.ceil(bound.length / 8));
  bound.forEach(({ bytes }, at) => {
    if (bytes === undefined) nulls[at >> 3] = (nulls[at >> 3] ?? 0) | (1 << (at & 7));
  });
  const types = withTypes
    ? bound.map(({ type, unsigned = false }) => Buffer.of(type, unsigned ? 0x80 : 0))
    : [];
  return Buffer.concat([
    id(statement),
    Buffer.of(0, 1, 0, 0, 0),
    ...(bound.length === 0 ? [] : [nulls, Buffer.of(withTypes ? 1 : 0)]),
    ...types,
    ...bound.flatMap(({ bytes }) => bytes ?? []),
  ]);
}

const text = (value: string): Bound => ({
  type: 0xfd,
  bytes: Buffer.concat([Buffer.of(value.length), Buffer.from(value)]),
});

describe('parameters', () => {
  it('of every type', async () => {
    const double = Buffer.alloc(8);
    double.writeDoubleLE(1.5);
    const float = Buffer.alloc(4);
    float.writeFloatLE(0.1);
    const bound: Bound[] = [
      { type: 6 },
      { type: 1, bytes: Buffer.of(0xff) },
      { type: 1, unsigned: true, bytes: Buffer.of(0xff) },
      { type: 2, bytes: Buffer.of(0x00, 0x80) },
      { type: 3, bytes: Buffer.of(0xfe, 0xff, 0xff, 0xff) },
      { type: 8, bytes: Buffer.alloc(8, 0xff) },
      { type: 8, unsigned: true, bytes: Buffer.alloc(8, 0xff) },
      { type: 5, bytes: double },
      { type: 4, bytes: float },
      text("it's"),
      { type: 0xfc, bytes: Buffer.of(2, 0xff, 0x00) },
      { type: 0x0a, bytes: Buffer.of(4, 0xea, 0x07, 11, 22) },
      { type: 0x0c, bytes: Buffer.of(11, 0xea, 0x07, 11, 22, 1, 2, 3, 5, 0, 0, 0) },
      { type: 0x0c, bytes: Buffer.of(0) },
      { type: 0x0b, bytes: Buffer.of(8, 1, 1, 0, 0, 0, 2, 3, 4) },
    ];
    const statement = await prepare(bound.map(() => '?').join(''));
    client.command(EXECUTE, executeBody(statement, bound));
    expect((await packet()).payload[0]).toBe(0);
    const values = [
      null,
      -1,
      255,
      -32768,
      -2,
      '-1n',
      '18446744073709551615n',
      1.5,
      0.1,
      "it's",
      'ff00',
      { kind: 'DATE', text: '2026-11-22' },
      { kind: 'TIMESTAMP', text: '2026-11-22 01:02:03.000005' },
      { kind: 'TIMESTAMP', text: '0000-00-00 00:00:00' },
      { kind: 'TIME', text: '-26:03:04' },
    ];
    const call = server.door.calls.at(-1) ?? '';
    const shown = JSON.parse(call.slice(call.indexOf('['))) as unknown[];
    expect(shown).toEqual(values);
  });

  it('keep the types of the execution before', async () => {
    const statement = await prepare('a ?');
    client.command(EXECUTE, executeBody(statement, [text('x')]));
    await packet();
    client.command(EXECUTE, executeBody(statement, [text('y')], false));
    await packet();
    expect(server.door.calls.slice(-2)).toEqual(['query a ? ["x"]', 'query a ? ["y"]']);
  });

  it('without types, or cut short, are an error and no crash', async () => {
    const statement = await prepare('a ?');
    client.command(EXECUTE, executeBody(statement, [text('x')], false));
    expect(await errno()).toBe(1210);
    client.command(EXECUTE, executeBody(statement, [text('hello')]).subarray(0, -2));
    expect(await errno()).toBe(1835);
    client.command(EXECUTE, id(statement));
    expect(await errno()).toBe(1835);
    client.command(EXECUTE, executeBody(statement, [{ type: 0x77, bytes: Buffer.of(1) }]));
    expect(await errno()).toBe(1835);
    client.command(PING);
    expect((await packet()).payload[0]).toBe(0);
  });

  it('in pieces, which one execution uses up', async () => {
    const statement = await prepare('a ?');
    const piece = (value: string): Buffer =>
      Buffer.concat([id(statement), Buffer.of(0, 0), Buffer.from(value)]);
    client.command(LONG_DATA, piece('hello '));
    client.command(LONG_DATA, piece('world'));
    client.command(EXECUTE, executeBody(statement, [{ type: 0xfc, bytes: Buffer.alloc(0) }]));
    expect((await packet()).payload[0]).toBe(0);
    expect(server.door.calls.at(-1)).toBe('query a ? ["hello world"]');
    client.command(LONG_DATA, piece('gone'));
    client.command(RESET, id(statement));
    expect((await packet()).payload[0]).toBe(0);
    client.command(EXECUTE, executeBody(statement, [text('new')]));
    await packet();
    expect(server.door.calls.at(-1)).toBe('query a ? ["new"]');
  });

  it('in pieces: what is wrong with them is told at the execution', async () => {
    const statement = await prepare('a ?');
    client.command(LONG_DATA, Buffer.concat([id(statement), Buffer.of(9, 0), Buffer.from('x')]));
    client.command(LONG_DATA, Buffer.concat([id(77), Buffer.of(0, 0), Buffer.from('x')]));
    client.command(LONG_DATA, 'x');
    client.command(EXECUTE, executeBody(statement, [text('x')]));
    expect(await errno()).toBe(1835);
    server.config.setLive('max_allowed_packet', '1024');
    const kilobyte = Buffer.alloc(1000, 'x');
    for (let at = 0; at < 2; at += 1) {
      client.command(LONG_DATA, Buffer.concat([id(statement), Buffer.of(0, 0), kilobyte]));
    }
    client.command(EXECUTE, executeBody(statement, [text('x')]));
    expect(await errno()).toBe(1153);
  });
});

describe('results', () => {
  it.each([FLAGS.base, FLAGS.base | FLAGS.deprecateEof])('binary rows, flags %d', async (flags) => {
    const types: ColumnType[] = [
      { kind: 'TINYINT' },
      { kind: 'SMALLINT' },
      { kind: 'INT' },
      { kind: 'BIGINT' },
      { kind: 'DOUBLE' },
      { kind: 'DECIMAL', precision: 5, scale: 2 },
      { kind: 'STRING' },
      { kind: 'DATE' },
      { kind: 'DATETIME', precision: 6 },
      { kind: 'STRING' },
    ];
    const row: SqlRow = [
      -1,
      2,
      -3,
      4n,
      0.5,
      '1.50',
      'é',
      '2026-11-22',
      '2026-11-22 01:02:03',
      null,
    ];
    server.door.onQuery = async function* answer() {
      await Promise.resolve();
      const columns = types.map((type, at) => ({ name: `c${at}`, type }));
      yield { result: rowsResult(columns, [row]), warnings: 0, more: false };
    };
    const other = await RawClient.loggedIn(server.port, { flags });
    const isNew = (flags & FLAGS.deprecateEof) !== 0;
    const statement = await prepare('SELECT', other, !isNew);
    other.command(EXECUTE, executeBody(statement, []));
    expect((await packet(other)).payload).toEqual(Buffer.of(types.length));
    for (const _ of types) await packet(other);
    if (!isNew) expect((await packet(other)).payload[0]).toBe(0xfe);
    const half = Buffer.alloc(8);
    half.writeDoubleLE(0.5);
    const one = Buffer.alloc(8);
    one.writeBigInt64LE(4n);
    expect((await packet(other)).payload).toEqual(
      Buffer.concat([
        Buffer.of(0, 0, 0b1000), // NULL is column 9, bit 11
        Buffer.of(0xff, 2, 0, 0xfd, 0xff, 0xff, 0xff),
        one,
        half,
        Buffer.from('\u00041.50', 'utf8'),
        Buffer.of(2, 0xc3, 0xa9),
        Buffer.of(4, 0xea, 0x07, 11, 22),
        Buffer.of(7, 0xea, 0x07, 11, 22, 1, 2, 3),
      ]),
    );
    expect((await packet(other)).payload[0]).toBe(0xfe);
    other.destroy();
  });
});

describe('cursors', () => {
  const CURSOR_EXISTS = 0x40;
  const LAST_ROW_SENT = 0x80;

  async function openCursor(statement: number): Promise<void> {
    const body = executeBody(statement, []);
    body[4] = 1;
    client.command(EXECUTE, body);
    expect((await packet()).payload).toEqual(Buffer.of(1));
    await packet();
    const end = (await packet()).payload;
    expect([end[0], end.readUInt16LE(3) & CURSOR_EXISTS]).toEqual([0xfe, CURSOR_EXISTS]);
  }

  /** Texts of the rows, and the status behind them. */
  async function fetch(statement: number, count: number): Promise<[string[], number]> {
    client.command(FETCH, Buffer.concat([id(statement), id(count)]));
    const rows: string[] = [];
    for (;;) {
      const { payload } = await packet();
      if (payload[0] === 0xfe) return [rows, payload.readUInt16LE(3)];
      if (payload[0] === 0xff) throw new Error(parseError(payload).message);
      rows.push(payload.subarray(3).toString());
    }
  }

  let ended: number;

  beforeEach(() => {
    ended = 0;
    server.door.onQuery = async function* answer() {
      await Promise.resolve();
      async function* rows(): AsyncGenerator<SqlRow[]> {
        yield [['a'], ['b']];
        await Promise.resolve();
        yield [['c']];
      }
      try {
        yield {
          result: rowsResult([{ name: 't', type: { kind: 'STRING' } }], rows()),
          warnings: 0,
          more: false,
        };
      } finally {
        ended += 1;
      }
    };
  });

  it('hand out rows a few at a time', async () => {
    const statement = await prepare('SELECT');
    await openCursor(statement);
    const [first, status] = await fetch(statement, 1);
    expect([first, status & (CURSOR_EXISTS | LAST_ROW_SENT)]).toEqual([['a'], CURSOR_EXISTS]);
    expect(ended).toBe(0);
    const [rest, last] = await fetch(statement, 5);
    expect([rest, last & (CURSOR_EXISTS | LAST_ROW_SENT)]).toEqual([['b', 'c'], LAST_ROW_SENT]);
    expect(ended).toBe(1);
    await expect(fetch(statement, 1)).rejects.toThrow('no open cursor');
  });

  it('end with a reset, another execution, or their statement', async () => {
    const statement = await prepare('SELECT');
    await openCursor(statement);
    client.command(RESET, id(statement));
    await packet();
    expect(ended).toBe(1);
    await openCursor(statement);
    await openCursor(statement);
    expect(ended).toBe(2);
    client.command(CLOSE, id(statement));
    client.command(PING);
    await packet();
    expect(ended).toBe(3);
    await openCursor(await prepare('SELECT'));
    client.destroy();
    await server.listener.close(0);
    expect(ended).toBe(4);
  });
});

describe('limits', () => {
  it('ids that are not there', async () => {
    for (const command of [EXECUTE, RESET]) {
      client.command(command, Buffer.concat([id(99), Buffer.of(0, 1, 0, 0, 0)]));
      expect(await errno()).toBe(1243);
    }
    client.command(FETCH, Buffer.concat([id(99), id(1)]));
    expect(await errno()).toBe(1243);
    client.command(FETCH, Buffer.concat([id(await prepare('a')), id(1)]));
    expect(await errno()).toBe(1421);
    client.command(CLOSE, id(99));
    client.command(CLOSE, 'x');
    client.command(PING);
    expect((await packet()).payload[0]).toBe(0);
  });

  it('an error at prepare keeps nothing', async () => {
    client.command(PREPARE, 'BAD');
    expect(await errno()).toBe(1065);
    client.command(EXECUTE, executeBody(1, []));
    expect(await errno()).toBe(1243);
  });

  it('of all connections together; closed ones are given back', async () => {
    server.config.setLive('max_prepared_stmt_count', '2');
    const first = await prepare('a');
    const other = await RawClient.loggedIn(server.port);
    await prepare('b', other);
    client.command(PREPARE, 'c');
    expect(await errno()).toBe(1461);
    client.command(CLOSE, id(first));
    await prepare('c');
    client.command(RESET_CONNECTION);
    await packet();
    await prepare('d');
    client.command(PREPARE, 'e');
    expect(await errno()).toBe(1461);
    other.destroy();
    await other.read();
  });

  it('more than 65,535 placeholders', async () => {
    client.command(PREPARE, '?'.repeat(65_536));
    expect(await errno()).toBe(1390);
  });
});
