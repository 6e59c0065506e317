/** What is left in a resource of which no policy speaks any more. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type PartitionId, type ResourceId, id } from '../../base/ids.ts';
import { type Leftovers, leftoversOf } from '../../jobs/cooldown_leftovers.ts';
import { ReplicaWorld } from './replica_world.ts';

const RESOURCE: ResourceId = id(77);

let world: ReplicaWorld;
let partitionId: PartitionId;

beforeEach(async () => {
  world = await ReplicaWorld.open(['a', 'b']);
  const { partitions } = await world.table('t', 2, 2);
  partitionId = partitions[0]?.partitionId ?? id(0);
});
afterEach(async () => {
  await world.close();
});

async function left(): Promise<Leftovers | undefined> {
  return await leftoversOf(world.deps, partitionId, RESOURCE, new AbortController().signal);
}

/** What backends say of each tablet. */
function say(rowsets: number, objects: number, mayCool = false): void {
  world.answers.leftInResource = ({ tabletIds, resourceId }, backendId) => {
    expect(resourceId).toBe(RESOURCE);
    const isFirst = backendId === world.backends[0]?.backendId;
    return {
      tablets: tabletIds.map((tabletId) => ({
        tabletId,
        mayCool,
        rowsets: isFirst ? rowsets : 0,
        bytes: 0,
        objects,
        objectBytes: objects * 10,
      })),
    };
  };
}

it('is nothing when all replicas and the bucket say so', async () => {
  say(0, 0);
  expect(await left()).toBeUndefined();
});

it('counts objects once, whoever has listed them', async () => {
  say(3, 4);
  expect(await left()).toEqual({
    tablets: 2,
    rowsets: 6,
    objects: 8,
    objectBytes: 80,
    unknown: '',
  });
});

it('is not known when a replica may still cool, is away, or does not answer', async () => {
  say(0, 0, true);
  expect((await left())?.unknown).toMatch(/has not heard yet that it has no policy: try again/);
  say(0, 0);
  const [first] = world.backends;
  world.mute.add(first?.backendId ?? id(0));
  expect((await left())?.unknown).toMatch(/did not answer leftInResource/);
  world.clock.ms += 60_000;
  world.beat(first?.backendId ?? id(0));
  expect((await left())?.unknown).toMatch(/is not alive and may have data there/);
});
