/** The commands of the protocol, one row per command byte: its name and what answers it. */
import { SqlError } from '../../base/errors.ts';
import type { ResultColumn } from '../../base/values.ts';
import { decodeText } from './charset.ts';
import type { ClientCharset } from './charset.ts';
import { encodeColumn } from './column_definition.ts';
import { Cursor } from './cursor.ts';
import type { SessionHandler } from './handler.ts';
import type { PacketWriter } from './packet_writer.ts';
import { PayloadReader, malformed } from './payload_reader.ts';
import { type PreparedStatements, encodePrepared } from './prepared_statements.ts';
import { withoutAttributes } from './query_attributes.ts';
import { encodeEnd, encodeOk } from './replies.ts';
import type { ReplyState } from './replies.ts';
import { writeStep } from './result_writer.ts';

/** A logged-in connection as a command sees it. */
export interface CommandTarget {
  readonly session: SessionHandler;
  readonly out: PacketWriter;
  /** Aborts at KILL, at shutdown and when the client is gone. */
  readonly signal: AbortSignal;
  readonly clientCharset: ClientCharset;
  /** MULTI_STATEMENTS; COM_SET_OPTION changes it. */
  multiStatements: boolean;
  readonly prepared: PreparedStatements;
  /** Statements come with attributes (CLIENT_QUERY_ATTRIBUTES). */
  readonly queryAttributes: boolean;
  /** max_allowed_packet, bytes. */
  readonly packetBytesMax: number;
  /** For the list of connections. */
  database: string;
  statement: string | undefined;
  replyState(): ReplyState;
  /** COM_CHANGE_USER: a whole login again; the connection ends when it fails. */
  changeUser(body: Buffer): Promise<void>;
  /** COM_QUIT. */
  quit(): void;
}

type Run = (target: CommandTarget, body: Buffer) => Promise<void> | void;

export interface Command {
  readonly name: string;
  readonly run: Run;
}

const FIELD_DEFAULT_NULL = 0xfb;
const MULTI_STATEMENTS_ON = 0;
const MULTI_STATEMENTS_OFF = 1;

const row = (name: string, run: Run): Command => ({ name, run });

// prettier-ignore
const ROWS: Readonly<Record<number, Command>> = {
  0x01: row('Quit',             (target) => target.quit()),
  0x02: row('Init DB',          initDb),
  0x03: row('Query',            query),
  0x04: row('Field List',       fieldList),
  0x07: row('Refresh',          (target) => ok(target)),
  0x08: row('Shutdown',         (target) => runQuery(target, 'SHUTDOWN')),
  0x09: row('Statistics',       statistics),
  0x0c: row('Kill',             processKill),
  0x0d: row('Debug',            (target) => encodeEnd(target.out.packets, target.replyState())),
  0x0e: row('Ping',             (target) => ok(target)),
  0x11: row('Change user',      (target, body) => target.changeUser(body)),
  0x16: row('Prepare',          prepare),
  0x17: row('Execute',          execute),
  0x18: row('Long Data',        longData),
  0x19: row('Close stmt',       (target, body) => target.prepared.close(body)),
  0x1a: row('Reset stmt',       resetStatement),
  0x1b: row('Set option',       setOption),
  0x1c: row('Fetch',            fetchRows),
  0x1f: row('Reset connection', resetConnection),
};

export function findCommand(byte: number): Command {
  return ROWS[byte] ?? row('Error', () => unknownCommand(byte));
}

function unknownCommand(byte: number): never {
  throw new SqlError('UNKNOWN_COMMAND', { command: byte });
}

function ok(target: CommandTarget): void {
  encodeOk(target.out.packets, target.replyState());
}

async function query(target: CommandTarget, body: Buffer): Promise<void> {
  const { clientCharset } = target;
  const text = target.queryAttributes ? withoutAttributes(body, clientCharset) : body;
  await runQuery(target, decodeText(withoutNul(text), clientCharset));
}

async function runQuery(target: CommandTarget, sql: string): Promise<void> {
  target.statement = sql;
  const { signal, multiStatements: allowMulti } = target;
  const state = (): ReplyState => target.replyState();
  let more = true;
  for await (const step of target.session.query(sql, { allowMulti, signal })) {
    more = step.more;
    await writeStep(target.out, step, state, signal);
    if (!more) break;
  }
  // A client waits for the result that was promised; it must not wait for ever.
  signal.throwIfAborted();
  if (more) throw new SqlError('EMPTY_QUERY');
}

/** mysqlslap and old libraries send the NUL that ends a C string. */
function withoutNul(body: Buffer): Buffer {
  return body.at(-1) === 0 ? body.subarray(0, -1) : body;
}

async function prepare(target: CommandTarget, body: Buffer): Promise<void> {
  const sql = decodeText(withoutNul(body), target.clientCharset);
  target.statement = sql;
  const query = await target.session.prepare(sql, { signal: target.signal });
  const id = target.prepared.add(query, body.length);
  encodePrepared(target.out.packets, id, query, target.replyState());
}

async function execute(target: CommandTarget, body: Buffer): Promise<void> {
  const { prepared, out, signal } = target;
  const {
    id,
    query: run,
    values,
    wantsCursor,
  } = await prepared.execution(body, target.clientCharset, target.queryAttributes);
  target.statement = run.text;
  const state = (): ReplyState => target.replyState();
  const steps = run.run(values, { signal })[Symbol.asyncIterator]();
  const first = await steps.next();
  signal.throwIfAborted();
  if (first.done === true) throw new SqlError('EMPTY_QUERY');
  const { result } = first.value;
  if (wantsCursor && result.kind === 'rows') {
    const cursor = new Cursor(result.columns, result.rows, steps);
    prepared.keepCursor(id, cursor);
    cursor.open(out, state());
    return;
  }
  try {
    await writeStep(out, first.value, state, signal, 'binary');
  } finally {
    await steps.return?.();
  }
}

async function fetchRows(target: CommandTarget, body: Buffer): Promise<void> {
  const fields = new PayloadReader(body);
  const id = fields.u32();
  const cursor = target.prepared.cursor(id);
  const isLast = await cursor.fetch(target.out, fields.u32(), target.replyState(), target.signal);
  if (isLast) await target.prepared.closeCursor(id);
}

/** As the statement, with its privileges and errors. */
async function processKill(target: CommandTarget, body: Buffer): Promise<void> {
  const id = new PayloadReader(body).u32();
  await runQuery(target, `KILL CONNECTION ${id}`);
}

/** Never answered, not even by an error; COM_STMT_CLOSE neither. */
function longData(target: CommandTarget, body: Buffer): void {
  target.prepared.longData(body, target.packetBytesMax);
}

async function resetStatement(target: CommandTarget, body: Buffer): Promise<void> {
  await target.prepared.reset(body);
  ok(target);
}

async function initDb(target: CommandTarget, body: Buffer): Promise<void> {
  const name = decodeText(body, target.clientCharset);
  await target.session.useDatabase(name);
  target.database = name;
  ok(target);
}

async function fieldList(target: CommandTarget, body: Buffer): Promise<void> {
  const fields = new PayloadReader(body);
  const table = decodeText(fields.nulBytesOrRest(), target.clientCharset);
  const pattern = decodeText(fields.nulBytesOrRest(), target.clientCharset);
  const result = await target.session.fieldList({ table, pattern });
  const columns: readonly ResultColumn[] = result.kind === 'rows' ? result.columns : [];
  const { packets } = target.out;
  const state = target.replyState();
  for (const column of columns) {
    packets.begin();
    encodeColumn(packets, column, state.charset);
    packets.u8(FIELD_DEFAULT_NULL);
    packets.end();
  }
  encodeEnd(packets, state);
}

/** The one answer without a header byte. */
function statistics(target: CommandTarget): void {
  const { packets } = target.out;
  const text = target.session.statistics();
  packets.begin();
  packets.plain(text);
  packets.end();
}

function setOption(target: CommandTarget, body: Buffer): void {
  const option = new PayloadReader(body).u16();
  if (option !== MULTI_STATEMENTS_ON && option !== MULTI_STATEMENTS_OFF) {
    throw malformed(`option ${option}`);
  }
  target.multiStatements = option === MULTI_STATEMENTS_ON;
  encodeEnd(target.out.packets, target.replyState());
}

async function resetConnection(target: CommandTarget): Promise<void> {
  await target.session.reset();
  target.prepared.closeAll();
  ok(target);
}
