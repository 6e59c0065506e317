/** Statement results → packets: OK, or a result set, text or binary, with back pressure. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RowsResult, SqlRow } from '../../base/values.ts';
import { type WireKind, encodeBinaryRow, wireKind } from './binary_row.ts';
import { CAPABILITY, has } from './capabilities.ts';
import { encodeLatin1 } from './charset.ts';
import { type ColumnBlock, columnBlock } from './column_definition.ts';
import type { QueryStep } from './handler.ts';
import type { PacketEncoder } from './packet_encoder.ts';
import { numberText } from './number_text.ts';
import { FLUSH_BYTES } from './packet_writer.ts';
import type { PacketWriter } from './packet_writer.ts';
import { RecentRows } from './recent_rows.ts';
import { encodeEnd, encodeEof, encodeOk } from './replies.ts';
import type { ReplyState } from './replies.ts';

const NULL_VALUE = 0xfb;
/** Bytes of one result after which other connections get their turn. */
const TURN_BYTES = 2 ** 20;

/** How rows travel: as text for COM_QUERY, binary for prepared statements. */
export type RowForm = 'text' | 'binary';

interface RowOptions {
  readonly form: RowForm;
  readonly latin1: boolean;
}

/**
 * Writes one step's result. A short one stays in the writer's buffer, to go out in a single write
 * with the rest of the answer; a long one is flushed as it grows and waits for the client.
 * `state` is asked again at the end, as the statement may have changed it. Rejects with the
 * signal's reason, or when the client is gone.
 */
export async function writeStep(
  out: PacketWriter,
  step: QueryStep,
  state: () => ReplyState,
  signal: AbortSignal,
  form: RowForm = 'text',
): Promise<void> {
  signal.throwIfAborted();
  const { result } = step;
  if (result.kind === 'ok') {
    const { affectedRows, info } = result;
    const { warnings, more } = step;
    encodeOk(out.packets, state(), { affectedRows, info, warnings, more });
    return;
  }
  const before = state();
  const block = columnBlock(result.columns, before.charset);
  out.packets.appendPackets(block.bytes, block.packets);
  if (!has(before.capabilities, CAPABILITY.DEPRECATE_EOF)) encodeEof(out.packets, before);
  await writeRows(out, result, block, { form, latin1: before.charset === 'latin1' }, signal);
  encodeEnd(out.packets, state(), { warnings: step.warnings, more: step.more });
}

async function writeRows(
  out: PacketWriter,
  result: RowsResult,
  block: ColumnBlock,
  options: RowOptions,
  signal: AbortSignal,
): Promise<void> {
  const kinds = result.columns.map((column) => wireKind(column.type));
  const write = new RowWriter(out, kinds, options, signal);
  const { rows } = result;
  if (Array.isArray(rows)) {
    const all = rows as readonly SqlRow[];
    if (block.uses > 1 && RecentRows.takes(all.length)) {
      const recent = (block.recent[options.form] ??= new RecentRows());
      recent.write(out.packets, all, write.one);
    } else {
      await write.batch(all);
    }
    return;
  }
  for await (const batch of rows as AsyncIterable<readonly SqlRow[]>) {
    signal.throwIfAborted();
    await write.batch(batch);
  }
}

class RowWriter {
  readonly #out: PacketWriter;
  readonly #kinds: readonly WireKind[];
  readonly #binary: boolean;
  readonly #latin1: boolean;
  readonly #signal: AbortSignal;
  #turnBytes = 0;

  constructor(
    out: PacketWriter,
    kinds: readonly WireKind[],
    { form, latin1 }: RowOptions,
    signal: AbortSignal,
  ) {
    this.#out = out;
    this.#kinds = kinds;
    this.#binary = form === 'binary';
    this.#latin1 = latin1;
    this.#signal = signal;
  }

  /** Encodes one row and leaves it in memory. */
  readonly one = (row: SqlRow): void => {
    const { packets } = this.#out;
    if (this.#binary) encodeBinaryRow(packets, row, this.#kinds, this.#latin1);
    else this.#row(packets, row);
  };

  /** Encodes rows, pausing whenever the client has enough. */
  async batch(rows: readonly SqlRow[]): Promise<void> {
    const { packets } = this.#out;
    for (const row of rows) {
      this.one(row);
      if (packets.size >= FLUSH_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    this.#turnBytes += this.#out.packets.size;
    this.#out.flush();
    if (this.#out.backlogged) {
      await this.#out.drained();
    } else if (this.#turnBytes >= TURN_BYTES) {
      await nextTurn();
    } else {
      return;
    }
    this.#turnBytes = 0;
    this.#signal.throwIfAborted();
  }

  #row(packets: PacketEncoder, row: SqlRow): void {
    const kinds = this.#kinds;
    packets.begin();
    for (let index = 0; index < kinds.length; index += 1) {
      const value = row[index];
      if (typeof value === 'string') {
        if (this.#latin1) packets.lenencBytes(encodeLatin1(value));
        else packets.text(value);
      } else if (value === null || value === undefined) {
        packets.u8(NULL_VALUE);
      } else if (typeof value === 'bigint') {
        packets.text(value.toString());
      } else {
        packets.text(numberText(value, kinds[index] === 'FLOAT'));
      }
    }
    packets.end();
  }
}
