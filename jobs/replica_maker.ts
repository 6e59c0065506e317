/**
 * Where the replicas of new tablets go, and making them there. A replica is CREATING until its
 * backend says that it has it; a table is created when a majority of each tablet's replicas is
 * there, and the rest follow (`replica_upkeep.ts`).
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, ComputeGroupId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { NewReplica } from '../base/replica.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { type ReplicaKey, majorityOf } from '../catalog/replicas.ts';
import type { PlacedReplica, ReplicaMaker } from '../catalog/table_changes.ts';
import type { BackendRegistry } from './backend_registry.ts';

/** Longest wait for a backend that makes replicas. */
const CREATE_TIMEOUT_MS = 30_000;
/** Replicas of one message, and of one transaction that says that they are there. */
const REPLICAS_PER_MESSAGE = 1000;

export interface ReplicaMakerDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly log: Log;
}

interface Candidate {
  readonly backendId: BackendId;
  readonly host: string;
  readonly isAlive: boolean;
  /** Replicas that it has, those of this statement included. */
  replicas: number;
}

/** For one statement: what it places counts for what it places next. Throws UNKNOWN_COMPUTE_GROUP. */
export async function replicaMaker(
  deps: ReplicaMakerDeps,
  computeGroupId: ComputeGroupId,
): Promise<ReplicaMaker> {
  const { catalog } = deps;
  const groups = await catalog.computeGroups.list();
  const group = groups.find((one) => one.computeGroupId === computeGroupId);
  if (group === undefined) {
    throw new SqlError('UNKNOWN_COMPUTE_GROUP', { name: computeGroupId, existing: '' });
  }
  const backends = await catalog.backends.ofGroup(computeGroupId);
  const placement = new ReplicaPlacement(deps, group.name, backends);
  return {
    place: (replicationNum) => placement.place(replicationNum),
    make: async (replicas) => {
      await makeReplicas(deps, replicas);
    },
  };
}

/**
 * Spreads replicas over the ENABLED backends of a group: alive ones first, on hosts that the tablet
 * is not on yet, and of these the one with the fewest replicas.
 */
export class ReplicaPlacement {
  readonly #groupName: string;
  readonly #candidates: readonly Candidate[];

  constructor(
    { catalog, registry }: Pick<ReplicaMakerDeps, 'catalog' | 'registry'>,
    groupName: string,
    backends: readonly BackendDef[],
  ) {
    this.#groupName = groupName;
    this.#candidates = backends
      .filter(({ adminState }) => adminState === 'ENABLED')
      .map(({ backendId, host }) => ({
        backendId,
        host,
        isAlive: registry.isAlive(backendId) || registry.mayBeStarting(backendId),
        replicas: catalog.replicas.countOf(backendId),
      }));
  }

  /**
   * Backends of one more tablet. `taken` has replicas of it already. Throws REPLICA_NO_ROOM when
   * there are not that many others.
   */
  place(count: number, taken: readonly BackendId[] = []): readonly BackendId[] {
    const chosen: Candidate[] = [];
    const hosts = new Set(
      this.#candidates.filter((one) => taken.includes(one.backendId)).map(({ host }) => host),
    );
    for (let i = 0; i < count; i += 1) {
      let best: Candidate | undefined;
      for (const candidate of this.#candidates) {
        if (chosen.includes(candidate) || taken.includes(candidate.backendId)) continue;
        if (best === undefined || isBetter(candidate, best, hosts)) best = candidate;
      }
      if (best === undefined) {
        throw new SqlError('REPLICA_NO_ROOM', {
          wanted: count + taken.length,
          group: this.#groupName,
          enabled: this.#candidates.length,
        });
      }
      chosen.push(best);
      hosts.add(best.host);
    }
    for (const candidate of chosen) candidate.replicas += 1;
    return chosen.map(({ backendId }) => backendId);
  }
}

function isBetter(one: Candidate, other: Candidate, hosts: ReadonlySet<string>): boolean {
  if (one.isAlive !== other.isAlive) return one.isAlive;
  const isNew = !hosts.has(one.host);
  if (isNew === hosts.has(other.host)) return isNew;
  return one.replicas < other.replicas;
}

/**
 * Tells the backends, and resolves when a majority of each tablet's replicas is there; those that
 * are slower are waited for in the background. Throws REPLICA_NOT_MADE.
 */
async function makeReplicas(
  deps: ReplicaMakerDeps,
  replicas: readonly PlacedReplica[],
): Promise<void> {
  const waits = new MajorityWait(replicas);
  const failures: string[] = [];
  const calls = [...byBackend(replicas)].map(async ([backendId, own]) => {
    try {
      await createOn(deps, backendId, own, (made) => {
        waits.made(made);
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      failures.push(`backend ${backendId}: ${why}`);
      deps.log.warn('replicas were not made', { backendId, replicas: own.length, error: why });
    }
  });
  await Promise.race([waits.done, Promise.all(calls)]);
  if (waits.open === 0) return;
  throw new SqlError('REPLICA_NOT_MADE', {
    tablets: waits.open,
    why: failures.join('; ') || 'no backend answered',
  });
}

/** Makes CREATING replicas on their backend, and says in the catalog that they are there. */
export async function createOn(
  { catalog, transport }: Pick<ReplicaMakerDeps, 'catalog' | 'transport'>,
  backendId: BackendId,
  replicas: readonly NewReplica[],
  onMade: (made: readonly ReplicaKey[]) => void = () => undefined,
): Promise<void> {
  for (let at = 0; at < replicas.length; at += REPLICAS_PER_MESSAGE) {
    const part = replicas.slice(at, at + REPLICAS_PER_MESSAGE).map(newReplica);
    const options = { timeoutMs: CREATE_TIMEOUT_MS };
    await transport.call(backendId, 'createReplicas', { replicas: part }, options);
    await catalog.replicas.created(part);
    onMade(part);
  }
}

/** Only what a backend has to know. */
function newReplica(replica: NewReplica): NewReplica {
  const { tabletId, replicaId, tableId, partitionId, indexId, policyId } = replica;
  const policy = policyId === undefined ? {} : { policyId };
  return { tabletId, replicaId, tableId, partitionId, indexId, ...policy };
}

function byBackend(replicas: readonly PlacedReplica[]): Map<BackendId, PlacedReplica[]> {
  const groups = new Map<BackendId, PlacedReplica[]>();
  for (const replica of replicas) {
    const group = groups.get(replica.backendId);
    if (group === undefined) groups.set(replica.backendId, [replica]);
    else group.push(replica);
  }
  return groups;
}

/** Counts until every tablet has a majority of its replicas. */
class MajorityWait {
  /** Replicas that a tablet still lacks. */
  readonly #lacking = new Map<TabletId, number>();
  readonly #done = Promise.withResolvers<void>();

  constructor(replicas: readonly PlacedReplica[]) {
    const counts = new Map<TabletId, number>();
    for (const { tabletId } of replicas) counts.set(tabletId, (counts.get(tabletId) ?? 0) + 1);
    for (const [tabletId, count] of counts) this.#lacking.set(tabletId, majorityOf(count));
    if (this.#lacking.size === 0) this.#done.resolve();
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Tablets without a majority. */
  get open(): number {
    return this.#lacking.size;
  }

  made(replicas: readonly ReplicaKey[]): void {
    for (const { tabletId } of replicas) {
      const lacking = this.#lacking.get(tabletId);
      if (lacking === undefined) continue;
      if (lacking > 1) this.#lacking.set(tabletId, lacking - 1);
      else this.#lacking.delete(tabletId);
    }
    if (this.#lacking.size === 0) this.#done.resolve();
  }
}
