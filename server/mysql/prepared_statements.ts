/**
 * Prepared statements of one connection: COM_STMT_PREPARE, EXECUTE, FETCH, SEND_LONG_DATA, RESET,
 * CLOSE.
 * What a statement means is the session's affair; here are ids, parameters and limits.
 */
import { SqlError } from '../../base/errors.ts';
import type { ResultColumn } from '../../base/values.ts';
import { textColumn } from '../../base/values.ts';
import { CAPABILITY, has } from './capabilities.ts';
import type { ClientCharset } from './charset.ts';
import { encodeColumn } from './column_definition.ts';
import type { Cursor } from './cursor.ts';
import type { PreparedQuery } from './handler.ts';
import type { PacketEncoder } from './packet_encoder.ts';
import {
  type ParameterType,
  type ParameterValue,
  readParameter,
  readParameterType,
  textOrBytes,
} from './parameters.ts';
import { PayloadReader, malformed } from './payload_reader.ts';
import { encodeEof } from './replies.ts';
import type { ReplyState } from './replies.ts';

/** Placeholders of one statement: their count travels in 16 bits. */
const PARAMETERS_MAX = 65_535;
/** Bytes of statement texts that one connection may keep prepared. */
const TEXT_BYTES_MAX = 16 * 2 ** 20;
/** Flag of COM_STMT_EXECUTE; the other kinds of cursor were never made, in MySQL neither. */
const CURSOR_READ_ONLY = 0x01;
/** The number of values is sent, since attributes may stand behind those of the statement. */
const PARAMETER_COUNT_AVAILABLE = 0x08;

/** Prepared statements of all connections together (max_prepared_stmt_count). */
export class PreparedCount {
  count = 0;
  readonly #max: () => number;

  constructor(max: () => number) {
    this.#max = max;
  }

  take(): void {
    const max = this.#max();
    if (this.count >= max) throw new SqlError('TOO_MANY_PREPARED', { max });
    this.count += 1;
  }

  release(count: number): void {
    this.count -= count;
  }
}

interface Prepared {
  readonly query: PreparedQuery;
  readonly textBytes: number;
  cursor: Cursor | undefined;
  /** As of the last execution that sent them. */
  types: readonly ParameterType[];
  /** By parameter: what COM_STMT_SEND_LONG_DATA brought since the last execution. */
  readonly longData: Map<number, Buffer[]>;
  longBytes: number;
  /** Long data that was wrong is told at the execution: it has no answer of its own. */
  longError: SqlError | undefined;
}

export interface Execution {
  readonly id: number;
  readonly query: PreparedQuery;
  /** The client wants a cursor for the rows. */
  readonly wantsCursor: boolean;
  readonly values: readonly ParameterValue[];
}

export class PreparedStatements {
  readonly #total: PreparedCount;
  readonly #statements = new Map<number, Prepared>();
  #nextId = 1;
  #textBytes = 0;

  constructor(total: PreparedCount) {
    this.#total = total;
  }

  get size(): number {
    return this.#statements.size;
  }

  /** Keeps a prepared statement; its id. Throws TOO_MANY_PREPARED, TOO_MANY_PLACEHOLDERS. */
  add(query: PreparedQuery, textBytes: number): number {
    if (query.parameters > PARAMETERS_MAX) throw new SqlError('TOO_MANY_PLACEHOLDERS');
    if (this.#textBytes + textBytes > TEXT_BYTES_MAX) {
      throw new SqlError('TOO_MANY_PREPARED', { max: `${TEXT_BYTES_MAX} bytes a connection` });
    }
    this.#total.take();
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0 || 1;
    this.#textBytes += textBytes;
    this.#statements.set(id, {
      query,
      textBytes,
      cursor: undefined,
      types: [],
      longData: new Map(),
      longBytes: 0,
      longError: undefined,
    });
    return id;
  }

  /** COM_STMT_SEND_LONG_DATA; never answered, so it throws nothing. */
  longData(body: Buffer, limit: number): void {
    if (body.length < 6) return;
    const prepared = this.#statements.get(body.readUInt32LE(0));
    if (prepared === undefined) return;
    const index = body.readUInt16LE(4);
    const piece = body.subarray(6);
    prepared.longBytes += piece.length;
    if (index >= prepared.query.parameters) {
      prepared.longError ??= malformed(`long data for parameter ${index}`);
    } else if (prepared.longBytes > limit) {
      prepared.longError ??= new SqlError('PACKET_TOO_LARGE', { limit });
      prepared.longData.clear();
    } else if (prepared.longError === undefined) {
      const pieces = prepared.longData.get(index) ?? [];
      pieces.push(Buffer.from(piece));
      prepared.longData.set(index, pieces);
    }
  }

  /**
   * Reads COM_STMT_EXECUTE, which closes the statement's cursor. Throws UNKNOWN_PREPARED,
   * MALFORMED_PACKET, WRONG_ARGUMENTS.
   */
  async execution(
    body: Buffer,
    charset: ClientCharset,
    withAttributes = false,
  ): Promise<Execution> {
    const fields = new PayloadReader(body);
    const id = fields.u32();
    const prepared = this.#find(id, 'mysqld_stmt_execute');
    await closeCursor(prepared);
    const flags = fields.u8();
    const wantsCursor = (flags & CURSOR_READ_ONLY) !== 0;
    const hasCount = withAttributes && (flags & PARAMETER_COUNT_AVAILABLE) !== 0;
    fields.u32();
    try {
      if (prepared.longError !== undefined) throw prepared.longError;
      const values = readValues(fields, prepared, charset, { withAttributes, hasCount });
      return { id, query: prepared.query, values, wantsCursor };
    } finally {
      forgetLongData(prepared);
    }
  }

  /** Keeps the cursor until its rows are fetched, or its statement is run again or closed. */
  keepCursor(id: number, cursor: Cursor): void {
    this.#find(id, 'mysqld_stmt_execute').cursor = cursor;
  }

  /** Throws UNKNOWN_PREPARED, NO_CURSOR. */
  cursor(id: number): Cursor {
    const { cursor } = this.#find(id, 'mysqld_stmt_fetch');
    if (cursor === undefined) throw new SqlError('NO_CURSOR', { id });
    return cursor;
  }

  async closeCursor(id: number): Promise<void> {
    const prepared = this.#statements.get(id);
    if (prepared !== undefined) await closeCursor(prepared);
  }

  /** COM_STMT_RESET: drops long data and the cursor. */
  async reset(body: Buffer): Promise<void> {
    const prepared = this.#find(new PayloadReader(body).u32(), 'mysqld_stmt_reset');
    forgetLongData(prepared);
    await closeCursor(prepared);
  }

  /** COM_STMT_CLOSE; an unknown id is nothing to close. */
  close(body: Buffer): void {
    if (body.length < 4) return;
    const id = body.readUInt32LE(0);
    const prepared = this.#statements.get(id);
    if (prepared === undefined) return;
    this.#statements.delete(id);
    abandonCursor(prepared);
    this.#textBytes -= prepared.textBytes;
    this.#total.release(1);
  }

  closeAll(): void {
    this.#total.release(this.#statements.size);
    for (const prepared of this.#statements.values()) abandonCursor(prepared);
    this.#statements.clear();
    this.#textBytes = 0;
  }

  #find(id: number, command: string): Prepared {
    const prepared = this.#statements.get(id);
    if (prepared === undefined) throw new SqlError('UNKNOWN_PREPARED', { id, command });
    return prepared;
  }
}

async function closeCursor(prepared: Prepared): Promise<void> {
  const { cursor } = prepared;
  prepared.cursor = undefined;
  await cursor?.close();
}

/** Nobody waits for its end: what its statement says of it then interests nobody. */
function abandonCursor(prepared: Prepared): void {
  closeCursor(prepared).catch(() => undefined);
}

function forgetLongData(prepared: Prepared): void {
  prepared.longData.clear();
  prepared.longBytes = 0;
  prepared.longError = undefined;
}

interface ValueForm {
  /** Every type is followed by a name, also those of the statement's own values. */
  readonly withAttributes: boolean;
  readonly hasCount: boolean;
}

/** Those of the statement; attributes behind them are read and dropped. */
function readValues(
  fields: PayloadReader,
  prepared: Prepared,
  charset: ClientCharset,
  { withAttributes, hasCount }: ValueForm,
): ParameterValue[] {
  const own = prepared.query.parameters;
  if (own === 0 && !hasCount) return [];
  const count = withAttributes && (hasCount || own > 0) ? fields.lenenc() : own;
  if (count < own || count > PARAMETERS_MAX) throw malformed(`${count} values`);
  if (count === 0) return [];
  const nulls = fields.bytes(Math.ceil(count / 8));
  if (fields.u8() === 1) {
    prepared.types = Array.from({ length: count }, () => {
      const type = readParameterType(fields);
      if (withAttributes) fields.lenencBytes();
      return type;
    });
  }
  const { types, longData } = prepared;
  const values = Array.from({ length: count }, (_, at): ParameterValue => {
    const pieces = longData.get(at);
    if (pieces !== undefined) return textOrBytes(Buffer.concat(pieces), charset);
    if (((nulls[at >> 3] ?? 0) & (1 << (at & 7))) !== 0) return null;
    const type = types[at];
    if (type === undefined) throw new SqlError('WRONG_ARGUMENTS', { what: 'mysqld_stmt_execute' });
    return readParameter(fields, type, charset);
  });
  return values.slice(0, own);
}

/** What a client learns of a parameter: nothing but that it is there. */
const PARAMETER_COLUMN: ResultColumn = textColumn('?');

/** The answer to COM_STMT_PREPARE. */
export function encodePrepared(
  packets: PacketEncoder,
  id: number,
  { parameters, columns }: PreparedQuery,
  state: ReplyState,
): void {
  packets.begin();
  packets.u8(0);
  packets.u32(id);
  packets.u16(columns.length);
  packets.u16(parameters);
  packets.u8(0);
  packets.u16(0);
  packets.end();
  const all = Array.from({ length: parameters }, () => PARAMETER_COLUMN);
  for (const list of [all, columns]) {
    if (list.length === 0) continue;
    for (const column of list) {
      packets.begin();
      encodeColumn(packets, column, state.charset);
      packets.end();
    }
    if (!has(state.capabilities, CAPABILITY.DEPRECATE_EOF)) encodeEof(packets, state);
  }
}
