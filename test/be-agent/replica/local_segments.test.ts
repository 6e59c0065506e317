import { beforeEach, describe, expect, it } from '@jest/globals';
import { crc32 } from 'node:zlib';
import { type TabletId, id } from '../../../base/ids.ts';
import { type ObjectStore, SILENT_LOG } from '../../../base/ports.ts';
import { segmentKey } from '../../../base/schema.ts';
import { LocalSegments } from '../../../be-agent/replica/local_segments.ts';
import { DamagedSegment, SegmentChecks } from '../../../be-agent/replica/segment_checks.ts';
import type { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import { memoryStore } from '../data/table_fixture.ts';
import { rowsetName, segmentMeta } from './replica_fixture.ts';

const TABLET: TabletId = id(4);
const ONE = { rowsetId: rowsetName(1), segments: [segmentMeta(0), segmentMeta(1)] };
const TWO = { rowsetId: rowsetName(2), segments: [segmentMeta(0)] };
const OLD = new Uint8Array([1, 2, 3]);
const NEW = new Uint8Array([4, 5, 6]);

let memory: MemoryStore;
let local: LocalSegments;

beforeEach(() => {
  memory = memoryStore();
  local = new LocalSegments(memory, SILENT_LOG);
});

async function keys(): Promise<string[]> {
  const found: string[] = [];
  for await (const page of memory.list('')) found.push(...page.map(({ key }) => key));
  return found;
}

async function putAll(): Promise<void> {
  for (const { rowsetId, segments } of [ONE, TWO]) {
    for (const { segment } of segments) await local.put(TABLET, rowsetId, segment, OLD);
  }
}

/** The store, with deletions that wait for `open`. */
function gated(store: ObjectStore): { readonly store: ObjectStore; readonly open: () => void } {
  const gate = Promise.withResolvers<void>();
  return {
    open: gate.resolve,
    store: {
      url: store.url,
      get: async (...args) => await store.get(...args),
      head: async (...args) => await store.head(...args),
      put: async (...args) => await store.put(...args),
      upload: async (...args) => await store.upload(...args),
      list: (...args) => store.list(...args),
      close: async () => {
        await store.close();
      },
      delete: async (...args) => {
        await gate.promise;
        await store.delete(...args);
      },
    },
  };
}

describe('deleting', () => {
  it('waits for the last reader', async () => {
    await putAll();
    const unpins = [local.pin(ONE.rowsetId), local.pin(ONE.rowsetId)];
    await local.delete(TABLET, [ONE, TWO]);
    expect(await keys()).toHaveLength(2);
    for (const unpin of unpins) {
      unpin();
      unpin();
    }
    // The last one has begun it.
    await local.has(TABLET, ONE.rowsetId, []);
    expect(await keys()).toEqual([]);
  });

  it('is off when the rowset is written again while it waits', async () => {
    await putAll();
    const unpin = local.pin(ONE.rowsetId);
    await local.delete(TABLET, [ONE]);
    await local.put(TABLET, ONE.rowsetId, 0, NEW);
    unpin();
    await local.has(TABLET, ONE.rowsetId, []);
    const range = { offset: 0, length: 3 };
    expect(await local.get(TABLET, ONE.rowsetId, 0, range)).toEqual(NEW);
    expect(await local.get(TABLET, ONE.rowsetId, 1, range)).toEqual(OLD);
  });

  it('that has begun ends before the rowset is written again', async () => {
    await putAll();
    const gate = gated(memory);
    const slow = new LocalSegments(gate.store, SILENT_LOG);
    const deleting = slow.delete(TABLET, [TWO]);
    const writing = slow.put(TABLET, TWO.rowsetId, 0, NEW);
    gate.open();
    await Promise.all([deleting, writing]);
    const range = { offset: 0, length: 3 };
    expect(await slow.get(TABLET, TWO.rowsetId, 0, range)).toEqual(NEW);
  });
});

describe('leftovers', () => {
  it('are what nobody wants, reads or has claimed since the last run but one', async () => {
    await putAll();
    await memory.put(segmentKey(TABLET, rowsetName(3), 0), OLD);
    await memory.put(segmentKey(TABLET, rowsetName(4), 0), OLD);
    await memory.put('data/else.txt', OLD);
    const unpin = local.pin(rowsetName(4));
    const isWanted = (_tablet: TabletId, rowset: string) => rowset === TWO.rowsetId;
    const left = async () => (await keys()).map((key) => key.replace(/^data\/4\/a0*/, ''));
    expect(await local.removeLeftovers(isWanted)).toBe(1);
    expect(await left()).toEqual(['1_0.dat', '1_1.dat', '2_0.dat', '4_0.dat', 'data/else.txt']);
    unpin();
    expect(await local.removeLeftovers(isWanted)).toBe(1);
    expect(await local.removeLeftovers(isWanted)).toBe(2);
    expect(await left()).toEqual(['2_0.dat', 'data/else.txt']);
  });

  it('are not what was written for a load or clone that is not over', async () => {
    await putAll();
    await local.removeLeftovers(() => false);
    expect(await local.has(TABLET, TWO.rowsetId, [{ segment: 0, bytes: 3 }])).toBe(true);
    await local.removeLeftovers(() => false);
    expect(await local.has(TABLET, TWO.rowsetId, [{ segment: 0, bytes: 3 }])).toBe(true);
    expect(await local.has(TABLET, TWO.rowsetId, [{ segment: 0, bytes: 4 }])).toBe(false);
    expect(await local.has(TABLET, TWO.rowsetId, [{ segment: 1, bytes: 3 }])).toBe(false);
    local.unclaim(TWO.rowsetId);
    await local.removeLeftovers(() => false);
    expect(await keys()).toEqual([]);
  });
});

describe('checks of segments', () => {
  const meta = { ...segmentMeta(0, 3), crc32: crc32(OLD) };
  const segment = { tabletId: TABLET, rowsetId: TWO.rowsetId, meta };
  const range = { offset: 1, length: 2 };

  it('compare the checksum once, then read what is asked', async () => {
    await memory.put(segmentKey(TABLET, TWO.rowsetId, 0), OLD);
    const checks = new SegmentChecks(local);
    expect(await checks.read(segment, range)).toEqual(OLD.subarray(1));
    await memory.put(segmentKey(TABLET, TWO.rowsetId, 0), NEW);
    expect(await checks.read(segment, range)).toEqual(NEW.subarray(1));
    await expect(checks.verify(segment)).rejects.toThrow(/checksum is \d+ instead of/);
    await expect(checks.read(segment, range)).rejects.toBeInstanceOf(DamagedSegment);
  });

  it('find what is missing before a scan begins, also of a segment that was read', async () => {
    await memory.put(segmentKey(TABLET, TWO.rowsetId, 0), OLD);
    const checks = new SegmentChecks(local);
    await checks.beforeReading([segment]);
    await memory.delete([segmentKey(TABLET, TWO.rowsetId, 0)]);
    await expect(checks.beforeReading([segment])).rejects.toThrow(/it is missing/);
    await expect(checks.read(segment, range)).rejects.toThrow(/it is missing or too short/);
  });
});
