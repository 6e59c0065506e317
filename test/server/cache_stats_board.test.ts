import { describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport, CacheStats } from '../../base/agent_messages.ts';
import { type BackendId, type ComputeGroupId, id } from '../../base/ids.ts';
import type { BackendDef } from '../../base/schema.ts';
import { CacheStatsBoard } from '../../server/cache_stats_board.ts';
import { ManualClock } from '../manual_clock.ts';

const backend = (number: number): BackendDef => ({
  backendId: id<BackendId>(number),
  computeGroupId: id<ComputeGroupId>(1),
  computeGroupName: 'g',
  adminState: 'ENABLED',
  createdMs: 0,
  kind: 'embedded',
  host: '127.0.0.1',
  httpPort: 1,
});
const [WELL, ILL] = [backend(1), backend(2)];

/** Backend 2 does what `mood` says. */
function start() {
  const clock = new ManualClock();
  const ill = { mood: 'well' as 'well' | 'hangs' | 'fails', calls: 0, usedBytes: 1 };
  let answer: () => void = () => undefined;
  const transport = {
    call: async (to: BackendId): Promise<CacheStats> => {
      const isIll = to === ILL.backendId;
      if (isIll) ill.calls += 1;
      if (isIll && ill.mood === 'fails') throw new Error('500');
      if (isIll && ill.mood === 'hangs') {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        answer = () => {
          resolve(undefined);
        };
        await promise;
      }
      return { usedBytes: isIll ? ill.usedBytes : 7 } as CacheStats;
    },
  } as unknown as AgentTransport;
  const board = new CacheStatsBoard(transport, clock);
  const shown = async (): Promise<unknown[]> => {
    const known = await board.fetch([WELL, ILL]);
    return known.map(({ stats, stale, atMs }) => [stats.usedBytes, stale, clock.now() - atMs]);
  };
  /** What is shown, and how long it took. */
  const timed = async (): Promise<[unknown[], number]> => {
    const before = clock.now();
    const rows = shown();
    let done = false;
    void rows.then(() => {
      done = true;
    });
    const isDone = (): boolean => done;
    await nextTurn();
    while (!isDone()) {
      clock.advance(10);
      await nextTurn();
    }
    return [await rows, clock.now() - before];
  };
  return { clock, ill, timed, answer: () => answer() };
}

describe('CacheStatsBoard', () => {
  it('shows last known values, marked, of a backend that hangs, and waits for it only once', async () => {
    const { clock, ill, timed, answer } = start();
    expect(await timed()).toEqual([
      [
        [7, false, 0],
        [1, false, 0],
      ],
      0,
    ]);
    ill.mood = 'hangs';
    expect(await timed()).toEqual([
      [
        [7, false, 1000],
        [1, true, 1000],
      ],
      1000,
    ]);
    expect(await timed()).toEqual([
      [
        [7, false, 50],
        [1, true, 1050],
      ],
      50,
    ]);
    // Nobody asks a second time while it hangs, until the call counts as lost.
    expect(ill.calls).toBe(2);
    clock.advance(5000);
    await timed();
    expect(ill.calls).toBe(3);
    [ill.mood, ill.usedBytes] = ['well', 2];
    answer();
    await nextTurn();
    expect(await timed()).toEqual([
      [
        [7, false, 0],
        [2, false, 0],
      ],
      0,
    ]);
    expect(clock.pending).toBe(0);
  });

  it('shows last known values, marked, of a backend that fails', async () => {
    const { ill, timed } = start();
    await timed();
    ill.mood = 'fails';
    expect(await timed()).toEqual([
      [
        [7, false, 0],
        [1, true, 0],
      ],
      0,
    ]);
    [ill.mood, ill.usedBytes] = ['well', 3];
    expect(await timed()).toEqual([
      [
        [7, false, 0],
        [3, false, 0],
      ],
      0,
    ]);
  });

  it('leaves out a backend that never answered', async () => {
    const { ill, timed } = start();
    ill.mood = 'hangs';
    expect(await timed()).toEqual([[[7, false, 1000]], 1000]);
  });
});
