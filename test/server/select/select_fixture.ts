/** A real engine over two small tables, one made of a million rows, and information_schema. */
import type { ScanPredicate } from '../../../base/agent_messages.ts';
import { packColumns } from '../../../base/packed_columns.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import { systemClock } from '../../../base/system_ports.ts';
import type { ColumnType, RowsResult, SqlRow, SqlValue, Warning } from '../../../base/values.ts';
import { InformationSchema } from '../../../server/information_schema/information_schema.ts';
import type { InformationSchemaSource } from '../../../server/information_schema/source.ts';
import type { SelectOptions } from '../../../server/select/query_job.ts';
import { PackedRows } from '../../../server/select/packed_rows.ts';
import { SelectEngine } from '../../../server/select/select_engine.ts';
import type {
  ScanRows,
  SelectColumn,
  SelectSession,
  SelectTable,
} from '../../../server/select/table_provider.ts';
import { GlobalVariables, SessionVariables } from '../../../server/variables.ts';
import { schemaSource } from '../information_schema/schema_fixture.ts';

interface ScanNote {
  readonly table: string;
  readonly wanted: readonly string[];
  readonly predicates: readonly ScanPredicate[];
}

const column = (name: string, type: ColumnType, nullable = true): SelectColumn => ({
  name,
  type,
  nullable,
});
const varchar = (length: number): ColumnType => ({ kind: 'VARCHAR', length });

const USERS: readonly SelectColumn[] = [
  column('id', { kind: 'INT' }, false),
  column('name', varchar(64), false),
  column('email', varchar(128)),
  column('score', { kind: 'DOUBLE' }),
  column('balance', { kind: 'DECIMAL', precision: 10, scale: 2 }),
  column('created', { kind: 'DATETIME', precision: 0 }),
  column('day', { kind: 'DATE' }),
];
const USER_ROWS: readonly SqlRow[] = [
  [1, 'ann', 'a@x', 1.5, '10.25', '2024-01-02 03:04:05', '2024-01-02'],
  [2, 'bob', null, null, '0.00', '2024-02-03 04:05:06', '2024-02-03'],
  [3, 'Cid', 'c@x', -2, '0.10', '2024-03-04 00:00:00', null],
  [9, 'zed', 'z@x', 1, '2.00', '2024-01-01 00:00:00', '2023-12-31'],
];
const JOBS: readonly SelectColumn[] = [
  column('id', { kind: 'BIGINT' }, false),
  column('user_id', { kind: 'INT' }),
  column('big', { kind: 'LARGEINT' }),
  column('done', { kind: 'BOOLEAN' }),
];
const JOB_ROWS: readonly SqlRow[] = [
  [9_007_199_254_740_993n, 1, 170_141_183_460_469_231_731_687_303_715_884_105_727n, 1],
  [2n, 1, -5n, 0],
  [3n, 2, null, null],
];

/** DECIMALs with more digits than a DOUBLE holds; the second differs from the first in the last. */
const LEDGER: readonly SelectColumn[] = [
  column('id', { kind: 'INT' }, false),
  column('amount', { kind: 'DECIMAL', precision: 20, scale: 4 }),
  column('units', { kind: 'DECIMAL', precision: 38, scale: 0 }),
  column('small', { kind: 'DECIMAL', precision: 10, scale: 2 }),
];
const LEDGER_ROWS: readonly SqlRow[] = [
  [1, '1234567890123456.7891', '99999999999999999999999999999999999999', '5.00'],
  [2, '1234567890123456.7892', '99999999999999999999999999999999999998', '0.10'],
  [3, '-1234567890123456.7891', '-7', '-5.00'],
  [4, '-1234567890123456.7892', '0', '1.00'],
  [5, '5.0000', '5', '5.00'],
  [6, null, null, null],
  [7, '-0.0001', '10', '0.00'],
  [8, '1234567890123456.7891', '9', '0.00'],
];

export const MANY_ROWS = 1_000_000;
const MANY: readonly SelectColumn[] = [
  column('n', { kind: 'BIGINT' }, false),
  column('word', varchar(20)),
];
const MANY_BATCH = 4096;

/** How many batches of `many` were asked for, over all scans. */
export const produced = { batches: 0 };

async function* manyRows(wanted: readonly string[]): AsyncIterable<ScanRows> {
  for (let from = 0; from < MANY_ROWS; from += MANY_BATCH) {
    const rows = Math.min(MANY_BATCH, MANY_ROWS - from);
    produced.batches += 1;
    const cell = (name: string, at: number): SqlValue =>
      name === 'n' ? BigInt(from + at) : `word ${(from + at) % 10}`;
    const columns = wanted.map((name) => Array.from({ length: rows }, (_, at) => cell(name, at)));
    // As backends of the same process send them.
    const batch = from === 0 ? { rows, columns } : new PackedRows(rows, packColumns(columns));
    yield await Promise.resolve(batch);
  }
}

function smallTable(
  name: string,
  columns: readonly SelectColumn[],
  rows: readonly SqlRow[],
): SelectTable {
  const places = (wanted: readonly string[]): number[] =>
    wanted.map((wantedName) => columns.findIndex((known) => known.name === wantedName));
  return {
    database: 'adm',
    name,
    columns,
    async *scan(wanted) {
      const data = places(wanted).map((place) => rows.map((row) => row[place] ?? null));
      yield await Promise.resolve({ rows: rows.length, columns: data });
    },
  };
}

/** Rows of `live`, which tests change between statements; `atHand`: nobody waits for them. */
export const live: { rows: readonly SqlRow[]; atHand: boolean } = { rows: [], atHand: false };

const TABLES: readonly SelectTable[] = [
  {
    ...smallTable('live', JOBS, []),
    scan: (wanted, predicates, signal) =>
      smallTable('live', JOBS, live.rows).scan(wanted, predicates, signal),
    now: (wanted) => {
      if (!live.atHand) return undefined;
      const places = wanted.map((name) => JOBS.findIndex((column) => column.name === name));
      const columns = places.map((place) => live.rows.map((row) => row[place] ?? null));
      return [{ rows: live.rows.length, columns }];
    },
  },
  smallTable('users', USERS, USER_ROWS),
  smallTable('jobs', JOBS, JOB_ROWS),
  smallTable('ledger', LEDGER, LEDGER_ROWS),
  smallTable('empty', JOBS, []),
  { database: 'adm', name: 'many', columns: MANY, scan: (wanted) => manyRows(wanted) },
];

export interface Fixture {
  readonly engine: SelectEngine<undefined>;
  readonly scans: ScanNote[];
  /** Set an error, and every scan of a user table throws it. */
  readonly failing: { error: Error | undefined };
  readonly variables: SessionVariables;
  /** Of all statements so far. */
  readonly warnings: Warning[];
  session: SelectSession;
  run(sql: string, options?: Partial<SelectOptions<undefined>>): Promise<RowsResult>;
}

/** The time all fixtures say it is: 2024-05-06 07:08:09.123 UTC. */
const NOW_MS = Date.UTC(2024, 4, 6, 7, 8, 9, 123);

/** `smallRowsMax` 0: every SELECT over tables runs in a query process. */
export function makeFixture(options: { readonly smallRowsMax?: number } = {}): Fixture {
  const scans: ScanNote[] = [];
  const failing: Fixture['failing'] = { error: undefined };
  const variables = new SessionVariables(
    new GlobalVariables({ version: '5.7.99-thermocline', version_comment: 'Thermocline' }),
  );
  const schema = new InformationSchema<InformationSchemaSource>([]);
  const source = schemaSource(variables);
  const engine = new SelectEngine<undefined>({
    clock: { ...systemClock, now: () => NOW_MS },
    log: SILENT_LOG,
    memoryBytes: () => 16 * 1024 * 1024,
    ...options,
    provider: {
      resolve: async (database, name) => {
        if (InformationSchema.isName(database)) return schema.resolve(name, source);
        const table = TABLES.find((known) => known.database === database && known.name === name);
        return (
          table && {
            ...table,
            scan: (wanted, predicates, signal) => {
              scans.push({ table: name, wanted, predicates });
              if (failing.error !== undefined) throw failing.error;
              return table.scan(wanted, predicates, signal);
            },
          }
        );
      },
    },
  });
  const warnings: Warning[] = [];
  const session: SelectSession = {
    database: 'adm',
    user: 'root@localhost',
    currentUser: 'root@%',
    connectionId: 7,
    rowCount: -1n,
    foundRows: 0n,
    ansiQuotes: false,
    noBackslashEscapes: false,
    pipesAsConcat: false,
    timeZone: 'SYSTEM',
    warnsOfZeroDivision: true,
    roles: () => [],
    setUserVariable: (name, value) => {
      variables.setUserVariable(name, value);
    },
    lock: async () => await Promise.resolve(1n),
    warn: (warning) => {
      warnings.push(warning);
    },
    systemVariable: (name, scope) => variables.get(name, scope),
    userVariable: (name) => variables.userVariable(name),
  };
  const fixture: Fixture = {
    engine,
    warnings,
    scans,
    failing,
    variables,
    session,
    run: (sql, options = {}) =>
      engine.run(sql, {
        context: undefined,
        session: fixture.session,
        signal: new AbortController().signal,
        timeoutMs: 30_000,
        memoryMax: 2 ** 30,
        rowsMax: 0,
        ...options,
      }),
  };
  return fixture;
}

/** All rows of a result, however they come. */
export async function allRows({ rows }: RowsResult): Promise<SqlRow[]> {
  const all: SqlRow[] = [];
  if (Array.isArray(rows)) return rows as SqlRow[];
  for await (const batch of rows as AsyncIterable<readonly SqlRow[]>) all.push(...batch);
  return all;
}
