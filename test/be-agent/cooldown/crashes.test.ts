/**
 * The engine dies at its n-th call of the resource, the disk or agent.db, for n = 1, 2, ... until a
 * life has no n-th: before the call is carried out, and after it with the answer lost. Nothing may
 * be lost at any time, and the next life must bring everything to its end.
 */
import { describe, expect, it } from '@jest/globals';
import { type Node, TTL_SECONDS, World } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 1_200_000;
const CALLS_MAX = 300;

interface Scenario {
  readonly name: string;
  /** Who dies. */
  readonly victim: number;
  /** Before the victim's life that ends; ends with the clock where something is due. */
  readonly prepare: (world: World) => Promise<void>;
  /** Once it runs. */
  readonly begin?: (world: World) => Promise<void>;
  /** After the crash, before the next life. */
  readonly meanwhile?: (world: World) => Promise<void>;
  /** At the end: all replicas have cooled up to this. */
  readonly version: number;
  readonly dataObjects: number;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a leader that uploads and publishes twice',
    victim: 1,
    prepare: async (world) => {
      await world.conf(1, 1);
      await world.load(2, [10, 20]);
      await world.clock.run(30_000);
      await world.load(3, []);
      await world.load(4);
      await world.clock.run(DUE_MS - 31_000);
    },
    version: 4,
    dataObjects: 3,
  },
  {
    name: 'a new leader that claims, adopts and goes on',
    victim: 2,
    prepare: async (world) => {
      await world.load(2);
      await world.conf(1, 1, [world.node(1)]);
      await world.clock.run(DUE_MS + 5000);
      await world.load(3);
      await world.clock.run(DUE_MS - 5000);
    },
    begin: async (world) => {
      await world.conf(2, 2, [world.node(2), world.node(3)]);
    },
    meanwhile: async (world) => {
      await world.conf(2, 2, [world.node(1), world.node(3)]);
    },
    version: 3,
    dataObjects: 2,
  },
  {
    name: 'a follower',
    victim: 3,
    prepare: async (world) => {
      await world.load(2, [10, 20]);
      await world.conf(1, 1);
      await world.clock.run(DUE_MS - 1000);
    },
    version: 2,
    dataObjects: 2,
  },
  {
    name: 'a leader that never comes back before another one leads',
    victim: 1,
    prepare: async (world) => {
      await world.conf(1, 1);
      await world.load(2, [10, 20]);
      await world.clock.run(DUE_MS - 1000);
    },
    meanwhile: async (world) => {
      await world.conf(2, 2, [world.node(2), world.node(3)]);
      const rest = [world.node(2), world.node(3)];
      expect(await world.clock.runUntil(() => world.isCooled(2, rest), LONG_MS)).toBe(true);
      await world.load(3);
    },
    version: 3,
    dataObjects: 3,
  },
];

/** False: the victim had no such call. */
async function crashAt(scenario: Scenario, call: number, isDone: boolean): Promise<boolean> {
  const world = new World({ replicas: 3 });
  const victim: Node = world.node(scenario.victim);
  await scenario.prepare(world);
  victim.start({ call, isDone });
  await scenario.begin?.(world);
  await world.clock.runUntil(() => victim.life.isDead, 120_000);
  await world.check();
  const died = victim.life.isDead;
  await scenario.meanwhile?.(world);
  await world.check();
  victim.start();
  const lead = world.node(scenario.victim === 1 && scenario.meanwhile ? 2 : scenario.victim);
  const term = scenario.meanwhile === undefined ? 1 : 2;
  const leader = scenario.meanwhile === undefined ? 1 : world.nodes.indexOf(lead) + 1;
  await world.conf(leader, term);
  const isDoneAll = (): boolean => world.isCooled(scenario.version);
  const where = `${scenario.name}, call ${call}: ${victim.life.diedAt}`;
  if (!(await world.clock.runUntil(isDoneAll, LONG_MS))) throw new Error(`stuck after ${where}`);
  await world.check();
  expect(world.dataKeys()).toHaveLength(scenario.dataObjects);
  for (const node of world.nodes) {
    expect(node.state.isBad).toBe(false);
    expect(node.store.uploads()).toEqual([]);
  }
  return died;
}

describe.each(SCENARIOS)('$name', (scenario) => {
  it.each([
    ['before it is carried out', false],
    ['after it, with the answer lost', true],
  ])('dies at every call, %s', async (_, isDone) => {
    let call = 1;
    while (await crashAt(scenario, call, isDone)) {
      call += 1;
      expect(call).toBeLessThan(CALLS_MAX);
    }
    // A life that does something has many calls to die at.
    expect(call).toBeGreaterThan(10);
  });
});

describe('a store with faults', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('converges without a loss, seed %d', async (seed) => {
    const world = new World({ replicas: 3, seed });
    const faults = { unavailable: 100, throttled: 50, lostReply: 150, truncated: 50 };
    Object.assign(world.bucket.faults, faults);
    let term = 1;
    for (let version = 2; version < 8; version += 1) {
      await world.load(version, version % 3 === 0 ? [] : [50, 60]);
      if (world.random.int(2) === 0) term += 1;
      await world.conf(
        1 + world.random.int(3),
        term,
        world.nodes.slice(0, 1 + world.random.int(3)),
      );
      // Whoever was told last does not matter: a term keeps its replica.
      await world.clock.run(world.random.int(120_000));
      Object.assign(world.bucket.faults, {
        unavailable: 0,
        throttled: 0,
        lostReply: 0,
        truncated: 0,
      });
      await world.check();
      Object.assign(world.bucket.faults, faults);
    }
    Object.assign(world.bucket.faults, {
      unavailable: 0,
      throttled: 0,
      lostReply: 0,
      truncated: 0,
    });
    await world.conf(2, term + 10);
    expect(await world.clock.runUntil(() => world.isCooled(7), LONG_MS)).toBe(true);
    await world.check();
    expect(world.dataKeys()).toHaveLength(8);
  });
});
