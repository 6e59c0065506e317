import { afterAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SqlError } from '../../../base/errors.ts';
import type { SqlRow } from '../../../base/values.ts';
import { likeMatcher } from '../../../server/select/patterns.ts';
import { QUERY_PROCESSES_MAX } from '../../../server/select/query_pool.ts';
import { MANY_ROWS, allRows, makeFixture, produced } from './select_fixture.ts';

const fixture = makeFixture();
const ENDLESS =
  'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c';

afterAll(() => {
  fixture.engine.close();
});

describe('what is asked of tables', () => {
  const scanned = async (sql: string): Promise<unknown> => {
    fixture.scans.length = 0;
    await allRows(await fixture.run(sql));
    return fixture.scans.map(({ wanted, predicates }) => ({ wanted, predicates }));
  };

  it('is only the columns the statement names', async () => {
    expect(await scanned('SELECT COUNT(*) FROM users')).toEqual([{ wanted: [], predicates: [] }]);
    expect(await scanned('SELECT u.name FROM users u ORDER BY SCORE')).toEqual([
      { wanted: ['name', 'score'], predicates: [] },
    ]);
  });

  it('is hinted with AND-ed comparisons in canonical values', async () => {
    const sql =
      "SELECT id FROM users WHERE id >= 2 AND 5 > id AND name IN ('a', 'b') AND (score = 1 OR id = 3) AND day BETWEEN '2024-01-01' AND '2024-12-31'";
    expect(await scanned(sql)).toEqual([
      {
        wanted: ['id', 'name', 'score', 'day'],
        predicates: [
          { column: 'id', op: '>=', values: [2] },
          { column: 'id', op: '<', values: [5] },
          { column: 'name', op: 'in', values: ['a', 'b'] },
          { column: 'day', op: '>=', values: ['2024-01-01'] },
          { column: 'day', op: '<=', values: ['2024-12-31'] },
        ],
      },
    ]);
    expect(await scanned('SELECT id FROM jobs WHERE id = 3')).toMatchObject([
      { predicates: [{ column: 'id', op: '=', values: [3n] }] },
    ]);
  });

  it('is never hinted by what could exclude rows wrongly', async () => {
    for (const where of [
      'id = 1 OR id = 2',
      "id = '1'",
      'NOT id = 1',
      'id + 1 = 2',
      'balance = 1.0',
      'name = 5',
      'id = score',
    ]) {
      expect(await scanned(`SELECT id FROM users WHERE ${where}`)).toMatchObject([
        { predicates: [] },
      ]);
    }
    expect(
      await scanned('SELECT a.id FROM users a LEFT JOIN users b ON a.id = b.id WHERE b.id = 1'),
    ).toMatchObject([{ predicates: [] }]);
  });
});

describe('large tables', () => {
  it('are aggregated as they are read', async () => {
    const result = await fixture.run(
      'SELECT word, COUNT(*), SUM(n) FROM many GROUP BY word ORDER BY word LIMIT 1',
    );
    expect(await allRows(result)).toEqual([['word 0', 100_000n, 49_999_500_000n]]);
  });

  it('stop being read at LIMIT', async () => {
    produced.batches = 0;
    expect(await allRows(await fixture.run('SELECT n FROM many LIMIT 3'))).toHaveLength(3);
    expect(produced.batches).toBeLessThan(5);
  });

  it('are read no faster than the client takes the rows', async () => {
    produced.batches = 0;
    const { rows } = await fixture.run('SELECT n FROM many');
    const iterator = (rows as AsyncIterable<readonly SqlRow[]>)[Symbol.asyncIterator]();
    const first = await iterator.next();
    expect(first.value?.[0]).toEqual([0n]);
    const next = await fixture.run('SELECT COUNT(*) FROM users');
    expect(await allRows(next)).toEqual([[4n]]);
    // What fits into pipes and buffers, and not the million.
    expect(produced.batches).toBeLessThan(100);
    await iterator.return?.();
  });

  it('come whole and in order, within the memory of a query process', async () => {
    const { rows } = await fixture.run('SELECT n FROM many');
    let expected = 0n;
    let ordered = true;
    for await (const batch of rows as AsyncIterable<readonly SqlRow[]>) {
      for (const [n] of batch) {
        ordered &&= n === expected;
        expected += 1n;
      }
    }
    expect(ordered).toBe(true);
    expect(expected).toBe(BigInt(MANY_ROWS));
  });

  it('are cut at rowsMax, the session variable sql_select_limit', async () => {
    expect(await allRows(await fixture.run('SELECT n FROM many', { rowsMax: 5 }))).toHaveLength(5);
    expect(
      await allRows(await fixture.run('SELECT 1 UNION SELECT 2', { rowsMax: 1 })),
    ).toHaveLength(1);
  });
});

describe('statements that do not end', () => {
  it('end at the time limit', async () => {
    await expect(fixture.run(ENDLESS, { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'QUERY_TIMEOUT',
      errno: 3024,
    });
  });

  it('end when they are killed, and the next statement runs', async () => {
    const killer = new AbortController();
    const endless = fixture.run(ENDLESS, { signal: killer.signal, timeoutMs: 0 });
    expect(await allRows(await fixture.run('SELECT COUNT(*) FROM jobs'))).toEqual([[3n]]);
    killer.abort();
    await expect(endless).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED', errno: 1317 });
    expect(await allRows(await fixture.run('SELECT COUNT(*) FROM users'))).toEqual([[4n]]);
  });

  it('end when they are killed in the middle of their rows', async () => {
    const killer = new AbortController();
    const result = await fixture.run('SELECT n FROM many', { signal: killer.signal });
    const iterator = (result.rows as AsyncIterable<readonly SqlRow[]>)[Symbol.asyncIterator]();
    await iterator.next();
    killer.abort();
    const drained = (async () => {
      for (let step = await iterator.next(); step.done !== true; step = await iterator.next());
    })();
    await expect(drained).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
  });

  it('do not start when they were killed before', async () => {
    const signal = AbortSignal.abort();
    await expect(fixture.run(ENDLESS, { signal })).rejects.toMatchObject({
      code: 'QUERY_INTERRUPTED',
    });
  });

  it('leave room for others: more statements than processes wait their turn', async () => {
    const many = Array.from({ length: QUERY_PROCESSES_MAX + 3 }, async (_, at) =>
      allRows(await fixture.run(`SELECT id + ${at} FROM users WHERE id = 1`)),
    );
    expect(await Promise.all(many)).toEqual(many.map((_, at) => [[BigInt(1 + at)]]));
  });
});

describe('a scan that fails', () => {
  it('fails the statement with its own error, and only that', async () => {
    fixture.failing.error = new SqlError('AGENT_LOST', {
      backend: 7,
      what: 'nextBatch',
      why: 'for a test',
    });
    await expect(fixture.run('SELECT name FROM users')).rejects.toMatchObject({
      code: 'AGENT_LOST',
    });
    fixture.failing.error = undefined;
    expect(await allRows(await fixture.run('SELECT COUNT(*) FROM users'))).toEqual([[4n]]);
  });
});

describe('what could harm', () => {
  it('does not make texts without end', async () => {
    const nested = (name: string): string =>
      `LENGTH(${`${name}(`.repeat(40)}'a\\'b'${')'.repeat(40)})`;
    for (const name of ['HEX', 'QUOTE', 'TO_BASE64']) {
      const rows = await allRows(await fixture.run(`SELECT ${nested(name)} AS n`));
      expect(rows[0]?.[0] ?? 0).toBeLessThanOrEqual(16 * 2 ** 20);
    }
  });

  it('does not overflow the stack', async () => {
    const deep = `SELECT ${'('.repeat(10_000)}1${')'.repeat(10_000)}`;
    await expect(fixture.run(deep)).rejects.toMatchObject({
      code: 'STATEMENT_TOO_COMPLEX',
      message: expect.stringMatching(/more than \d+ levels of nesting$/),
    });
    const long = `SELECT 1 WHERE ${Array.from({ length: 5000 }, () => '1').join(' AND ')}`;
    await expect(fixture.run(long)).rejects.toMatchObject({
      code: 'STATEMENT_TOO_COMPLEX',
      message: expect.stringMatching(/more than \d+ levels of expressions$/),
    });
  });

  it('keeps any string a string', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        const quoted = `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
        const result = await fixture.run(`SELECT ${quoted} AS s, CONCAT(${quoted}, 'x') AS t`);
        expect(await allRows(result)).toEqual([[value, `${value}x`]]);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps any name a name', async () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((text) => !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(name, async (value) => {
        const result = await fixture.run(`SELECT 1 AS \`${value.replaceAll('`', '``')}\``);
        expect(result.columns.map((column) => column.name)).toEqual([value]);
      }),
      { numRuns: 200 },
    );
  });

  it('has LIKE agree with a regular expression', () => {
    const pattern = fc.array(fc.constantFrom('a', 'b', '%', '_', String.raw`\%`, String.raw`\_`), {
      maxLength: 8,
    });
    const value = fc
      .array(fc.constantFrom('a', 'b', '%', '_'), { maxLength: 8 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(pattern, value, (parts, text) => {
        const source = parts
          .map((part) => (part === '%' ? '.*' : part === '_' ? '.' : part))
          .join('');
        expect(likeMatcher(parts.join(''))(text)).toBe(new RegExp(`^${source}$`, 's').test(text));
      }),
    );
  });
});

describe('result metadata', () => {
  it('names the table and the column behind a plain reference', async () => {
    const { columns } = await fixture.run('SELECT u.id AS n, u.email, 1 FROM users u');
    expect(columns).toEqual([
      {
        name: 'n',
        type: { kind: 'INT' },
        nullable: false,
        schema: 'adm',
        table: 'u',
        orgTable: 'users',
        orgName: 'id',
      },
      {
        name: 'email',
        type: { kind: 'VARCHAR', length: 128 },
        nullable: true,
        schema: 'adm',
        table: 'u',
        orgTable: 'users',
        orgName: 'email',
      },
      { name: '1', type: { kind: 'BIGINT' }, nullable: true },
    ]);
  });

  it('needs a database for a table without one', async () => {
    const session = fixture.session;
    fixture.session = { ...session, database: '' };
    await expect(fixture.run('SELECT * FROM users')).rejects.toMatchObject({ errno: 1046 });
    expect(await allRows(await fixture.run('SELECT DATABASE()'))).toEqual([[null]]);
    fixture.session = session;
  });

  it('tells fractions of the present second as asked', async () => {
    const [row = []] = await allRows(
      await fixture.run(
        'SELECT NOW(3), CURRENT_TIMESTAMP(6), CURTIME(3), NOW(0), UTC_TIMESTAMP(1)',
      ),
    );
    expect(row.map((cell) => String(cell).replace(/^.*:\d\d/, ''))).toEqual([
      expect.stringMatching(/^\.\d{3}$/),
      expect.stringMatching(/^\.\d{3}000$/),
      expect.stringMatching(/^\.\d{3}$/),
      '',
      expect.stringMatching(/^\.\d$/),
    ]);
    await expect(fixture.run('SELECT NOW(7)')).rejects.toMatchObject({
      errno: 1426,
      message: "Too-big precision 7 specified for 'now'. Maximum is 6.",
    });
    await expect(fixture.run('SELECT NOW(id) FROM users')).rejects.toMatchObject({ errno: 1064 });
  });

  it('follows the time zone and the SQL mode of the session', async () => {
    const session = fixture.session;
    fixture.session = { ...session, timeZone: '+02:00', ansiQuotes: true };
    expect(await allRows(await fixture.run('SELECT NOW(), "id" FROM users LIMIT 1'))).toEqual([
      ['2024-05-06 09:08:09', 1],
    ]);
    fixture.session = session;
  });
});
