/** Stores without conditional writes: an object per leader and term, kept apart by the lease. */
import { describe, expect, it } from '@jest/globals';
import { type ObjectStore, ObjectStoreError } from '../../../base/ports.ts';
import type { CooldownLead } from '../../../base/replica.ts';
import { CooldownResources } from '../../../be-agent/cooldown/cooldown_resources.ts';
import { Heads } from '../../../be-agent/cooldown/heads.ts';
import { leadOfTermKey } from '../../../be-agent/cooldown/manifest.ts';
import { TermHeads } from '../../../be-agent/cooldown/term_heads.ts';
import type { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import { RESOURCE, TABLET, TTL_SECONDS, World, type WorldOptions } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;

/** As OpenStack Swift's S3 layer: 501 to every condition. */
function withoutConditions(bucket: MemoryStore): ObjectStore {
  return new Proxy<ObjectStore>(bucket, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'put' && property !== 'upload') return value.bind(target) as unknown;
      return async (key: string, body: unknown, options: object = {}): Promise<unknown> => {
        if ('ifMatch' in options || 'ifNoneMatch' in options) {
          throw new ObjectStoreError('UNSUPPORTED', key, 'not implemented by this server');
        }
        return (await Reflect.apply(value, target, [key, body, options])) as unknown;
      };
    },
  });
}

function world(options: WorldOptions = {}): World {
  const config = { cooldown_garbage_grace_seconds: '0' };
  const plain = { replicas: 3, isConditional: false, bucketOf: withoutConditions, config };
  return new World({ ...plain, ...options });
}

const metaKeys = (of: World): string[] => of.bucket.keys().filter((key) => key.endsWith('.meta'));

describe('a store without conditional writes', () => {
  it('is found out by trying, and one with them as well', async () => {
    const { bucket, random } = new World();
    const open = async (store: ObjectStore) => {
      const resources = new CooldownResources({
        open: async () => await Promise.resolve(store),
        random,
        leaseLeftMs: () => 1,
      });
      return await resources.get(RESOURCE);
    };
    const lacking = await open(withoutConditions(bucket));
    expect(lacking.isConditional).toBe(false);
    expect(lacking.publications).toBeInstanceOf(TermHeads);
    const full = await open(bucket);
    expect(full.publications).toBeInstanceOf(Heads);
    expect(bucket.keys()).toEqual([]);
  });

  it('cools, follows and hands over to the next leader', async () => {
    const of = world();
    await of.load(2, [100, 17 * 2 ** 20]);
    await of.load(3, []);
    await of.conf(1, 1);
    await of.clock.run(DUE_MS);
    expect(await of.clock.runUntil(() => of.isCooled(3), LONG_MS)).toBe(true);
    expect(metaKeys(of)).toEqual([`data/${TABLET}/101.1.meta`]);
    for (const node of of.nodes) await node.checkReadable();
    await of.load(4);
    await of.conf(2, 2);
    await of.clock.run(DUE_MS);
    expect(await of.clock.runUntil(() => of.isCooled(4), LONG_MS)).toBe(true);
    for (const node of of.nodes) await node.checkReadable();
    expect(of.dataKeys()).toHaveLength(3);
    expect(of.node(2).engine.counts.uploadedObjects).toBe(1);
    of.confirm = (tabletIds) => tabletIds;
    let done = false;
    void of
      .node(2)
      .cooldown.collection.collect()
      .then(() => (done = true));
    await of.clock.runUntil(() => done, LONG_MS);
    expect(metaKeys(of)).toEqual([`data/${TABLET}/102.2.meta`]);
    for (const node of of.nodes) await node.checkReadable();
  });

  it('an old leader that goes on overwrites nothing that the new one has written', async () => {
    const of = world();
    await of.load(2);
    await of.conf(1, 1);
    await of.clock.run(DUE_MS);
    await of.clock.runUntil(() => of.isCooled(2), LONG_MS);
    await of.load(3);
    await of.conf(2, 2, [of.node(2), of.node(3)]);
    await of.clock.run(DUE_MS);
    const rest = [of.node(2), of.node(3)];
    expect(await of.clock.runUntil(() => of.isCooled(3, rest), LONG_MS)).toBe(true);
    expect(of.node(1).cooledVersion).toBe(3);
    expect(metaKeys(of)).toHaveLength(2);
    await of.conf(2, 2);
    expect(await of.clock.runUntil(() => of.isCooled(3), LONG_MS)).toBe(true);
    for (const node of of.nodes) await node.checkReadable();
    expect(of.dataKeys()).toHaveLength(2);
  });

  it('does not publish when its lease is over', async () => {
    const { bucket } = new World();
    const lease = { leftMs: 0 };
    const heads = new TermHeads({ store: bucket, leaseLeftMs: () => lease.leftMs });
    const lead: CooldownLead = { replicaId: 5 as CooldownLead['replicaId'], term: 3 };
    const rowset = {
      rowsetId: 'a'.repeat(32) as never,
      startVersion: 0,
      endVersion: 1,
      rows: 0,
      bytes: 0,
      segments: [],
      createdMs: 0,
      newestWriteMs: 0,
    };
    await expect(heads.publish(TABLET, undefined, lead, [rowset])).rejects.toThrow(/too long/);
    expect(bucket.keys()).toEqual([]);
    lease.leftMs = 1;
    await heads.publish(TABLET, undefined, lead, [rowset]);
    const [key = ''] = bucket.keys();
    expect(leadOfTermKey(key)).toEqual(lead);
    expect((await heads.read(TABLET, { ...lead, term: 9 }))?.head.term).toBe(3);
    expect(await heads.read(TABLET, { ...lead, term: 2 })).toBeUndefined();
  });
});
