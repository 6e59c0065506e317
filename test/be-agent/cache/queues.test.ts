/** The cache's policy against a naive model of the same rules: arrays instead of linked slots. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NORMAL, TTL } from '../../../be-agent/cache/cache_object.ts';
import type { QueueNumber } from '../../../be-agent/cache/cache_object.ts';
import { ADMIT_QUERY, CacheQueues, parseShares } from '../../../be-agent/cache/queues.ts';
import type { AdmitRule, Shares } from '../../../be-agent/cache/queues.ts';

const QUEUES: readonly QueueNumber[] = [0, 1, 2, 3];
const SHARES: Shares = [5, 40, 5, 50];

interface Row {
  readonly slot: number;
  readonly bytes: number;
  expiry: number;
  era: number;
  queried: number;
  pinned: boolean;
}

/** Queries come in seconds 1..9; a warm-up spares blocks read since then. */
const SPARE_SINCE = 5;

class Model {
  capacity: number;
  era = 1;
  /** Cold to hot. */
  readonly queues: [Row[], Row[], Row[], Row[]] = [[], [], [], []];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  used(queue: QueueNumber): number {
    return sum(this.queues[queue]);
  }

  total(): number {
    return sum(this.queues.flat());
  }

  share(queue: QueueNumber): number {
    return Math.floor((this.capacity * SHARES[queue]) / 100);
  }

  /** undefined: refused. */
  victims(queue: QueueNumber, bytes: number, rule: AdmitRule): Row[] | undefined {
    if (bytes > this.capacity) return undefined;
    const gone: Row[] = [];
    const free = (): number => this.capacity - this.total() + sum(gone);
    const from = (other: QueueNumber, floor: number): void => {
      for (const row of this.queues[other]) {
        const left = this.used(other) - sum(gone.filter((one) => this.queues[other].includes(one)));
        if (free() >= bytes || left <= floor || row.era >= rule.keepFromEra) return;
        if (!row.pinned && row.queried < rule.spareQueriedSec) gone.push(row);
      }
    };
    if (this.used(queue) + bytes <= this.share(queue)) {
      for (const other of QUEUES) {
        if (other !== queue && !(other === TTL && rule.spareTtl)) from(other, this.share(other));
      }
    }
    from(queue, 0);
    return free() >= bytes ? gone : undefined;
  }

  find(slot: number): { readonly queue: QueueNumber; readonly row: Row } | undefined {
    for (const queue of QUEUES) {
      const row = this.queues[queue].find((one) => one.slot === slot);
      if (row !== undefined) return { queue, row };
    }
    return undefined;
  }

  remove(slot: number): void {
    for (const queue of QUEUES) {
      const place = this.queues[queue].findIndex((one) => one.slot === slot);
      if (place >= 0) this.queues[queue].splice(place, 1);
    }
  }
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((total, { bytes }) => total + bytes, 0);
}

type Step =
  | {
      readonly do: 'admit';
      readonly queue: QueueNumber;
      readonly bytes: number;
      readonly ttl: number;
      readonly warm: boolean;
    }
  | { readonly do: 'touch' | 'remove' | 'unpin' | 'pin'; readonly pick: number }
  | { readonly do: 'move'; readonly pick: number; readonly queue: QueueNumber }
  | { readonly do: 'cold'; readonly queue: QueueNumber; readonly bytes: number }
  | { readonly do: 'query'; readonly pick: number; readonly at: number }
  | { readonly do: 'era' }
  | { readonly do: 'capacity'; readonly bytes: number }
  | { readonly do: 'expire'; readonly now: number };

const queue = fc.constantFrom(...QUEUES);
const pick = fc.nat(40);
const second = fc.integer({ min: 1, max: 9 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('admit' as const),
      queue,
      bytes: fc.integer({ min: 1, max: 30 }),
      ttl: fc.integer({ min: 1, max: 9 }),
      warm: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('touch' as const, 'remove' as const, 'unpin' as const, 'pin' as const),
      pick,
    }),
  },
  fc.record({ do: fc.constant('move' as const), pick, queue }),
  { weight: 4, arbitrary: fc.record({ do: fc.constant('query' as const), pick, at: second }) },
  fc.record({ do: fc.constant('cold' as const), queue, bytes: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ do: fc.constant('era' as const) }),
  fc.record({ do: fc.constant('capacity' as const), bytes: fc.integer({ min: 20, max: 300 }) }),
  fc.record({ do: fc.constant('expire' as const), now: fc.integer({ min: 0, max: 9 }) }),
);

class Run {
  readonly real = new CacheQueues(200, SHARES);
  readonly model = new Model(200);
  batchEra = 1;

  do(one: Step): void {
    switch (one.do) {
      case 'admit': {
        const warm = { keepFromEra: this.batchEra, spareTtl: true, spareQueriedSec: SPARE_SINCE };
        const rule = one.warm ? warm : ADMIT_QUERY;
        return this.#admit(one.queue, one.bytes, one.queue === TTL ? one.ttl : 0, rule);
      }
      case 'cold':
        return this.#cold(one.queue, one.bytes);
      case 'era':
        this.batchEra = this.real.beginEra();
        this.model.era += 1;
        return undefined;
      case 'query': {
        const found = this.#picked(one.pick);
        if (found === undefined) return undefined;
        this.real.markQueried(found.row.slot, one.at);
        found.row.queried = one.at;
        return undefined;
      }
      case 'capacity':
        return this.#capacity(one.bytes);
      case 'expire':
        return this.#expire(one.now);
      case 'touch':
      case 'remove':
      case 'pin':
      case 'unpin':
        return this.#one(one.do, one.pick);
      case 'move': {
        const found = this.#picked(one.pick);
        if (found === undefined) return undefined;
        this.real.move(found.row.slot, one.queue, 5);
        this.#toHot(found.row, one.queue, 5);
        return undefined;
      }
    }
  }

  #admit(into: QueueNumber, bytes: number, expiry: number, rule: AdmitRule): void {
    const expected = this.model.victims(into, bytes, rule);
    const admission = this.real.admit(into, bytes, expiry, rule);
    expect(admission?.victims).toEqual(expected?.map(({ slot }) => slot));
    if (admission === undefined || expected === undefined) return;
    for (const victim of admission.victims) {
      this.model.remove(victim);
      this.real.free(victim);
    }
    const { slot } = admission;
    const { era } = this.model;
    this.model.queues[into].push({ slot, bytes, expiry, era, queried: 0, pinned: true });
    expect(this.real.usedBytes()).toBeLessThanOrEqual(this.real.capacity);
  }

  #cold(into: QueueNumber, bytes: number): void {
    // Only a rebuild inserts there, and evicts down afterwards.
    const slot = this.real.insertCold(into, bytes, 0);
    this.model.queues[into].unshift({ slot, bytes, expiry: 0, era: 0, queried: 0, pinned: false });
    this.#trim();
  }

  #capacity(bytes: number): void {
    this.real.setCapacity(bytes);
    this.model.capacity = bytes;
    this.#trim();
  }

  #trim(): void {
    const before = this.model.total();
    const victims = this.real.trim();
    for (const victim of victims) {
      expect(this.model.find(victim)?.row.pinned).toBe(false);
      this.model.remove(victim);
      this.real.free(victim);
    }
    if (before <= this.model.capacity) expect(victims).toEqual([]);
    const pinnedOnly = QUEUES.every((one) => {
      const above = this.model.used(one) > this.model.share(one);
      return !above || this.model.queues[one].every(({ pinned }) => pinned);
    });
    expect(this.model.total() <= this.model.capacity || pinnedOnly).toBe(true);
  }

  #expire(now: number): void {
    const expired = this.model.queues[TTL].filter(({ expiry }) => expiry <= now);
    expect(this.real.demoteExpired(now, 1_000_000)).toBe(expired.length);
    // The sweep goes by slot, from where it stood; compare as a set, then adopt its order.
    for (const row of expired) this.model.remove(row.slot);
    const order = slotsOf(this.real, NORMAL).slice(this.model.queues[NORMAL].length);
    expect(order.toSorted(byNumber)).toEqual(expired.map(({ slot }) => slot).toSorted(byNumber));
    for (const slot of order) {
      const row = expired.find((one) => one.slot === slot);
      if (row !== undefined) this.#toHot(row, NORMAL, 0);
    }
  }

  #one(what: 'touch' | 'remove' | 'pin' | 'unpin', place: number): void {
    const found = this.#picked(place);
    if (found === undefined) return;
    const { row } = found;
    if (what === 'touch') {
      this.real.touch(row.slot);
      this.#toHot(row, found.queue, row.expiry);
    } else if (what === 'remove' && !row.pinned) {
      this.real.remove(row.slot);
      this.real.free(row.slot);
      this.model.remove(row.slot);
    } else if (what === 'unpin' && row.pinned) {
      this.real.unpin(row.slot);
      row.pinned = false;
    } else if (what === 'pin' && !row.pinned) {
      this.real.pin(row.slot);
      row.pinned = true;
    }
  }

  #picked(place: number): { readonly queue: QueueNumber; readonly row: Row } | undefined {
    const all = this.model.queues.flat();
    const row = all[place % Math.max(1, all.length)];
    return row === undefined ? undefined : this.model.find(row.slot);
  }

  #toHot(row: Row, into: QueueNumber, expiry: number): void {
    this.model.remove(row.slot);
    row.era = this.model.era;
    row.expiry = expiry;
    this.model.queues[into].push(row);
  }

  check(): void {
    for (const one of QUEUES) {
      expect(slotsOf(this.real, one)).toEqual(this.model.queues[one].map(({ slot }) => slot));
      expect(this.real.queueUsed(one)).toBe(this.model.used(one));
      expect(this.real.queueBlocks(one)).toBe(this.model.queues[one].length);
    }
    expect(this.real.usedBytes()).toBe(this.model.total());
  }
}

const byNumber = (a: number, b: number): number => a - b;

function slotsOf(real: CacheQueues, one: QueueNumber): number[] {
  const slots: number[] = [];
  real.walk(one, true, 1_000_000, (slot) => slots.push(slot));
  return slots;
}

describe('the queues', () => {
  it('do what the model does', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const run = new Run();
        for (const one of steps) {
          run.do(one);
          run.check();
        }
      }),
      { numRuns: 400 },
    );
  });

  it('let a queue borrow what others do not use, and take it back in the order of eviction', () => {
    const queues = new CacheQueues(100, SHARES);
    const admit = (into: QueueNumber, count: number): readonly number[][] =>
      Array.from({ length: count }, () => {
        const admission = queues.admit(into, 10, 99, ADMIT_QUERY);
        if (admission === undefined) throw new Error('refused');
        queues.unpin(admission.slot);
        return [...admission.victims];
      });
    expect(admit(NORMAL, 10).flat()).toEqual([]);
    // TTL has a right to 50: the coldest NORMAL blocks go, one for one.
    expect(admit(TTL, 5).flat()).toEqual([0, 1, 2, 3, 4]);
    // Then it is at its share and pays for itself.
    expect(admit(TTL, 1).flat()).toEqual([10]);
    expect([queues.queueUsed(NORMAL), queues.queueUsed(TTL)]).toEqual([50, 50]);
    expect(queues.evicted(NORMAL)).toEqual({ blocks: 5, bytes: 50 });
  });

  it('refuse what finds no room without changing anything', () => {
    const queues = new CacheQueues(100, SHARES);
    expect(queues.admit(NORMAL, 101, 0, ADMIT_QUERY)).toBeUndefined();
    for (let block = 0; block < 10; block += 1) queues.admit(NORMAL, 10, 0, ADMIT_QUERY);
    expect(queues.admit(NORMAL, 10, 0, ADMIT_QUERY)).toBeUndefined();
    expect(queues.queueBlocks(NORMAL)).toBe(10);
  });

  it('walk on while blocks come, go and move', () => {
    const queues = new CacheQueues(1000, SHARES);
    for (let block = 0; block < 6; block += 1) queues.admit(NORMAL, 1, 0, ADMIT_QUERY);
    const seen: number[] = [];
    expect(queues.walk(NORMAL, true, 2, (slot) => seen.push(slot))).toBe(true);
    queues.remove(2);
    queues.touch(3);
    while (queues.walk(NORMAL, false, 2, (slot) => seen.push(slot)));
    expect(seen).toEqual([0, 1, 4, 5, 3]);
  });
});

describe('shares', () => {
  it('must add up to 100', () => {
    expect(parseShares('5/40/5/50')).toEqual([5, 40, 5, 50]);
    expect(() => parseShares('5/40/5/51')).toThrow('must add up to 100');
    expect(() => parseShares('5/40')).toThrow('must add up to 100');
  });
});
