import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { AgentTransport } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { type VaultId, id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { GarbageCollector } from '../../jobs/garbage_collector.ts';
import { GarbageHorizon, SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { CatalogFixture } from '../catalog/fixture.ts';
import { ManualClock } from '../manual_clock.ts';
import { heartbeatOf } from './heartbeat.ts';

describe('GarbageHorizon', () => {
  it('passes an item only when every hold that is older than it has been released', () => {
    const holds = new SnapshotHolds();
    const horizon = new GarbageHorizon(holds);
    const old = holds.take();
    expect(horizon.advance(7)).toBe(0);
    const young = holds.take();
    expect(horizon.advance(9)).toBe(0);
    old();
    expect(horizon.advance(9)).toBe(7);
    young();
    young();
    expect(horizon.advance(9)).toBe(9);
    expect(horizon.advance(11)).toBe(11);
    expect(holds.size).toBe(0);
  });

  it('never passes an item that was committed while an open hold was open', () => {
    const step = fc.oneof(
      fc.constant('take' as const),
      fc.constant('commit' as const),
      fc.constant('collect' as const),
      fc.nat(20),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const holds = new SnapshotHolds();
        const horizon = new GarbageHorizon(holds);
        const open: { readonly newest: number; readonly release: () => void }[] = [];
        let newest = 0;
        for (const what of steps) {
          if (what === 'take') open.push({ newest, release: holds.take() });
          else if (what === 'commit') newest += 1;
          else if (what === 'collect') {
            const allowed = Math.min(newest, ...open.map((hold) => hold.newest));
            expect(horizon.advance(newest)).toBeLessThanOrEqual(allowed);
          } else open.splice(what, 1)[0]?.release();
        }
        for (const { release } of open) release();
        expect(horizon.advance(newest)).toBe(newest);
      }),
    );
  });

  it('stays bounded while one hold stays open for long', () => {
    const holds = new SnapshotHolds();
    const horizon = new GarbageHorizon(holds);
    const old = holds.take();
    for (let item = 1; item <= 5000; item += 1) expect(horizon.advance(item)).toBe(0);
    old();
    expect(horizon.advance(5001)).toBeGreaterThan(4000);
    expect(horizon.advance(5002)).toBe(5002);
  });
});

describe('GarbageCollector', () => {
  const vaultId = id<VaultId>(1);
  let fixture: CatalogFixture;
  let catalog: Catalog;
  let clock: ManualClock;
  let holds: SnapshotHolds;
  let deleted: string[];
  let dropped: string[];
  let collector: GarbageCollector;

  beforeEach(async () => {
    fixture = new CatalogFixture();
    catalog = await fixture.open();
    clock = new ManualClock();
    holds = new SnapshotHolds();
    [deleted, dropped] = [[], []];
    await catalog.computeGroups.create('g');
    const place = { kind: 'embedded', host: '127.0.0.1', httpPort: 0 } as const;
    const { backendId: known } = await catalog.backends.create({ computeGroupName: 'g', ...place });
    const config = new Config();
    const registry = new BackendRegistry(clock, config);
    registry.heartbeat(heartbeatOf(known));
    const transport: AgentTransport = {
      call: async (_backend, name, request) => {
        const { prefixes } = request as { readonly prefixes: readonly string[] };
        if (name === 'deleteObjects') deleted.push(...prefixes);
        if (name === 'dropCached') dropped.push(...prefixes);
        return {};
      },
    };
    const log = SILENT_LOG;
    collector = new GarbageCollector({ catalog, transport, registry, holds, config, clock, log });
  });

  afterEach(async () => {
    await collector.close();
    await fixture.remove();
  });

  async function replace(prefix: string): Promise<void> {
    await catalog.garbage.add([{ vaultId, prefix }], 'compacted', fixture.clock.ms);
  }

  it('keeps what an older hold refers to, and deletes it with its blocks afterwards', async () => {
    await replace('data/1/a_');
    const reader = holds.take();
    // Committed before the hold, but the collector has not looked since: it may be referred to.
    expect(await collector.collect()).toBe(0);
    reader();
    expect(await collector.collect()).toBe(1);
    const late = holds.take();
    await replace('data/1/b_');
    expect(await collector.collect()).toBe(0);
    const younger = holds.take();
    late();
    expect(await collector.collect()).toBe(1);
    younger();
    expect(deleted).toEqual(['data/1/a_', 'data/1/b_']);
    expect(new Set(dropped)).toEqual(new Set(deleted));
  });

  it('drops blocks as soon as nobody refers to them, objects after their grace', async () => {
    const later = fixture.clock.ms + 60_000;
    await catalog.garbage.add([{ vaultId, prefix: 'data/1/a_' }], 'compacted', later);
    const reader = holds.take();
    expect(await collector.collect()).toBe(0);
    expect(dropped).toEqual([]);
    reader();
    expect(await collector.collect()).toBe(0);
    expect([dropped, deleted]).toEqual([['data/1/a_'], []]);
    expect(await collector.collect()).toBe(0);
    expect(dropped).toHaveLength(1);
    fixture.clock.ms = later;
    expect(await collector.collect()).toBe(1);
    expect(deleted).toEqual(['data/1/a_']);
  });

  it('deletes nothing while backends may still read for the server before', async () => {
    await replace('data/1/a_');
    collector.start();
    expect(await collector.collect()).toBe(0);
    clock.advance(new Config().get('garbage_grace_ms'));
    expect(holds.size).toBe(0);
  });
});
