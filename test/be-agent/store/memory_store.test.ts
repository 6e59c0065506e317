import { describe, expect, it } from '@jest/globals';
import { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import { bytes, failure, kindOf, listAll, storeContract, text } from './contract.ts';
import { StepClock, seededRandom } from './test_ports.ts';

function memory(retries = 4): { store: MemoryStore; clock: StepClock } {
  const clock = new StepClock();
  const limits = () => ({ retries, timeoutMs: 1000 });
  return { store: new MemoryStore({ clock, random: seededRandom(7), limits }), clock };
}

storeContract('MemoryStore', async () => {
  const { store } = memory();
  return { store, close: async () => await store.close() };
});

describe('MemoryStore faults', () => {
  it('retries what is transient, with doubling pauses, then gives up', async () => {
    const { store, clock } = memory();
    await store.put('a', bytes('x'));
    store.faults.unavailable = 1000;
    expect(await kindOf(store.get('a'))).toBe('UNAVAILABLE');
    expect(clock.sleeps).toHaveLength(4);
    for (const [at, ms] of clock.sleeps.entries()) {
      expect(ms).toBeGreaterThanOrEqual(25 * 2 ** at);
      expect(ms).toBeLessThanOrEqual(50 * 2 ** at);
    }
  });

  it('survives a third of all attempts failing in every way', async () => {
    const { store } = memory(20);
    Object.assign(store.faults, { unavailable: 100, throttled: 100, lostReply: 100 });
    store.faults.truncated = 100;
    for (let n = 0; n < 100; n += 1) {
      await store.put(`k${n}`, bytes(String(n)));
      expect(text(await store.get(`k${n}`))).toBe(String(n));
    }
    expect(await listAll(store, '')).toHaveLength(100);
    await store.delete(store.keys());
    expect(store.keys()).toEqual([]);
  });

  it('says UNKNOWN_OUTCOME when the answer of a conditional put is lost, and retries nothing', async () => {
    const { store, clock } = memory();
    store.faults.lostReply = 1000;
    const put = store.put('a', bytes('x'), { ifNoneMatch: '*' });
    expect(await kindOf(put)).toBe('UNKNOWN_OUTCOME');
    expect(clock.sleeps).toEqual([]);
    store.faults.lostReply = 0;
    expect(text(await store.get('a'))).toBe('x');
  });

  it('retries a conditional put that was refused before it did anything', async () => {
    const { store } = memory(20);
    Object.assign(store.faults, { unavailable: 300, throttled: 300 });
    for (let n = 0; n < 20; n += 1) await store.put(`k${n}`, bytes('x'), { ifNoneMatch: '*' });
    expect(store.keys()).toHaveLength(20);
  });

  it('says that the bucket vanished', async () => {
    const { store } = memory();
    store.faults.bucketMissing = true;
    expect((await failure(store.head('a'))).kind).toBe('BUCKET_MISSING');
  });
});
