import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { SqlRow } from '../../../base/values.ts';
import { textColumn } from '../../../base/values.ts';
import { ManualClock } from '../../manual_clock.ts';
import { RawClient, packetBytes, parseError } from './raw_client.ts';
import { rowsResult, startServer, textStep, until } from './scripted_front_door.ts';
import type { ScriptedFrontDoor, TestServer } from './scripted_front_door.ts';

const PIECE = 0xff_ff_ff;
const MIB = 2 ** 20;

let server: TestServer;
let client: RawClient;
let clock: ManualClock;

beforeEach(async () => {
  clock = new ManualClock();
  server = await startServer({ net_write_timeout_ms: '5000' }, clock);
  client = await RawClient.loggedIn(server.port);
});
afterEach(async () => {
  client.destroy();
  await server.close();
});

const BATCH_ROWS = 1000;
const ROW: SqlRow = ['x'.repeat(100)];
const BATCH: readonly SqlRow[] = Array.from({ length: BATCH_ROWS }, () => ROW);

/** Answers with this many batches and says how many were asked for. */
function streamBatches(door: ScriptedFrontDoor, batches: number): { produced: number } {
  const state = { produced: 0 };
  door.onQuery = async function* answer() {
    const rows = (async function* produce() {
      await Promise.resolve();
      while (state.produced < batches) {
        state.produced += 1;
        yield BATCH;
      }
    })();
    await Promise.resolve();
    yield { result: rowsResult([textColumn('t')], rows), warnings: 0, more: false };
  };
  return state;
}

/** Waits until the count stands still for some turns of the event loop. */
async function standsStill(count: () => number): Promise<void> {
  for (let last = -1, same = 0; same < 20;) {
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
    same = last === count() ? same + 1 : 0;
    last = count();
  }
}

describe('a million rows', () => {
  it('to a client that does not read are not produced, and arrive when it does', async () => {
    const state = streamBatches(server.door, 1000);
    client.socket.pause();
    client.command(0x03, 'SELECT');
    await until(() => state.produced > 0);
    await standsStill(() => state.produced);
    // 1000 batches are 105 MB. What was produced is in the kernel's buffers (some MB) or is one
    // batch and one flush of ours.
    const producedBytes = state.produced * BATCH_ROWS * 105;
    expect(producedBytes).toBeLessThan(16 * MIB);
    client.socket.resume();
    const { rows } = await client.readResult();
    expect(rows).toHaveLength(1_000_000);
    expect(state.produced).toBe(1000);
  });

  it('to a client that never reads end with the write timeout', async () => {
    const state = streamBatches(server.door, 1000);
    client.socket.pause();
    client.command(0x03, 'SELECT');
    await until(() => state.produced > 0);
    await standsStill(() => state.produced);
    clock.advance(4999);
    expect(server.listener.connections.size).toBe(1);
    clock.advance(1);
    await until(() => server.listener.connections.size === 0);
    expect(state.produced).toBeLessThan(1000);
    expect(server.door.sessions[0]?.closeCount).toBe(1);
  });

  it('are stopped by KILL QUERY with an error packet', async () => {
    const state = streamBatches(server.door, 1_000_000);
    client.command(0x03, 'SELECT');
    await until(() => state.produced > 20);
    server.listener.connections.kill(server.listener.connections.list()[0]?.id ?? 0, 'QUERY');
    expect((await client.readResult()).errno).toBe(1317);
  });
});

describe('packets over 16 MiB', () => {
  const pieces = (payload: Buffer): Buffer[] => {
    const out: Buffer[] = [];
    for (let at = 0, sequence = 0; at <= payload.length; at += PIECE, sequence += 1) {
      out.push(packetBytes(payload.subarray(at, at + PIECE), sequence));
    }
    return out;
  };

  it.each([PIECE - 1, PIECE, PIECE + 1, 33 * MIB])('a command of %d bytes', async (size) => {
    let length = 0;
    server.door.onQuery = async function* answer(sql) {
      await Promise.resolve();
      length = sql.length;
      yield textStep(['ok']);
    };
    const payload = Buffer.alloc(size, 'x');
    payload[0] = 0x03;
    for (const piece of pieces(payload)) client.write(piece);
    expect((await client.read())?.sequence).toBe(Math.floor(size / PIECE) + 1);
    expect(length).toBe(size - 1);
  });

  it.each([PIECE - 5, PIECE - 4, PIECE, 2 * PIECE])('a value of %d characters', async (size) => {
    server.door.onQuery = async function* answer() {
      await Promise.resolve();
      yield textStep(['x'.repeat(size), 'next']);
    };
    client.command(0x03, 'SELECT');
    for (let index = 0; index < 3; index += 1) await client.read();
    let length = 0;
    for (let more = true; more;) {
      const packet = await client.read();
      length += packet?.payload.length ?? 0;
      more = packet?.payload.length === PIECE;
    }
    const prefix = size >= 0x1_00_00_00 ? 9 : 4;
    expect(length).toBe(size + prefix);
    expect((await client.read())?.payload.toString()).toBe('\u0004next');
  });

  it('over max_allowed_packet get 1153 and the connection ends', async () => {
    server.config.setLive('max_allowed_packet', '20MB');
    await client.query('x');
    const payload = Buffer.alloc(21 * MIB, 'x');
    for (const piece of pieces(payload)) client.write(piece);
    const answer = await client.read();
    expect(parseError(answer?.payload ?? Buffer.alloc(9)).errno).toBe(1153);
    client.destroy();
    expect(server.door.calls).toEqual(['query x']);
  });
});
