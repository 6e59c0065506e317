/**
 * Named schedules: what once lost data in other implementations of this mechanism, told step by
 * step. Numbers with # are those of the reports about Apache Doris that describe them.
 */
import type { Failure } from '../simulation.ts';
import { publishedManifest } from './remote_objects.ts';
import type { Expected } from './liveness.ts';
import { ModelWorld } from './model_world.ts';
import type { WorldOptions } from './world_core.ts';
import { COOL_PLANTS, type CoolPlantName } from './plants.ts';

export interface Schedule {
  readonly story: string;
  readonly options: Pick<WorldOptions, 'backends'> & Partial<WorldOptions>;
  /** What happens; returns what must be true in the end when it is not all of it. */
  readonly run: (world: ModelWorld) => Promise<Partial<Expected> | undefined>;
}

const IN_THE_END: Expected = {
  isAllCold: true,
  isCollected: true,
  isFaultless: false,
  uploadFactorMax: 1,
};
/** Longer than a copy whose asker has gone holds files of its source. */
const SETTLE_MS = 700_000;

const COMPACTING = {
  cold_data_compaction_thread_num: '1',
  cold_data_compaction_interval_sec: '2',
  cold_data_compaction_score_threshold: '2',
} as const;

export const SCHEDULES = {
  calm: {
    story: 'nothing goes wrong: every byte is uploaded once, nothing is left over',
    options: { backends: 3 },
    run: async (world) => {
      for (const rows of [3, 0, 1]) await world.load(rows);
      await world.go(6000);
      await world.load(2);
      return { isFaultless: true };
    },
  },

  '17086-situation-1': {
    story:
      'the leader cools more and dies before its follower has it, comes back as a follower, and the new leader collects',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      world.backend(1).process?.hang();
      await world.finish(world.server.lead(world.tabletId(), world.replicaId(0)));
      await world.load(1);
      await world.until(() => headTerm(world) > 1, 20_000);
      world.backend(0).kill();
      world.backend(1).process?.resume();
      await world.go(12_000);
      world.backend(0).start();
      return undefined;
    },
  },

  '17644-clone-onto-leader': {
    story: 'the leader is copied from a follower that has an older list of cooled rowsets',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      world.network.cut('be-2');
      await world.load(1);
      await world.go(6000);
      world.network.heal('be-2');
      world.server.askClone(
        world.tabletId(),
        world.backend(1).backendId,
        world.backend(0).backendId,
      );
      return undefined;
    },
  },

  '32798-same-versions-other-ids': {
    story: 'a compaction gives versions that a follower has other rowset ids',
    options: { backends: 3, agentConfig: COMPACTING },
    run: async (world) => {
      for (const rows of [2, 1, 3]) await world.load(rows);
      await world.until(() => isFollowed(world, 1), 30_000);
      world.network.cut('be-3');
      await world.load(1);
      await world.go(15_000);
      world.network.heal('be-3');
      return undefined;
    },
  },

  'follower-stands-still': {
    story:
      'a follower stands still with an old list while the leader compacts and wants to collect',
    options: { backends: 3, agentConfig: COMPACTING },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 2), 30_000);
      world.backend(2).process?.hang();
      await world.load(1);
      await world.go(60_000);
      world.backend(2).process?.resume();
      return undefined;
    },
  },

  '28561-empty-tail': {
    story: 'the last version is empty, and followers align all the same',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.load(0);
      await world.until(() => isFollowed(world, 1), 20_000);
      await world.load(0);
      return undefined;
    },
  },

  '30244-other-ranges': {
    story: 'a follower has the versions in other rowsets than the leader, the last one is empty',
    options: { backends: 2, ttlSeconds: 6 },
    run: async (world) => {
      await world.load(2);
      await world.load(3);
      await world.load(0);
      await mergeLocal(world, 1);
      return undefined;
    },
  },

  '66051-clone-between-confirm-and-delete': {
    story:
      'between the confirmation of a collection and its deletions the leader is copied from a follower',
    options: { backends: 2, agentConfig: COMPACTING },
    run: async (world) => {
      for (const rows of [2, 1]) await world.load(rows);
      const { server } = world;
      const [leader, follower] = [world.backend(0).backendId, world.backend(1).backendId];
      server.onConfirmed = (tabletId): void => {
        server.askClone(tabletId, follower, leader);
      };
      await world.go(40_000);
      return undefined;
    },
  },

  'leader-dies-for-good': {
    story: 'the leader dies and stays away: another one leads',
    options: { backends: 3 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      world.backend(0).kill();
      await world.load(1);
      return { isAllCold: false, isCollected: false };
    },
  },

  'leader-dies-while-one-lags': {
    story: 'a replica misses a load, then the leader dies: only the complete one may lead',
    options: { backends: 3, ttlSeconds: 30 },
    run: async (world) => {
      await world.load(2);
      await world.go(3000);
      world.network.cut('be-3');
      await world.load(1);
      world.network.heal('be-3');
      world.backend(0).kill();
      await world.go(9000);
      world.backend(0).start();
      return undefined;
    },
  },

  'there-and-back': {
    story: 'leadership goes from A to B and back, and a replica hears of the end only',
    options: { backends: 3 },
    run: async (world) => {
      await world.load(2);
      await world.go(3000);
      const lead = async (at: number): Promise<void> => {
        await world.finish(world.server.lead(world.tabletId(), world.replicaId(at)));
      };
      world.network.cut('be-3');
      await lead(1);
      await lead(0);
      await world.go(3000);
      world.network.heal('be-3');
      return undefined;
    },
  },

  'stale-leader-wakes-up': {
    story: 'the leader stands still between its manifest and HEAD until another one leads',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      await world.load(1);
      await world.until(() => manifests(world) > 1, 20_000);
      world.backend(0).process?.hang();
      await world.go(12_000);
      world.backend(0).process?.resume();
      return undefined;
    },
  },

  'failover-after-journal': {
    story: 'the server dies between the journal of an election and its push',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      const { server } = world;
      void server.lead(world.tabletId(), world.replicaId(1));
      await world.until(() => server.leads().get(world.tabletId())?.term === 2, 5000);
      server.crash();
      await world.go(2000);
      server.start();
      await world.load(1);
      return undefined;
    },
  },

  'two-processes-one-replica': {
    story: 'a second process runs on a copy of the disk of the leader',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      await world.load(1);
      const twin = world.twin(0);
      await world.go(20_000);
      twin.kill();
      return undefined;
    },
  },

  'disk-of-follower-lost': {
    story: 'a follower loses its disk and gets a new replica, cooled rowsets by their list only',
    options: { backends: 3 },
    run: async (world) => {
      for (const rows of [2, 1]) await world.load(rows);
      await world.until(() => isFollowed(world, 1), 20_000);
      await world.load(3);
      world.backend(2).loseDisk();
      world.backend(2).start();
      return undefined;
    },
  },

  'disk-of-leader-lost': {
    story: 'the leader loses its disk between upload and publication',
    options: { backends: 3 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => world.bucket.keys('data/').some(isData), 20_000);
      world.backend(0).loseDisk();
      world.backend(0).start();
      await world.load(1);
      return undefined;
    },
  },

  'replica-dropped': {
    story: 'one replica of a cooled tablet is dropped; what the others read stays',
    options: { backends: 3 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 2), 20_000);
      await world.finish(world.server.dropReplica(world.tabletId(), world.replicaId(2)));
      await world.go(3000);
      return undefined;
    },
  },

  'table-dropped': {
    story: 'a table is dropped while its leader uploads and a replica cannot be reached',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => world.bucket.keys('data/').some(isData), 20_000);
      world.network.cut('be-1');
      world.server.drop(world.tabletId());
      await world.go(8000);
      world.network.heal('be-1');
      await world.go(20_000);
      return undefined;
    },
  },

  'server-restarts': {
    story: 'leadership has changed, and the server starts again',
    options: { backends: 2 },
    run: async (world) => {
      await world.load(2);
      await world.until(() => isFollowed(world, 1), 20_000);
      await world.finish(world.server.lead(world.tabletId(), world.replicaId(1)));
      await world.go(3000);
      world.server.crash();
      await world.go(1000);
      world.server.start();
      await world.load(1);
      return undefined;
    },
  },

  'half-an-object': {
    story: 'the store keeps half of each object that it gets first, and says that all is well',
    options: { backends: 2 },
    run: async (world) => {
      const halved = new Set<string>();
      world.fate = ({ name, key }) => {
        if (name !== 'put' || !isData(key) || halved.has(key)) return 'ok';
        halved.add(key);
        return 'half-written';
      };
      for (const rows of [2, 1]) await world.load(rows);
      await world.go(10_000);
      return undefined;
    },
  },
} as const satisfies Record<string, Schedule>;

export type ScheduleName = keyof typeof SCHEDULES;

export function isScheduleName(name: string): name is ScheduleName {
  return Object.hasOwn(SCHEDULES, name);
}

export interface ScheduleResult {
  readonly failure: Failure | undefined;
  readonly digest: string;
  /** How often each invariant was asked. */
  readonly checks: ReadonlyMap<string, number>;
}

export async function runSchedule(
  name: ScheduleName,
  plant: CoolPlantName,
  print?: (line: string) => void,
): Promise<ScheduleResult> {
  const { options, run }: Schedule = SCHEDULES[name];
  const world = new ModelWorld({
    seed: 1,
    tablets: 1,
    ...options,
    plant: COOL_PLANTS[plant],
    ...(print === undefined ? {} : { print }),
  });
  try {
    await world.setUp();
    const expected = { ...IN_THE_END, ...(await run(world)) };
    const failure = world.problem ?? (await world.settled(expected, SETTLE_MS));
    return { failure, digest: world.trace.digest(), checks: world.watch.checks };
  } finally {
    world.close();
  }
}

function isData(key: string): boolean {
  return key.endsWith('.dat');
}

/** Whether this backend has what HEAD leads to. */
function isFollowed(world: ModelWorld, at: number): boolean {
  const manifest = publishedManifest(world.bucket, world.tabletId());
  if (typeof manifest !== 'object') return false;
  return world.backend(at).get(world.tabletId())?.metaId === manifest.metaId;
}

function headTerm(world: ModelWorld): number {
  return world.history.heads.get(world.tabletId())?.term ?? 0;
}

function manifests(world: ModelWorld): number {
  return world.bucket.keys('data/').filter((key) => key.includes('/m/')).length;
}

/** A backend merges its last two local rowsets, which no load or compaction of ours does. */
async function mergeLocal(world: ModelWorld, at: number): Promise<void> {
  await world.go(1500);
  world.backend(at).mergeTail(world.tabletId());
}
