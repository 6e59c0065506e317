/** SELECTs over small tables run on the main thread, and answer what a query process answers. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import type { SqlRow } from '../../../base/values.ts';
import {
  SMALL_CHARACTERS_MAX,
  SMALL_ROWS_MAX,
  SMALL_STEPS_MAX,
  SmallInput,
  smallShape,
} from '../../../server/select/small_bound.ts';
import { type SmallTable, SmallTables } from '../../../server/select/small_tables.ts';
import { spellStatement } from '../../../server/select/speller.ts';
import { goldenCases, goldenFiles } from './golden_cases.ts';
import { type Fixture, allRows, live, makeFixture, produced } from './select_fixture.ts';

const here = makeFixture();
const apart = makeFixture({ smallRowsMax: 0 });

afterAll(() => {
  here.engine.close();
  apart.engine.close();
});

/** Whatever a client can see of a statement. */
async function seenOf(fixture: Fixture, sql: string): Promise<unknown> {
  fixture.warnings.length = 0;
  try {
    const result = await fixture.run(sql);
    const rows = await allRows(result);
    const { columns, into } = result as typeof result & { readonly into?: readonly string[] };
    return { columns, into, rows, warnings: [...fixture.warnings] };
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return { error: error.toWire(), warnings: [...fixture.warnings] };
  }
}

/** Another value each time. */
const BY_CHANCE = /\b(?:RAND|UUID)\s*\(/i;

describe('both ways', () => {
  it('answer the same to every golden statement', async () => {
    const statements = goldenFiles()
      .flatMap((path) => goldenCases(path))
      .map(({ sql }) => sql)
      .filter((sql) => !BY_CHANCE.test(sql));
    const before = here.engine.smallRuns;
    for (const sql of statements) {
      const seen = { sql, seen: await seenOf(here, sql) };
      expect(seen).toEqual({ sql, seen: await seenOf(apart, sql) });
    }
    expect(here.engine.smallRuns - before).toBeGreaterThan(100);
    expect(apart.engine.smallRuns).toBe(0);
  });

  it.each([
    'SELECT @small := id, @small FROM users ORDER BY id',
    'SELECT id / 0, name FROM users',
    'SELECT nothing FROM users',
    'SELECT id FROM users u JOIN jobs j ON id = user_id',
    'SELECT * FROM users u LEFT JOIN USERS v ON u.id = v.id + 1',
    'SELECT a.id, b.big FROM users a, jobs b ORDER BY 1, 2',
    'SELECT (SELECT id FROM users) FROM jobs',
    'SELECT id FROM users INTO @found',
    'SELECT COUNT(*) FROM empty',
    'SELECT `table 1`.id FROM users `table 1`',
    'SELECT "kept 1" FROM users',
    'SELECT amount, units FROM ledger ORDER BY amount DESC, units',
    "SELECT TABLE_NAME FROM information_schema.tables WHERE table_schema = 'ADM' ORDER BY 1",
  ])('answer the same to %s', async (sql) => {
    // Once more, with what is kept of the first time.
    for (let time = 0; time < 2; time += 1) {
      expect(await seenOf(here, sql)).toEqual(await seenOf(apart, sql));
    }
  });
});

describe('the main thread', () => {
  const isHere = async (fixture: Fixture, sql: string): Promise<boolean> => {
    const before = fixture.engine.smallRuns;
    await seenOf(fixture, sql);
    return fixture.engine.smallRuns > before;
  };

  it.each([
    'SELECT * FROM users',
    'SELECT u.name, COUNT(*) FROM users u JOIN jobs j ON j.user_id = u.id GROUP BY u.name',
    "SELECT UPPER(name) FROM users WHERE name LIKE 'a%'",
    'SELECT id FROM users UNION SELECT id FROM jobs',
    'SELECT * FROM (SELECT id, name FROM users) t LIMIT 1',
    'SELECT character_set_name FROM information_schema.character_sets',
  ])('runs %s', async (sql) => {
    expect(await isHere(here, sql)).toBe(true);
  });

  it.each([
    'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 9) SELECT n FROM c',
    'SELECT REPEAT(name, 3) FROM users',
    'SELECT SLEEP(0) FROM users',
    "SELECT name FROM users WHERE name REGEXP '(a*)*b'",
    'SELECT name FROM users WHERE name LIKE email',
    'SELECT HEX(HEX(HEX(name))) FROM users',
    'SELECT ROW_NUMBER() OVER (ORDER BY id) FROM users',
    'SELECT @twice := CONCAT(@twice, @twice) FROM users',
    'SELECT COUNT(*) FROM (VALUES ROW(1), ROW(2)) v, users',
    `SELECT COUNT(*) FROM ${Array.from({ length: 9 }, (_, at) => `users u${at}`).join(', ')}`,
    `SELECT id FROM users WHERE id IN (${'1, '.repeat(4000)}1)`,
    'SELECT COUNT(*) FROM many',
  ])('leaves %s to a query process', async (sql) => {
    expect(await isHere(here, sql)).toBe(false);
  });

  it('gives every statement the rows that its own scan delivered', async () => {
    const columns = [
      { name: 'id', type: { kind: 'INT' }, nullable: true },
      { name: 'word', type: { kind: 'STRING' }, nullable: true },
    ] as const;
    const table = (...rows: readonly (readonly [number | null, string | null])[]): SmallTable => ({
      fullName: 'adm.t',
      columns,
      nocase: false,
      batches: [{ rows: rows.length, columns: [rows.map(([id]) => id), rows.map(([, w]) => w)] }],
    });
    const tables = new SmallTables(SMALL_ROWS_MAX);
    const spelled = spellStatement('SELECT id, word FROM t', here.session, 0);
    const common = { text: '', spelled, session: here.session, rowsMax: 0 };
    const rowsOf = async (one: SmallTable): Promise<readonly SqlRow[]> => {
      const result = tables.run({ ...common, tables: [one] });
      return result === undefined ? [] : await allRows(result);
    };
    const long = 'x'.repeat(100_000);
    try {
      expect(await rowsOf(table([1, 'a'], [2, 'b']))).toEqual([
        [1n, 'a'],
        [2n, 'b'],
      ]);
      expect(await rowsOf(table([1, 'a'], [2, 'b']))).toHaveLength(2);
      expect(await rowsOf(table([1, 'a'], [2, 'B']))).toEqual([
        [1n, 'a'],
        [2n, 'B'],
      ]);
      expect(await rowsOf(table([1, 'a']))).toEqual([[1n, 'a']]);
      expect(await rowsOf(table([null, null]))).toEqual([[null, null]]);
      expect(await rowsOf(table([3, long]))).toEqual([[3n, long]]);
      expect(await rowsOf(table([3, long]))).toEqual([[3n, long]]);
      expect(await rowsOf(table())).toEqual([]);
      const broken = { ...table([4, 'c'], [5, 'd']) };
      const values = [4, { toString: () => 'no number' } as unknown as number];
      const bad = { ...broken, batches: [{ rows: 2, columns: [values, ['c', 'd']] }] };
      expect(() => tables.run({ ...common, tables: [bad] })).toThrow();
      expect(await rowsOf(table([4, 'c']))).toEqual([[4n, 'c']]);
    } finally {
      tables.close();
    }
  });

  it('does not begin a statement that was killed while its rows came', async () => {
    const before = here.engine.smallRuns;
    const run = here.run('SELECT id FROM users', { signal: AbortSignal.abort() });
    await expect(run).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
    expect(here.engine.smallRuns).toBe(before);
  });
});

describe('the bound', () => {
  it('hands what was read to a query process, which reads the rest', async () => {
    const few = makeFixture({ smallRowsMax: 3 });
    try {
      // Three jobs fit; four users do not.
      expect(await allRows(await few.run('SELECT id FROM jobs'))).toHaveLength(3);
      expect(few.engine.smallRuns).toBe(1);
      few.scans.length = 0;
      const both = 'SELECT COUNT(*), MAX(u.id) FROM jobs j, users u';
      expect(await allRows(await few.run(both))).toEqual([[12n, 9]]);
      expect(few.engine.smallRuns).toBe(1);
      expect(few.scans.map(({ table }) => table)).toEqual(['jobs', 'users']);
    } finally {
      few.engine.close();
    }
  });

  it('is met by the first batch of a large table, and no row is lost or comes twice', async () => {
    produced.batches = 0;
    const sum = 'SELECT COUNT(*), COUNT(DISTINCT n), MIN(n), MAX(n) FROM many';
    expect(await allRows(await here.run(sum))).toEqual([
      [1_000_000n, 1_000_000n, 0n, 999_999n] satisfies SqlRow,
    ]);
    expect(produced.batches).toBe(Math.ceil(1_000_000 / 4096));
  });

  it('counts values of the result: one that is too large comes from a query process', async () => {
    // 512 rows of two columns fit, of nine they do not; warnings come once all the same.
    const joined = 'FROM ledger a, ledger b, ledger c WHERE a.id < 9';
    const before = here.engine.smallRuns;
    expect(await allRows(await here.run(`SELECT a.id, b.id ${joined}`))).toHaveLength(512);
    expect(here.engine.smallRuns).toBe(before + 1);
    const wide = `SELECT a.id / 0, a.id, b.id, c.id, 1, 2, 3, 4, 5 ${joined}`;
    here.warnings.length = 0;
    expect(await allRows(await here.run(wide))).toHaveLength(512);
    expect(here.warnings).toHaveLength(512);
    expect(here.engine.smallRuns).toBe(before + 1);
    const limited = await here.run(wide, { rowsMax: 100 });
    expect(await allRows(limited)).toHaveLength(100);
    expect(here.engine.smallRuns).toBe(before + 2);
  });

  const within = (sql: string, sizes: readonly number[], length = 1): boolean => {
    const spelled = spellStatement(sql, here.session, 0);
    const shape = smallShape(sql, spelled, here.session);
    if (shape === undefined) throw new Error('never small');
    const input = new SmallInput(SMALL_ROWS_MAX);
    const fits = sizes.every((rows, at) =>
      input.add(at, { rows, columns: [Array<string>(rows).fill('x'.repeat(length))] }),
    );
    return fits && input.isWithin(shape, spelled);
  };

  it('counts rows, all combinations of joined rows, and what is done with each', () => {
    expect(within('SELECT a FROM t', [SMALL_ROWS_MAX])).toBe(true);
    expect(within('SELECT a FROM t', [SMALL_ROWS_MAX + 1])).toBe(false);
    expect(within('SELECT 1 FROM t, u', [50, 50])).toBe(true);
    expect(within('SELECT 1 FROM t, u', [500, 500])).toBe(false);
    expect(within('SELECT (SELECT MAX(a) FROM u WHERE u.a < t.a) FROM t', [500, 500])).toBe(false);
    expect(within('SELECT 1 FROM t a, t b, t c', [200])).toBe(false);
    expect(within(`SELECT ${'a + '.repeat(400)}a FROM t`, [SMALL_ROWS_MAX])).toBe(false);
    expect(SMALL_STEPS_MAX).toBeLessThan(1_000_000);
    const cells = Array.from({ length: 12 }, () => Array<bigint>(334).fill(1n));
    expect(new SmallInput(SMALL_ROWS_MAX).add(0, { rows: 333, columns: cells })).toBe(true);
    expect(new SmallInput(SMALL_ROWS_MAX).add(0, { rows: 334, columns: cells })).toBe(false);
  });

  it('counts characters, more where functions work on them', () => {
    const length = Math.floor(SMALL_CHARACTERS_MAX / 100);
    expect(within('SELECT a FROM t', [100], length)).toBe(true);
    expect(within('SELECT a FROM t', [100], length + 10)).toBe(false);
    expect(within('SELECT UPPER(a) FROM t', [100], 20)).toBe(true);
    expect(within('SELECT UPPER(a) FROM t', [100], length)).toBe(false);
  });
});

describe('a statement that comes again', () => {
  const rowsOf = async (sql: string): Promise<readonly SqlRow[]> =>
    await allRows(await here.run(sql));

  it('sees the session as it is then', async () => {
    const before = here.session;
    const sql = 'SELECT @@autocommit, @again, DATABASE(), USER(), id / 0 FROM users LIMIT 1';
    try {
      here.variables.setUserVariable('again', 1n);
      expect(await rowsOf(sql)).toEqual([[1n, 1n, 'adm', 'root@localhost', null]]);
      here.variables.setUserVariable('again', 2n);
      here.session = { ...before, user: 'ann@localhost' };
      expect(await rowsOf(sql)).toEqual([[1n, 2n, 'adm', 'ann@localhost', null]]);
      const zoned = 'SELECT FROM_UNIXTIME(id) FROM users LIMIT 1';
      expect(await rowsOf(zoned)).toEqual([['1970-01-01 00:00:01']]);
      here.session = { ...before, timeZone: '+02:00' };
      expect(await rowsOf(zoned)).toEqual([['1970-01-01 02:00:01']]);
      expect(await rowsOf('SELECT "id" FROM users LIMIT 1')).toEqual([['id']]);
      here.session = { ...before, ansiQuotes: true };
      expect(await rowsOf('SELECT "id" FROM users LIMIT 1')).toEqual([[1]]);
      here.session = { ...before, database: 'information_schema' };
      const seen = await seenOf(here, 'SELECT id FROM users LIMIT 1');
      expect(seen).toMatchObject({ error: { code: expect.anything() } });
    } finally {
      here.session = before;
    }
    expect(await rowsOf('SELECT id FROM users LIMIT 1')).toEqual([[1]]);
  });

  it('answers with the very same rows while its tables have the same ones', async () => {
    const sql = 'SELECT id, user_id, big FROM live ORDER BY id';
    const first = [1n, 1, 5n, 1] as const;
    const again = async (): Promise<boolean> => (await rowsOf(sql)) === (await rowsOf(sql));
    live.rows = [first, [2n, null, null, 0]];
    const before = here.engine.smallRuns;
    expect(await again()).toBe(true);
    expect(here.engine.smallRuns).toBe(before + 2);
    // A scan each: what it finds is what counts.
    live.rows = [first, [2n, 0, null, 0]];
    expect(await rowsOf(sql)).toEqual([
      [1n, 1, 5n],
      [2n, 0, null],
    ]);
    live.rows = [first, [2n, 0, null, 1]];
    expect(await again()).toBe(true);
    live.rows = [first];
    expect(await rowsOf(sql)).toEqual([[1n, 1, 5n]]);
    live.rows = [];
    expect(await rowsOf(sql)).toEqual([]);
    live.rows = [first];
    expect(await rowsOf(sql)).toEqual([[1n, 1, 5n]]);
    expect(await allRows(await here.run(sql, { rowsMax: 1 }))).toEqual([[1n, 1, 5n]]);
    live.rows = [first, first];
    expect(await allRows(await here.run(sql, { rowsMax: 1 }))).toEqual([[1n, 1, 5n]]);
    expect(await rowsOf(sql)).toHaveLength(2);
    expect(await allRows(await here.run(sql, { rowsMax: 1 }))).toHaveLength(1);
  });

  it('takes rows that are at hand, and reads no others then', async () => {
    const sql = 'SELECT id, user_id FROM live ORDER BY id';
    live.rows = [[1n, 1, null, null]];
    const kept = await rowsOf(sql);
    live.atHand = true;
    try {
      here.scans.length = 0;
      expect(await rowsOf(sql)).toBe(kept);
      live.rows = [
        [2n, 2, null, null],
        [1n, 1, null, null],
      ];
      expect(await rowsOf(sql)).toEqual([
        [1n, 1],
        [2n, 2],
      ]);
      expect(here.scans).toEqual([]);
      // With another limit nothing was kept.
      expect(await allRows(await here.run(sql, { rowsMax: 1 }))).toEqual([[1n, 1]]);
      expect(await rowsOf(sql)).toHaveLength(2);
      here.scans.length = 0;
      const aborted = here.run(sql, { signal: AbortSignal.abort() });
      await expect(aborted).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
      here.scans.length = 0;
      // So many rows do not run here: what was at hand goes to a query process.
      live.rows = Array.from({ length: SMALL_ROWS_MAX + 1 }, (_, at) => [BigInt(at), at, null, 0]);
      expect(await rowsOf(sql)).toHaveLength(SMALL_ROWS_MAX + 1);
      expect(here.scans).toEqual([]);
      live.rows = [[7n, 7, null, null]];
      expect(await rowsOf(sql)).toEqual([[7n, 7]]);
    } finally {
      live.atHand = false;
    }
  });

  it('is warned of again', async () => {
    const sql = 'SELECT id / 0 FROM users';
    const first = await seenOf(here, sql);
    expect(here.warnings).toHaveLength(4);
    expect(await seenOf(here, sql)).toEqual(first);
    expect(await seenOf(here, 'SELECT 1 / 0')).toEqual(await seenOf(here, 'SELECT 1 / 0'));
    expect(here.warnings).toHaveLength(1);
    const strict = here.session;
    here.session = { ...strict, warnsOfZeroDivision: false };
    try {
      await seenOf(here, sql);
      expect(here.warnings).toEqual([]);
    } finally {
      here.session = strict;
    }
  });

  it.each([
    'SELECT RAND() FROM users',
    'SELECT UUID()',
    'SELECT id FROM users ORDER BY RAND() * 0 + RAND(), id',
    'SELECT @counted := @counted + 1',
    'SELECT @counted := @counted + id FROM users',
    'SELECT id, RAND() < 2 FROM users',
  ])('runs each time: %s', async (sql) => {
    here.variables.setUserVariable('counted', 1n);
    expect(await rowsOf(sql)).not.toBe(await rowsOf(sql));
    if (!sql.includes('@')) return;
    const [one, other] = [await rowsOf(sql), await rowsOf(sql)];
    expect(one).not.toEqual(other);
  });

  it('survives many others, each of which comes once', async () => {
    const sql = 'SELECT name FROM users WHERE id = 2';
    const kept = await rowsOf(sql);
    for (let other = 1000; other < 1300; other += 1) {
      await rowsOf(`SELECT name FROM users WHERE id = ${other}`);
      if (other % 20 === 0) expect(await rowsOf(sql)).toBe(kept);
    }
  });

  it('is not kept when it is long', async () => {
    const sql = `SELECT a.id, '${'x'.repeat(1500)}' FROM ledger a`;
    expect(await rowsOf(sql)).toBe(await rowsOf(sql));
    const long = `${sql}, users b WHERE b.id = 2 OR b.id = 1 OR b.id = 3`;
    expect(await rowsOf(long)).toHaveLength(24);
    expect(await rowsOf(long)).not.toBe(await rowsOf(long));
  });
});
