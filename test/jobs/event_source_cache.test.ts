import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentCallName, WarmUpTablet } from '../../base/agent_messages.ts';
import type { BackendId } from '../../base/ids.ts';
import { servingBackend } from '../../base/placement.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { SourceCache } from '../../jobs/source_cache.ts';
import { EventWorld } from './event_world.ts';

describe('the caches of the group that loads', () => {
  let world: EventWorld;
  let cache: SourceCache;
  let isLost = false;
  const calls: { to: BackendId; name: AgentCallName; tablets: readonly WarmUpTablet[] }[] = [];

  beforeEach(async () => {
    calls.length = 0;
    isLost = false;
    world = await EventWorld.create();
    const { catalog, registry, config } = world;
    cache = new SourceCache({
      catalog,
      registry,
      config,
      log: SILENT_LOG,
      transport: {
        call: async (to, name, request) => {
          await Promise.resolve();
          if (isLost) throw new Error('lost');
          calls.push({ to, name, tablets: (request as { tablets: WarmUpTablet[] }).tablets });
          return {};
        },
      },
    });
  });
  afterEach(async () => {
    await cache.close();
    await world.remove();
  });

  it('get the new rowsets, each its serving backend, without any job', async () => {
    const txnId = await world.load();
    await world.settle();
    const members = (await world.membersOf('src')).map((backend) => backend.backendId);
    expect(new Set(calls.map((call) => call.name))).toEqual(new Set(['cacheRowsets']));
    expect(calls.flatMap((call) => call.tablets)).toHaveLength(8);
    for (const { to, tablets } of calls) {
      for (const { tabletId, rowsets } of tablets) {
        expect(servingBackend(tabletId, members)).toBe(to);
        expect(rowsets.map((rowset) => rowset.txnId)).toEqual([txnId]);
      }
    }
  });

  it('get nothing when it is off, and nothing of loads whose writer nobody knows', async () => {
    await world.loadAs(await world.catalog.tables.get('d', 't'), undefined);
    world.config.setLive('file_cache_fill_on_load', 'false');
    await world.load();
    await world.settle();
    expect(calls).toEqual([]);
  });

  it('lose a message without harm, and get the next one', async () => {
    isLost = true;
    await world.load();
    await world.settle();
    isLost = false;
    const txnId = await world.load();
    await world.settle();
    const rowsets = calls.flatMap(({ tablets }) => tablets.flatMap((tablet) => tablet.rowsets));
    expect(rowsets.map((rowset) => rowset.txnId)).toEqual(Array(8).fill(txnId));
  });
});
