import { afterEach, expect, it } from '@jest/globals';
import { SILENT_LOG } from '../../../base/ports.ts';
import { QueryPool, type QueryProcess } from '../../../server/select/query_pool.ts';
import { ManualClock } from '../../manual_clock.ts';

const IDLE_MS = 10_000;

let pool: QueryPool | undefined;

afterEach(() => {
  pool?.close();
});

function open(): { readonly clock: ManualClock; readonly four: () => Promise<QueryProcess[]> } {
  const clock = new ManualClock();
  const made = new QueryPool(SILENT_LOG, clock);
  pool = made;
  const { signal } = new AbortController();
  const four = async (): Promise<QueryProcess[]> =>
    await Promise.all(Array.from({ length: 4 }, () => made.acquire(signal)));
  return { clock, four };
}

it('processes of a burst of statements serve the next burst', async () => {
  const { clock, four } = open();
  const first = await four();
  for (const process of first) pool?.release(process, true);
  clock.advance(IDLE_MS - 1);
  const second = await four();
  expect(new Set(second)).toEqual(new Set(first));
});

it('two of them stay when nobody asks, and none when the pool is closed', async () => {
  const { clock, four } = open();
  const all = await four();
  for (const process of all) pool?.release(process, true);
  clock.advance(IDLE_MS);
  const left = all.filter(({ alive }) => alive);
  expect(left).toHaveLength(2);
  expect(new Set((await four()).slice(0, 2))).toEqual(new Set(left));
  pool?.close();
  expect([...all.filter(({ alive }) => alive), clock.pending]).toEqual([0]);
});

it('one whose statement did not end by itself is not used again', async () => {
  const { four } = open();
  const [first, ...others] = await four();
  if (first !== undefined) pool?.release(first, false);
  for (const process of others) pool?.release(process, true);
  expect(first?.alive).toBe(false);
  expect(await four()).not.toContain(first);
});
