/** The real clock and the real chance. The only file that may ask the operating system for them. */
import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Random } from './ports.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Bytes asked of the system at once: each question costs 10 µs, and every login needs 20 bytes. */
const POOL_BYTES = 4096;
const POOLED_MAX = 64;
let pool = Buffer.alloc(0);
let used = 0;

/** What was handed out is not kept. */
function pooledBytes(count: number): Uint8Array {
  if (used + count > pool.length) {
    pool = randomBytes(POOL_BYTES);
    used = 0;
  }
  const bytes = Uint8Array.from(pool.subarray(used, used + count));
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}

export const systemRandom: Random = {
  bytes: (count) => (count <= POOLED_MAX ? pooledBytes(count) : randomBytes(count)),
  int: (below) => randomInt(below),
};
