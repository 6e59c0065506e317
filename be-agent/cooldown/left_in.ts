/**
 * What of a tablet lies in a resource: asked before another one may take its place. Nothing is on
 * its way there when the answer is given, and without a policy nothing begins.
 */
import type { ResourceId, TabletId } from '../../base/ids.ts';
import type { LeftInResource } from '../../base/replica.ts';
import { tabletPrefix } from '../../base/schema.ts';
import type { ReplicaStore } from '../replica/replica_store.ts';
import type { CooldownEngine } from './cooldown_engine.ts';

interface LeftInDeps {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
}

/** Throws ObjectStoreError, or the signal's reason. */
export async function leftIn(
  { engine, store }: LeftInDeps,
  tabletId: TabletId,
  resourceId: ResourceId,
  signal: AbortSignal,
): Promise<LeftInResource> {
  return await engine.turns.hold(
    tabletId,
    async (turnSignal) => {
      const resource = await engine.resources.get(resourceId);
      let objects = 0;
      let objectBytes = 0;
      for await (const page of resource.store.list(tabletPrefix(tabletId), {
        signal: turnSignal,
      })) {
        objects += page.length;
        objectBytes += page.reduce((sum, { size }) => sum + size, 0);
      }
      const replica = store.get(tabletId);
      const cooled = (replica?.rowsets ?? []).filter(
        ({ place }) => place.kind === 'remote' && place.resourceId === resourceId,
      );
      return {
        tabletId,
        mayCool: replica?.policyId !== undefined,
        rowsets: cooled.length,
        bytes: cooled.reduce((sum, { bytes }) => sum + bytes, 0),
        objects,
        objectBytes,
      };
    },
    signal,
  );
}
