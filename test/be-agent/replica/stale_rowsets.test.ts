/** What a query can still read after the rowsets that it wants were merged with later ones. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { type TabletId, id, rowsetId } from '../../../base/ids.ts';
import type { ReplicaRowset } from '../../../base/replica.ts';
import type { ReplicaState } from '../../../be-agent/replica/replica_store.ts';
import { StaleRowsets } from '../../../be-agent/replica/stale_rowsets.ts';
import { ManualClock } from '../../manual_clock.ts';

const TABLET = id<TabletId>(7);
const HOUR_MS = 3_600_000;

let clock: ManualClock;
let stale: StaleRowsets;

beforeEach(() => {
  clock = new ManualClock();
  stale = new StaleRowsets(clock);
});

function rowset(startVersion: number, endVersion: number, kind: 'local' | 'remote'): ReplicaRowset {
  const place = kind === 'local' ? { kind } : { kind, resourceId: id<never>(1) };
  const name = String(startVersion * 1000 + endVersion).padStart(32, '0');
  const times = { createdMs: 0, newestWriteMs: 0 };
  const size = { rows: 0, bytes: 0, segments: [] };
  return { rowsetId: rowsetId(name), startVersion, endVersion, ...size, ...times, place };
}

function replica(
  rowsets: readonly ReplicaRowset[],
  replicaId = 1,
  tabletId = TABLET,
): ReplicaState {
  const ids = { tableId: id<never>(1), partitionId: id<never>(1), indexId: id<never>(1) };
  const version = rowsets.at(-1)?.endVersion ?? -1;
  return { ...ids, tabletId, replicaId: id<never>(replicaId), rowsets, version, isBad: false };
}

const cooled = [rowset(0, 1, 'remote'), rowset(2, 2, 'remote'), rowset(3, 3, 'remote')];
const merged = rowset(0, 3, 'remote');

describe('versions within a merged rowset', () => {
  it('are read from what was there before, whichever merge that was', () => {
    const later = [merged, rowset(4, 4, 'remote')];
    const all = rowset(0, 4, 'remote');
    stale.replaced(replica(cooled), [merged]);
    stale.replaced(replica(later), [all]);
    const now = replica([all]);
    expect(stale.upTo(now, 1)).toEqual(cooled.slice(0, 1));
    expect(stale.upTo(now, 2)).toEqual(cooled.slice(0, 2));
    expect(stale.upTo(now, 3)).toEqual([merged]);
    expect(stale.upTo(now, 5)).toBeUndefined();
    expect(stale.upTo(replica([all], 2), 2)).toBeUndefined();
    expect(stale.upTo(replica([all], 1, id(8)), 2)).toBeUndefined();
  });

  it('cannot be read where they were local files, unless those are still there', () => {
    const local = rowset(2, 2, 'local');
    const before = [rowset(0, 1, 'remote'), local, rowset(3, 3, 'local')];
    stale.replaced(replica(before), [merged]);
    expect(stale.upTo(replica([merged]), 2)).toBeUndefined();
    expect(stale.upTo(replica([merged]), 1)).toEqual(before.slice(0, 1));
    expect(stale.upTo(replica([before[0] ?? merged, local]), 2)).toEqual(before.slice(0, 2));
  });

  it('are forgotten after an hour, and not kept where nothing was merged', () => {
    stale.replaced(replica([rowset(0, 1, 'local')]), [rowset(0, 1, 'remote')]);
    expect(stale.size).toBe(0);
    stale.replaced(replica(cooled), [merged]);
    clock.advance(HOUR_MS);
    stale.replaced(replica(cooled, 1, id(8)), [merged]);
    expect(stale.size).toBe(1);
    expect(stale.upTo(replica([merged]), 2)).toBeUndefined();
  });
});
