/** Two clusters with the same ids of tablets, and one root path in a bucket. */
import { describe, expect, it } from '@jest/globals';
import { ownerOf } from '../../../be-agent/cooldown/owner.ts';
import { TABLET, TTL_SECONDS, World } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;

describe.each([true, false])('what a cluster has published (conditional: %s)', (isConditional) => {
  it('is taken over by none of another one, and not replaced', async () => {
    const world = new World({
      replicas: 3,
      isConditional,
      clusterOf: ({ backendId }) => (backendId === 3 ? 'other' : 'one'),
    });
    const [first, second, other] = world.nodes;
    if (first === undefined || second === undefined || other === undefined) throw new Error('none');
    await world.load(2, [100]);
    await world.conf(1, 1, [first, second]);
    await world.clock.run(DUE_MS);
    const own = [first, second];
    expect(await world.clock.runUntil(() => world.isCooled(2, own), LONG_MS)).toBe(true);
    expect(await ownerOf(world.bucket, world.bucket.keys())).toBe('one');
    const before = world.bucket.keys();

    await world.conf(3, 2, [other]);
    const status = (): string => other.engine.stateOf(TABLET)?.error ?? '';
    expect(await world.clock.runUntil(() => status() !== '', LONG_MS)).toBe(true);
    expect(status()).toMatch(
      /is of another cluster \(one\), which must have a root path of its own/,
    );
    await world.clock.run(LONG_MS);
    expect(other.state.metaId).toBeUndefined();
    expect(other.cooledVersion).toBe(-1);
    expect(world.bucket.keys()).toEqual(before);

    // The first goes on, also with another leader.
    await world.load(3, [200], own);
    await world.conf(2, 3, own);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(3, own), LONG_MS)).toBe(true);
  });
});

it('is unknown of what nobody or an earlier version has published', async () => {
  const world = new World({ replicas: 1 });
  expect(await ownerOf(world.bucket, [])).toBeUndefined();
  await world.load(2, [100]);
  await world.conf(1, 1);
  await world.clock.run(DUE_MS);
  expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
  expect(await ownerOf(world.bucket, world.bucket.keys())).toBeUndefined();
  const key = `data/${TABLET}/HEAD`;
  await world.bucket.put(key, new Uint8Array([1, 2]));
  expect(await ownerOf(world.bucket, [key])).toBeUndefined();
});
