import { describe, expect, it } from '@jest/globals';
import { NamedLocks } from '../../server/named_locks.ts';
import { ManualClock } from '../manual_clock.ts';

const NEVER = new AbortController().signal;

function locks(): { readonly locks: NamedLocks; readonly clock: ManualClock } {
  const clock = new ManualClock();
  return { locks: new NamedLocks(clock), clock };
}

describe('locks by name', () => {
  it('are handed to who waited longest, and not to who gave up', async () => {
    const { locks: all, clock } = locks();
    expect(await all.get(1, 'x', 0, NEVER)).toBe(1n);
    const second = all.get(2, 'X', 5, NEVER);
    const third = all.get(3, 'x', 60, NEVER);
    clock.advance(5000);
    expect(await second).toBe(0n);
    expect(all.release(1, 'x')).toBe(1n);
    expect(await third).toBe(1n);
    expect(all.ownerOf('x')).toBe(3);
    expect(all.releaseAll(3)).toBe(1n);
    expect(all.ownerOf('x')).toBeUndefined();
  });

  it('see a circle of three', async () => {
    const { locks: all } = locks();
    for (const owner of [1, 2, 3]) await all.get(owner, `l${owner}`, 0, NEVER);
    const first = all.get(1, 'l2', -1, NEVER);
    const second = all.get(2, 'l3', -1, NEVER);
    await expect(all.get(3, 'l1', -1, NEVER)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
    all.releaseAll(3);
    expect(await second).toBe(1n);
    all.releaseAll(2);
    expect(await first).toBe(1n);
  });

  it('are bounded for one session', async () => {
    const { locks: all } = locks();
    for (let at = 0; at < 1000; at += 1) await all.get(1, `l${at}`, 0, NEVER);
    await expect(all.get(1, 'more', 0, NEVER)).rejects.toMatchObject({ code: 'TOO_MANY_LOCKS' });
    expect(await all.get(1, 'l1', 0, NEVER)).toBe(1n);
    expect(await all.get(2, 'more', 0, NEVER)).toBe(1n);
    all.release(1, 'l2');
    expect(await all.get(1, 'another', 0, NEVER)).toBe(1n);
    expect(all.releaseAll(1)).toBe(1001n);
    expect(await all.get(1, 'l5', 0, NEVER)).toBe(1n);
  });
});
