/** Who is told that a leader has published, on a real catalog. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentTransport } from '../../base/agent_messages.ts';
import type { TabletId } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { CooldownFollow } from '../../jobs/cooldown_follow.ts';
import { ManualClock } from '../manual_clock.ts';
import { CooldownWorld, type FakeBackend } from './cooldown_world.ts';

let world: CooldownWorld;
let clock: ManualClock;
let follow: CooldownFollow;
let tablets: readonly TabletId[];
let told: { readonly backendId: number; readonly tabletIds: readonly number[] }[];

beforeEach(async () => {
  world = await CooldownWorld.make();
  clock = new ManualClock();
  told = [];
  const transport: AgentTransport = {
    call: async (backendId, name, request) => {
      expect(name).toBe('followNow');
      const { tabletIds } = request as { readonly tabletIds: readonly TabletId[] };
      told.push({ backendId, tabletIds: [...tabletIds] });
      return await Promise.resolve({} as never);
    },
  };
  const { catalog, board, registry } = world;
  follow = new CooldownFollow({ catalog, board, registry, transport, clock, log: SILENT_LOG });
  tablets = world.tablets(await world.table({ buckets: 2 }));
  await world.scheduler.idle();
  world.heartbeats();
  world.reportAll();
  await world.round();
  world.reportAll();
});
afterEach(async () => {
  follow.close();
  await world.remove();
});

/** The leader's list is this, and it says so. */
function publish(metaId: string): FakeBackend[] {
  const leaders = tablets.map((tabletId) => {
    const leader = world.leaderOf(tabletId);
    leader.change(tabletId, { metaId });
    return leader;
  });
  for (const leader of new Set(leaders)) world.report(leader);
  return leaders;
}

/** Backend and tablet. */
const pairs = (): string[] =>
  told
    .flatMap(({ backendId, tabletIds }) => tabletIds.map((tabletId) => `${backendId} ${tabletId}`))
    .toSorted();

describe('the other replicas of a tablet', () => {
  it('are told once that something is published, and no leader is', () => {
    const leaders = publish('one');
    expect(told).toEqual([]);
    clock.advance(1000);
    const all = [...world.backends.keys()];
    const expected = tablets.flatMap((tabletId, at) =>
      all
        .filter((backendId) => backendId !== leaders[at]?.backendId)
        .map((backendId) => `${backendId} ${tabletId}`),
    );
    expect(pairs()).toEqual(expected.toSorted());
    for (const backend of leaders) world.report(backend);
    expect(clock.pending).toBe(0);
  });

  it('are told nothing when they have it already', () => {
    for (const backend of world.backends.values()) {
      for (const tabletId of tablets) backend.change(tabletId, { metaId: 'one' });
    }
    // Followers first: the leader's report then finds nobody behind.
    for (const backend of world.backends.values()) {
      if (tablets.every((tabletId) => world.leaderOf(tabletId) !== backend)) world.report(backend);
    }
    publish('one');
    clock.advance(1000);
    const leads = new Set(tablets.map((tabletId) => world.leaderOf(tabletId).backendId));
    for (const { backendId } of told) expect(leads).toContain(backendId);
  });

  it('are told nothing by a replica that only believes to lead', () => {
    const [tabletId] = tablets;
    if (tabletId === undefined) throw new Error('no tablet');
    const leader = world.leaderOf(tabletId);
    const lead = leader.leadOf(tabletId);
    if (lead === undefined) throw new Error('no lead');
    leader.change(tabletId, { metaId: 'old', lead: { ...lead, term: lead.term - 1 } });
    world.report(leader);
    clock.advance(1000);
    expect(told).toEqual([]);
  });

  it('are left to themselves when their backend is dead', () => {
    world.fixture.clock.ms += 3_600_000;
    publish('one');
    clock.advance(1000);
    expect(told).toEqual([]);
  });

  it('hear nothing after the end', () => {
    publish('one');
    follow.close();
    clock.advance(1000);
    expect(told).toEqual([]);
    publish('two');
    expect(clock.pending).toBe(0);
  });
});
