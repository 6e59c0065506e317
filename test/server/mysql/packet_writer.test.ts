import { Writable } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { BufferPool } from '../../../server/mysql/buffer_pool.ts';
import { PacketWriter } from '../../../server/mysql/packet_writer.ts';
import { ManualClock } from '../../manual_clock.ts';

const TIMEOUT_MS = 1000;
const KIB = 1024;

/** A stream whose reader takes one write at a time, when the test says so. */
class SlowStream extends Writable {
  readonly taken: Buffer[] = [];
  #next: (() => void) | undefined;
  /** Takes everything at once. */
  open = false;

  constructor() {
    super({ highWaterMark: 64 * KIB, decodeStrings: false });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(Buffer.from(chunk));
    if (this.open) done();
    else this.#next = done;
  }

  /** The reader takes the write that waits. */
  async take(): Promise<void> {
    const next = this.#next;
    this.#next = undefined;
    next?.();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

function build(): { stream: SlowStream; clock: ManualClock; out: PacketWriter } {
  const stream = new SlowStream();
  const clock = new ManualClock();
  const out = new PacketWriter(stream, new BufferPool(), clock, () => TIMEOUT_MS);
  return { stream, clock, out };
}

function packet(out: PacketWriter, bytes: Buffer): void {
  out.packets.begin();
  out.packets.bytes(bytes);
  out.packets.end();
}

describe('writer', () => {
  it('writes a short answer at once and waits for nothing', async () => {
    const { stream, clock, out } = build();
    stream.open = true;
    packet(out, Buffer.from('a'));
    packet(out, Buffer.from('b'));
    out.flush();
    expect(stream.taken.map(String)).toEqual(['\u0001\0\0\0a\u0001\0\0\u0001b']);
    expect([out.backlogged, out.bufferedBytes, clock.pending]).toEqual([false, 0, 0]);
    await out.drained();
  });

  it('hands a long packet over in pieces and counts what waits', async () => {
    const { stream, clock, out } = build();
    const payload = Buffer.alloc(1000 * KIB, 'row ');
    packet(out, payload);
    out.flush();
    expect([out.backlogged, out.bufferedBytes]).toEqual([true, payload.length + 4]);
    let resolved = false;
    const drained = out.drained().then(() => {
      resolved = true;
    });
    // Each piece taken is progress: the timeout starts anew, so all of it takes four times 999 ms.
    for (let piece = 0; piece < 4; piece += 1) {
      expect(resolved).toBe(false);
      clock.advance(TIMEOUT_MS - 1);
      expect(stream.destroyed).toBe(false);
      await stream.take();
    }
    await drained;
    expect([out.bufferedBytes, clock.pending]).toEqual([0, 0]);
    expect(Buffer.concat(stream.taken).subarray(4).equals(payload)).toBe(true);
  });

  it('gives up a client that takes nothing', async () => {
    const { stream, clock, out } = build();
    packet(out, Buffer.alloc(1000 * KIB));
    out.flush();
    const drained = out.drained();
    clock.advance(TIMEOUT_MS);
    await expect(drained).rejects.toThrow('the client is gone');
    expect([stream.destroyed, out.bufferedBytes <= 256 * KIB, clock.pending]).toEqual([
      true,
      true,
      0,
    ]);
    await expect(out.drained()).rejects.toThrow('the client is gone');
    packet(out, Buffer.from('more'));
    out.flush();
    expect(stream.taken).toHaveLength(1);
  });

  it('does not use a buffer again while the stream has it', async () => {
    const { stream, out } = build();
    packet(out, Buffer.from('first'));
    out.flush();
    packet(out, Buffer.from('other'));
    out.flush();
    await stream.take();
    await stream.take();
    expect(stream.taken.map((bytes) => bytes.subarray(4).toString())).toEqual(['first', 'other']);
  });
});

/** Counts the buffers it has made of each kind. */
function countingPool(): { readonly pool: BufferPool; readonly made: () => readonly number[] } {
  const pool = new BufferPool();
  const known = [new Set<Buffer>(), new Set<Buffer>()];
  const acquire = pool.acquire.bind(pool);
  pool.acquire = () => {
    const buffer = acquire();
    known[0]?.add(buffer);
    return buffer;
  };
  const acquireFor = pool.acquireFor.bind(pool);
  pool.acquireFor = (bytes) => {
    const buffer = acquireFor(bytes);
    if (buffer !== undefined) known[1]?.add(buffer);
    return buffer;
  };
  return { pool, made: () => known.map(({ size }) => size) };
}

it.each([
  ['short', 1, [2, 1]],
  ['long', 20_000, [2, 0]],
])(
  '%s answers to a stream that takes them later, as TLS does, use buffers again',
  async (...row) => {
    const [, length, buffers] = row;
    const { pool, made } = countingPool();
    const stream = new SlowStream();
    const out = new PacketWriter(stream, pool, new ManualClock(), () => TIMEOUT_MS);
    const answers = Array.from({ length: 20 }, (_, at) => String.fromCharCode(97 + at));
    for (const answer of answers) {
      packet(out, Buffer.from(answer.repeat(length)));
      out.flush();
      await stream.take();
    }
    expect(stream.taken.map((bytes) => bytes.subarray(4).toString())).toEqual(
      answers.map((answer) => answer.repeat(length)),
    );
    expect(made()).toEqual(buffers);
  },
);

it('answers that wait together do not share a buffer', async () => {
  const { pool } = countingPool();
  const stream = new SlowStream();
  const out = new PacketWriter(stream, pool, new ManualClock(), () => TIMEOUT_MS);
  for (let answer = 0; answer < 5; answer += 1) {
    packet(out, Buffer.from(`answer ${answer}`));
    out.flush();
  }
  for (let answer = 0; answer < 5; answer += 1) await stream.take();
  expect(stream.taken.map((bytes) => bytes.subarray(4).toString())).toEqual(
    Array.from({ length: 5 }, (_, answer) => `answer ${answer}`),
  );
});
