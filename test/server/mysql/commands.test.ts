import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import type { ColumnType, ResultColumn, SqlRow } from '../../../base/values.ts';
import { textColumn } from '../../../base/values.ts';
import type { QueryStep } from '../../../server/mysql/handler.ts';
import { FLAGS, RawClient, parseColumn, parseError, parseOk } from './raw_client.ts';
import { okStep, rowsResult, startServer, textStep } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

let server: TestServer;
let client: RawClient;

/** The next queries answer these steps; an Error among them is thrown. */
function script(...steps: readonly (QueryStep | Error)[]): void {
  server.door.onQuery = async function* answer() {
    for (const step of steps) {
      await Promise.resolve();
      if ('result' in step) yield step;
      else throw step;
    }
  };
}

async function errorOf(command: number, body: string | Buffer = ''): Promise<number> {
  client.command(command, body);
  const packet = await client.read();
  expect(packet?.payload[0]).toBe(0xff);
  expect(packet?.sequence).toBe(1);
  return parseError(packet?.payload ?? Buffer.alloc(9)).errno;
}

beforeEach(async () => {
  server = await startServer();
  client = await RawClient.loggedIn(server.port);
});
afterEach(async () => {
  client.destroy();
  await server.close();
});

const column = (type: ColumnType, more: Partial<ResultColumn> = {}): ResultColumn => ({
  name: 'c',
  type,
  schema: 'd',
  table: 't',
  ...more,
});

describe('text results', () => {
  it.each([FLAGS.base, FLAGS.base | FLAGS.deprecateEof])('rows, flags %d', async (flags) => {
    const other = await RawClient.loggedIn(server.port, { flags });
    script({ ...textStep(['a', null, '']), warnings: 3 });
    const result = await other.queryOne('x');
    expect(result.kind).toBe('rows');
    expect(result.rows).toEqual([['a'], [null], ['']]);
    expect(result.warnings).toBe(3);
    expect(result.status).toBe(2);
    expect((await other.queryOne('again')).rows).toHaveLength(3);
    other.destroy();
  });

  it('OK with affected rows, info, warnings and status', async () => {
    const result = { kind: 'ok', affectedRows: 70_000, info: 'Records: 3  Duplicates: 0' } as const;
    script({ result, warnings: 70_000, more: false });
    expect(await client.queryOne('x')).toMatchObject({
      affected: 70_000,
      info: 'Records: 3  Duplicates: 0',
      warnings: 65_535,
      status: 2,
    });
    const [session] = server.door.sessions;
    if (session !== undefined) Object.assign(session, { autocommit: false, inTransaction: true });
    expect((await client.queryOne('x')).status).toBe(1);
  });

  it('every type as MySQL describes it', async () => {
    // [type, code, charset, length, flags, decimals] for a column of a table
    const types: readonly [ColumnType, ...number[]][] = [
      [{ kind: 'BOOLEAN' }, 1, 63, 1, 0, 0],
      [{ kind: 'TINYINT' }, 1, 63, 4, 0, 0],
      [{ kind: 'SMALLINT' }, 2, 63, 6, 0, 0],
      [{ kind: 'INT' }, 3, 63, 11, 0, 0],
      [{ kind: 'BIGINT' }, 8, 63, 20, 0, 0],
      [{ kind: 'LARGEINT' }, 254, 45, 160, 0, 0],
      [{ kind: 'FLOAT' }, 4, 63, 12, 0, 31],
      [{ kind: 'DOUBLE' }, 5, 63, 22, 0, 31],
      [{ kind: 'DECIMAL', precision: 12, scale: 2 }, 246, 63, 14, 0, 2],
      [{ kind: 'DECIMAL', precision: 12, scale: 0 }, 246, 63, 13, 0, 0],
      [{ kind: 'DATE' }, 10, 63, 10, 128, 0],
      [{ kind: 'DATETIME', precision: 0 }, 12, 63, 19, 128, 0],
      [{ kind: 'DATETIME', precision: 6 }, 12, 63, 26, 128, 6],
      [{ kind: 'CHAR', length: 10 }, 254, 45, 40, 0, 0],
      [{ kind: 'VARCHAR', length: 64 }, 253, 45, 256, 0, 0],
      [{ kind: 'STRING' }, 253, 45, 262_140, 0, 0],
      [{ kind: 'JSON' }, 245, 63, 0xffff_ffff, 144, 0],
    ];
    script({
      result: rowsResult(
        types.map(([type]) => column(type)),
        [],
      ),
      warnings: 0,
      more: false,
    });
    const { columns } = await client.queryOne('x');
    const seen = columns.map((c) => [c.type, c.charset, c.length, c.flags, c.decimals]);
    expect(seen).toEqual(types.map(([, ...wire]) => wire));
    expect(columns[0]).toMatchObject({ schema: 'd', table: 't', name: 'c' });
  });

  it('NOT NULL, computed columns and the charset of results', async () => {
    const computed = { schema: '', table: '' };
    const columns = [
      column({ kind: 'INT' }, { nullable: false }),
      column({ kind: 'BIGINT' }, computed),
      column({ kind: 'VARCHAR', length: 5 }, computed),
    ];
    script({ result: rowsResult(columns, [[1, 2n, 'é€日']]), warnings: 0, more: false });
    const [session] = server.door.sessions;
    const utf8 = await client.queryOne('x');
    expect(utf8.columns.map((c) => [c.flags, c.decimals])).toEqual([
      [1, 0],
      [128, 0],
      [0, 31],
    ]);
    expect(utf8.rows).toEqual([['1', '2', 'é€日']]);
    if (session !== undefined) session.charsets = { client: 'latin1', results: 'latin1' };
    client.command(0x03, 'x');
    await client.read();
    const lengths: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      const definition = parseColumn((await client.read())?.payload ?? Buffer.alloc(0));
      lengths.push(definition.charset, definition.length);
    }
    expect(lengths).toEqual([63, 11, 63, 20, 8, 5]);
    await client.read();
    const row = (await client.read())?.payload;
    expect(row?.subarray(4).toString('latin1')).toBe('\u0003é\u0080?');
    await client.read();
  });

  it('numbers as MySQL writes them, long texts of every length class', async () => {
    const kinds: readonly ColumnType[] = [
      { kind: 'FLOAT' },
      { kind: 'DOUBLE' },
      { kind: 'DOUBLE' },
      { kind: 'LARGEINT' },
      { kind: 'STRING' },
    ];
    const lengths = [0, 1, 40, 41, 83, 84, 250, 251, 21_845, 21_846, 65_536, 200_000];
    const rows = lengths.map((n): SqlRow => [
      Math.fround(3.14),
      1e20,
      -0.1,
      -(2n ** 127n),
      'é'.repeat(n),
    ]);
    script({
      result: rowsResult(
        kinds.map((k) => column(k)),
        rows,
      ),
      warnings: 0,
      more: false,
    });
    const result = await client.queryOne('x');
    expect(result.rows[0]?.slice(0, 4)).toEqual(['3.14', '1e20', '-0.1', String(-(2n ** 127n))]);
    expect(result.rows.map((row) => row[4]?.length)).toEqual(lengths);
    expect(result.rows.every((row) => /^é*$/.test(row[4] ?? ''))).toBe(true);
  });
});

describe('several statements', () => {
  it('gives every result, all but the last with MORE_RESULTS_EXISTS', async () => {
    script(
      okStep(true),
      textStep(['a'], true),
      { ...textStep(['b'], true), warnings: 1 },
      okStep(),
    );
    const results = await client.query('a; b; c; d');
    expect(results.map((result) => result.kind)).toEqual(['ok', 'rows', 'rows', 'ok']);
    expect(results.map((result) => result.status)).toEqual([10, 10, 10, 2]);
    expect(results[2]?.warnings).toBe(1);
  });

  it('an error in the middle ends the list', async () => {
    script(okStep(true), new SqlError('NO_DB'));
    const results = await client.query('a; b; c');
    expect(results.map((result) => result.errno)).toEqual([0, 1046]);
    script(okStep());
    expect((await client.query('x'))[0]?.kind).toBe('ok');
  });

  it('an error while rows are on their way', async () => {
    const rows = (async function* batches() {
      await Promise.resolve();
      yield [['a'], ['b']];
      throw new SqlError('STORE_FAILED', { what: 'gone' });
    })();
    script({ result: rowsResult([textColumn('t')], rows), warnings: 0, more: false });
    const result = await client.queryOne('x');
    expect([result.kind, result.errno, result.rows.length]).toEqual(['error', 1105, 2]);
    script(okStep());
    expect((await client.queryOne('x')).kind).toBe('ok');
  });

  it('a promised result that never comes is an error, not a wait', async () => {
    script(okStep(true));
    expect((await client.query('x')).at(-1)?.errno).toBe(1065);
    script();
    expect((await client.query('x')).at(-1)?.errno).toBe(1065);
  });

  it('tells the session whether the client may send several', async () => {
    const seen: boolean[] = [];
    server.door.onQuery = async function* answer(_sql, { allowMulti }) {
      await Promise.resolve();
      seen.push(allowMulti);
      yield okStep();
    };
    await client.query('x');
    client.command(0x1b, Buffer.of(0, 0));
    expect((await client.read())?.payload[0]).toBe(0xfe);
    await client.query('x');
    client.command(0x1b, Buffer.of(1, 0));
    await client.read();
    await client.query('x');
    const multi = await RawClient.loggedIn(server.port, {
      flags: FLAGS.base | FLAGS.multiStatements,
    });
    await multi.query('x');
    multi.destroy();
    expect(seen).toEqual([false, true, false, true]);
  });
});

describe('statement text', () => {
  it('loses the NUL that ends a C string, and no other', async () => {
    await client.query('a\0b\0');
    expect(server.door.calls).toEqual(['query a\0b']);
  });

  it('that is not UTF-8 gets error 1300 and is not run', async () => {
    const bad = Buffer.concat([Buffer.from("SELECT 'ü"), Buffer.from('ff41', 'hex')]);
    const result = await client.queryOne(bad);
    expect(result.errno).toBe(1300);
    expect(result.message).toBe("Invalid utf8mb4 character string: 'FF41'");
    expect(server.door.calls).toEqual([]);
    expect((await client.queryOne('x')).kind).toBe('ok');
  });

  it('is decoded by the character set of the login or of the session', async () => {
    const latin1 = await RawClient.loggedIn(server.port, { collation: 8 });
    const session = server.door.sessions.at(-1);
    if (session !== undefined) Object.assign(session, { charsets: undefined });
    await latin1.query(Buffer.from('e9805c', 'hex'));
    if (session !== undefined) session.charsets = { client: 'utf8mb4', results: null };
    await latin1.query('é');
    latin1.destroy();
    expect(server.door.calls).toEqual(['query é€\\', 'query é']);
  });
});

describe('commands', () => {
  it('PING, INIT_DB, RESET_CONNECTION', async () => {
    for (const [command, body] of [
      [0x0e, ''],
      [0x02, 'adm'],
      [0x1f, ''],
    ] as const) {
      client.command(command, body);
      const packet = await client.read();
      expect(parseOk(packet?.payload ?? Buffer.of(0xff)).status).toBe(2);
      expect([packet?.payload[0], packet?.sequence]).toEqual([0, 1]);
    }
    expect(server.door.calls).toEqual(['use adm', 'reset']);
    expect(await errorOf(0x02, 'nowhere')).toBe(1049);
    expect(server.listener.connections.list()[0]?.database).toBe('adm');
  });

  it('STATISTICS is bare text', async () => {
    client.command(0x09);
    expect((await client.read())?.payload.toString()).toBe('Uptime: 1  Threads: 1');
  });

  it('FIELD_LIST lists definitions with a default and ends', async () => {
    client.command(0x04, 'users\0na%');
    const names: string[] = [];
    for (let index = 0; index < 2; index += 1) {
      const payload = (await client.read())?.payload ?? Buffer.alloc(0);
      names.push(parseColumn(payload).name);
      expect(payload.at(-1)).toBe(0xfb);
    }
    expect(names).toEqual(['a', 'b']);
    expect((await client.read())?.payload[0]).toBe(0xfe);
    expect(server.door.calls).toEqual(['fields users na%']);
  });

  it('QUIT closes without an answer', async () => {
    client.command(0x01);
    expect(await client.read()).toBeUndefined();
    expect(server.door.sessions[0]?.closeCount).toBe(1);
  });

  it('PROCESS_KILL is the statement KILL; DEBUG has nothing to tell', async () => {
    client.command(0x0c, Buffer.of(7, 0, 0, 0));
    expect((await client.read())?.payload[0]).toBe(0);
    expect(server.door.calls).toEqual(['query KILL CONNECTION 7']);
    client.command(0x0d);
    expect((await client.read())?.payload[0]).toBe(0xfe);
  });

  it('what is not there says so and the connection goes on', async () => {
    for (const command of [0x00, 0x05, 0x0b, 0x12, 0x1e, 0x20, 0xff]) {
      expect(await errorOf(command)).toBe(1047);
    }
    expect(await errorOf(0x1b, Buffer.of(7, 0))).toBe(1835);
    expect(await errorOf(0x1b)).toBe(1835);
    expect((await client.queryOne('x')).kind).toBe('ok');
  });

  it('an exception nobody foresaw becomes an id, with the stack in the log', async () => {
    script(new TypeError('secret detail'));
    const result = await client.queryOne('x');
    const id = /^internal error ([0-9a-f]{16});/.exec(result.message)?.[1];
    expect([result.errno, result.message.includes('secret')]).toEqual([1105, false]);
    expect(server.errors).toMatchObject([{ id, stack: expect.stringContaining('secret detail') }]);
    script(okStep());
    expect((await client.queryOne('x')).kind).toBe('ok');
  });
});
