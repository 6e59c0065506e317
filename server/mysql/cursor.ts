/** A read-only cursor of a prepared statement: rows that COM_STMT_FETCH takes a few at a time. */
import type { ResultColumn, ResultRows, SqlRow } from '../../base/values.ts';
import { type WireKind, encodeBinaryRow, wireKind } from './binary_row.ts';
import { STATUS } from './capabilities.ts';
import { columnBlock } from './column_definition.ts';
import type { QueryStep } from './handler.ts';
import type { PacketWriter } from './packet_writer.ts';
import { FLUSH_BYTES } from './packet_writer.ts';
import { encodeEnd } from './replies.ts';
import type { ReplyState } from './replies.ts';

export class Cursor {
  readonly #columns: readonly ResultColumn[];
  readonly #kinds: readonly WireKind[];
  readonly #batches: AsyncIterator<readonly SqlRow[]>;
  /** The statement that is being run: it ends with the cursor. */
  readonly #steps: AsyncIterator<QueryStep>;
  #batch: readonly SqlRow[] = [];
  #at = 0;
  #ended = false;

  constructor(columns: readonly ResultColumn[], rows: ResultRows, steps: AsyncIterator<QueryStep>) {
    this.#columns = columns;
    this.#kinds = columns.map((column) => wireKind(column.type));
    this.#batches = batchesOf(rows)[Symbol.asyncIterator]();
    this.#steps = steps;
  }

  /** The answer to the execution that opened it: columns, and no rows. */
  open(out: PacketWriter, state: ReplyState): void {
    const block = columnBlock(this.#columns, state.charset);
    out.packets.appendPackets(block.bytes, block.packets);
    encodeEnd(out.packets, withStatus(state, STATUS.CURSOR_EXISTS));
  }

  /** Writes up to `count` rows; true when there are no more. Rejects with the signal's reason. */
  async fetch(
    out: PacketWriter,
    count: number,
    state: ReplyState,
    signal: AbortSignal,
  ): Promise<boolean> {
    const latin1 = state.charset === 'latin1';
    for (let sent = 0; sent < count && (await this.#hasRow(signal)); sent += 1) {
      const row = this.#batch[this.#at] ?? [];
      this.#at += 1;
      encodeBinaryRow(out.packets, row, this.#kinds, latin1);
      if (out.packets.size >= FLUSH_BYTES) {
        out.flush();
        if (out.backlogged) await out.drained();
      }
    }
    const isLast = !(await this.#hasRow(signal));
    const status = isLast ? STATUS.LAST_ROW_SENT : STATUS.CURSOR_EXISTS;
    encodeEnd(out.packets, withStatus(state, status));
    return isLast;
  }

  /** Ends the statement; rows not fetched are given up. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#batches.return?.();
    await this.#steps.return?.();
  }

  async #hasRow(signal: AbortSignal): Promise<boolean> {
    while (this.#at >= this.#batch.length) {
      signal.throwIfAborted();
      const next = await this.#batches.next();
      if (next.done === true) {
        this.#batch = [];
        this.#at = 0;
        return false;
      }
      this.#batch = next.value;
      this.#at = 0;
    }
    return true;
  }
}

async function* batchesOf(rows: ResultRows): AsyncGenerator<readonly SqlRow[]> {
  if (Array.isArray(rows)) yield rows as readonly SqlRow[];
  else yield* rows as AsyncIterable<readonly SqlRow[]>;
}

function withStatus(state: ReplyState, bit: number): ReplyState {
  return { ...state, status: state.status | bit };
}
