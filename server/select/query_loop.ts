/**
 * The process that runs SELECTs over tables. A process and not a worker thread, because SQLite as
 * better-sqlite3 builds it cannot be interrupted (no progress callback), and a thread inside
 * native code cannot be ended: an endless recursive query would stay for ever. A process can be
 * killed at any moment, and its memory is its own.
 *
 * Everything here is synchronous: it reads requests from file descriptor 0 and writes replies to
 * 1, so a reader that is slow slows the statement down. A watchdog thread ends the process when
 * the server is gone, even in the middle of a statement.
 */
import { readSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { unpackColumns } from '../../base/packed_columns.ts';
import {
  MEMORY_SIGNAL,
  decodeBody,
  encodeFrame,
  frameLength,
  type QueryReply,
  type QueryRequest,
  type QueryTable,
} from './query_messages.ts';
import { beginVariables, takeCounted, variablesNow } from './function_library.ts';
import { runStatement } from './run_statement.ts';
import { quoteName } from './spelled.ts';
import { openSpillingConnection, type Connection } from './sqlite_connection.ts';
import { sqlErrorOf } from './sqlite_errors.ts';
import { sqliteType, toSqlite, type SqliteValue } from './value_storage.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const HEADER_BYTES = 4;

/** Milliseconds between two looks at the memory. */
const WATCH_MS = 20;
/** Bytes that the process may take; 0: as many as it likes. Shared with the watchdog. */
const memoryMax = new Float64Array(new SharedArrayBuffer(8));

/**
 * Waits on descriptor 3, which the server holds open as long as it lives, and looks at the memory:
 * SQLite as it is built does not count its own.
 */
const WATCHDOG = `
  const { read } = require('node:fs');
  const { workerData } = require('node:worker_threads');
  read(3, Buffer.alloc(1), 0, 1, null, () => process.kill(process.pid, 'SIGKILL'));
  setInterval(() => {
    const max = workerData[0];
    if (max > 0 && process.memoryUsage.rss() > max) process.kill(process.pid, '${MEMORY_SIGNAL}');
  }, ${WATCH_MS});
`;

const WAIT = new Int32Array(new SharedArrayBuffer(4));
/** Milliseconds between two tries on a pipe that is full or empty. */
const RETRY_MS = 1;

/** Node makes standard pipes non-blocking, so a full or empty one says EAGAIN. */
function patiently(transfer: () => number): number {
  for (;;) {
    try {
      return transfer();
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== 'EAGAIN') throw error;
      Atomics.wait(WAIT, 0, 0, RETRY_MS);
    }
  }
}

/** Fills the buffer; false at the end of input. */
function readFully(buffer: Uint8Array): boolean {
  let at = 0;
  while (at < buffer.length) {
    const count = patiently(() => readSync(STDIN, buffer, at, buffer.length - at, null));
    if (count === 0) return false;
    at += count;
  }
  return true;
}

function receive(): QueryRequest | undefined {
  const header = Buffer.alloc(HEADER_BYTES);
  if (!readFully(header)) return undefined;
  const body = Buffer.alloc(frameLength(header));
  return readFully(body) ? decodeBody<QueryRequest>(body) : undefined;
}

function receivePacked(bytes: number): Rows['columns'] {
  const packed = Buffer.alloc(bytes);
  if (!readFully(packed)) throw new Error('the rows of a pull are cut off');
  return unpackColumns(packed);
}

function send(reply: QueryReply): void {
  const frame = encodeFrame(reply);
  let at = 0;
  while (at < frame.length) {
    at += patiently(() => writeSync(STDOUT, frame, at, frame.length - at));
  }
}

type Run = Extract<QueryRequest, { readonly kind: 'run' }>;
type Rows = Extract<QueryRequest, { readonly kind: 'rows' }>;

function pull(table: number): Rows {
  send({ kind: 'pull', table });
  const answer = receive();
  if (answer?.kind !== 'rows') throw new Error('the server did not answer a pull');
  return answer.packedBytes === undefined
    ? answer
    : { ...answer, columns: receivePacked(answer.packedBytes) };
}

/** Rows of a table, one array at a time; the array is reused. */
function* pullRows(table: QueryTable, index: number): Generator<SqliteValue[]> {
  const row: SqliteValue[] = table.columns.map(() => null);
  if (row.length === 0) row.push(null);
  for (;;) {
    const batch = pull(index);
    for (let at = 0; at < batch.rows; at += 1) {
      for (const [column, { type }] of table.columns.entries()) {
        row[column] = toSqlite(batch.columns[column]?.[at] ?? null, type);
      }
      yield row;
    }
    if (batch.done) return;
  }
}

/** A table without wanted columns still has rows, which COUNT(*) counts. */
const NO_COLUMNS = '"no columns"';

function provideTable(db: Connection, table: QueryTable, index: number): void {
  if (table.streaming) {
    streamTable(db, table, index);
    return;
  }
  const collation = table.nocase ? ' COLLATE NOCASE' : '';
  const columns = table.columns.map(({ name, type }) => {
    const declared = sqliteType(type);
    return `${quoteName(name)} ${declared}${declared === 'TEXT' ? collation : ''}`;
  });
  db.exec(`CREATE TABLE ${quoteName(table.sqlName)} (${columns.join(', ') || NO_COLUMNS})`);
  const marks = table.columns.map(() => '?').join(', ') || '?';
  const insert = db.prepare(`INSERT INTO ${quoteName(table.sqlName)} VALUES (${marks})`);
  db.exec('BEGIN');
  for (const row of pullRows(table, index)) insert.run(...row);
  db.exec('COMMIT');
}

/** A virtual table under a view that gives the columns types, so that they compare as typed. */
function streamTable(db: Connection, table: QueryTable, index: number): void {
  const source = `source of ${table.sqlName}`;
  const columns = table.columns.map((_, at) => `c${at}`);
  db.table(source, {
    columns: columns.length > 0 ? columns : ['c0'],
    *rows() {
      yield* pullRows(table, index);
    },
  });
  const casts = table.columns.map(({ name, type }, at) => {
    const declared = sqliteType(type);
    const value = declared === 'BLOB' ? `c${at}` : `CAST(c${at} AS ${declared})`;
    return `${value} AS ${quoteName(name)}`;
  });
  const list = casts.join(', ') || `c0 AS ${NO_COLUMNS}`;
  db.exec(
    `CREATE TEMP VIEW ${quoteName(table.sqlName)} AS SELECT ${list} FROM ${quoteName(source)}`,
  );
}

function run(request: Run): void {
  const db = openSpillingConnection(request.memoryBytes);
  try {
    // The view over a virtual table is the server's own text, so it may be trusted.
    db.pragma('trusted_schema = ON');
    takeCounted();
    beginVariables(request.variables);
    for (const [index, table] of request.tables.entries()) provideTable(db, table, index);
    for (const batch of runStatement(db, request)) {
      const counted = takeCounted();
      const isLast = batch.done && request.variables.size > 0;
      const variables = isLast ? { variables: variablesNow() } : {};
      const memory = batch.done ? { memory: process.memoryUsage.rss() } : {};
      send({ kind: 'batch', ...batch, counted, ...variables, ...memory });
    }
  } catch (error) {
    const tables = new Map(request.tables.map((table) => [table.sqlName, table.fullName]));
    const names = { text: request.text, firstClause: request.firstClause, tables };
    send({ kind: 'failed', error: sqlErrorOf(error, names).toWire() });
  } finally {
    db.close();
  }
}

export function serveQueries(): void {
  try {
    serve();
  } catch (error) {
    writeSync(STDERR, String(error));
  }
  // The watchdog thread sits in a system call, so an ordinary exit would wait for it.
  process.kill(process.pid, 'SIGKILL');
}

function serve(): void {
  // Ctrl-C goes to the whole process group; when to end is the server's decision, so that running
  // statements get its grace period.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

  new Worker(WATCHDOG, { eval: true, workerData: memoryMax }).unref();
  for (let request = receive(); request !== undefined; request = receive()) {
    // An unasked `rows` is the answer to a pull of a statement that has failed meanwhile.
    if (request.kind !== 'run') {
      if (request.packedBytes !== undefined) receivePacked(request.packedBytes);
      continue;
    }
    memoryMax[0] = request.memoryMax;
    run(request);
    memoryMax[0] = 0;
  }
}
