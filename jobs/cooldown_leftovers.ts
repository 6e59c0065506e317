/**
 * Whether anything of a partition lies in a resource that a policy of the past had named. When all
 * its replicas say that nothing does, and its prefix there is empty, a policy of another resource
 * may come.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { PartitionId, ResourceId, TabletId } from '../base/ids.ts';
import type { LeftInResource } from '../base/replica.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ReplicaDef } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';

const CALL_TIMEOUT_MS = 60_000;
/** Tablets in one call. */
const TABLETS_PER_CALL = 50;

export interface CooldownLeftoversDeps {
  readonly catalog: Catalog;
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly transport: AgentTransport;
}

export interface Leftovers {
  readonly tablets: number;
  /** Cooled ones, of the replica that has most. */
  readonly rowsets: number;
  readonly objects: number;
  readonly objectBytes: number;
  /** Why that is not all that may be there, in words; '' when it is. */
  readonly unknown: string;
}

/** undefined: nothing is left there. Throws what `signal` says. */
export async function leftoversOf(
  { catalog, registry, transport }: CooldownLeftoversDeps,
  partitionId: PartitionId,
  resourceId: ResourceId,
  signal: AbortSignal,
): Promise<Leftovers | undefined> {
  const replicas = catalog.tablets
    .ofPartition(partitionId)
    .flatMap(({ tabletId }) => catalog.replicas.ofTablet(tabletId));
  const answers: LeftInResource[] = [];
  let unknown = '';
  for (const [backendId, own] of Map.groupBy(replicas, (one: ReplicaDef) => one.backendId)) {
    if (!registry.isAlive(backendId)) {
      unknown = `backend ${backendId} is not alive and may have data there`;
      continue;
    }
    const tablets = own.map(({ tabletId }) => tabletId);
    for (let at = 0; at < tablets.length; at += TABLETS_PER_CALL) {
      const tabletIds = tablets.slice(at, at + TABLETS_PER_CALL);
      const options = { timeoutMs: CALL_TIMEOUT_MS, signal };
      try {
        const request = { tabletIds, resourceId };
        const reply = await transport.call(backendId, 'leftInResource', request, options);
        answers.push(...reply.tablets);
      } catch (error) {
        signal.throwIfAborted();
        unknown = error instanceof Error ? error.message : String(error);
      }
    }
    if (answers.some(({ mayCool }) => mayCool)) {
      unknown = `backend ${backendId} has not heard yet that it has no policy: try again`;
    }
  }
  return sumOf(answers, unknown);
}

/** Replicas of one tablet see the same objects. */
function sumOf(answers: readonly LeftInResource[], unknown: string): Leftovers | undefined {
  const byTablet = new Map<TabletId, LeftInResource>();
  for (const answer of answers) {
    const known = byTablet.get(answer.tabletId);
    byTablet.set(answer.tabletId, {
      ...answer,
      rowsets: Math.max(answer.rowsets, known?.rowsets ?? 0),
      objects: Math.max(answer.objects, known?.objects ?? 0),
      objectBytes: Math.max(answer.objectBytes, known?.objectBytes ?? 0),
    });
  }
  const left = [...byTablet.values()].filter(({ rowsets, objects }) => rowsets + objects > 0);
  if (left.length === 0 && unknown === '') return undefined;
  const sum = (pick: (one: LeftInResource) => number): number =>
    left.reduce((total, one) => total + pick(one), 0);
  return {
    tablets: left.length,
    rowsets: sum(({ rowsets }) => rowsets),
    objects: sum(({ objects }) => objects),
    objectBytes: sum(({ objectBytes }) => objectBytes),
    unknown,
  };
}
