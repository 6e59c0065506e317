/**
 * Brings backends in line with what the catalog says of their replicas, again and again until it is
 * so: makes those that are still CREATING, drops those that are DROPPING and those that the catalog
 * does not know, and tells each its storage policy. Nothing here is remembered but what is in the
 * catalog and in the last reports, so a restart loses nothing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport } from '../base/agent_messages.ts';
import type {
  BackendId,
  PartitionId,
  ReplicaId,
  ResourceId,
  StoragePolicyId,
  TableId,
  TabletId,
} from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { NewReplica, ReplicaReport } from '../base/replica.ts';
import { isReplicated } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ReplicaDef, ReplicaKey } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { Periodic } from './periodic.ts';
import type { BoardChange, ReplicaBoard } from './replica_board.ts';
import { createOn } from './replica_maker.ts';
import { recoverVersions } from './version_recovery.ts';

const TICK_MS = 1000;
/** Between two times that a replica is told where to follow. */
const FOLLOW_EVERY_TICKS = 60;
const CALL_TIMEOUT_MS = 30_000;
/** Longest wait of a statement that changed policies; backends that miss it hear of it later. */
const STATEMENT_WAIT_MS = 5000;
/** Replicas of one message. */
const REPLICAS_PER_MESSAGE = 500;
/** Pause after a failure of a backend, doubling. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;
/** Ticks between two looks for versions that nobody will ask for any more. */
const VERSIONS_EVERY_TICKS = 10;
/** Tablets of a report compared before others have a turn. */
const TURN_TABLETS = 1000;
/** Partitions looked at then, before others have a turn. */
const PARTITIONS_PER_LOOK = 500;

export interface ReplicaUpkeepDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly board: ReplicaBoard;
  readonly clock: Clock;
  readonly log: Log;
}

export class ReplicaUpkeep {
  readonly #deps: ReplicaUpkeepDeps;
  readonly #rounds: Periodic;
  readonly #stopListening: () => void;
  /** Tablets by backend to be compared: something new was reported, or was not heard there. */
  readonly #reported = new Map<BackendId, Set<TabletId>>();
  /** Backends that failed: not before this monotonic moment again. */
  readonly #pauses = new Map<BackendId, { readonly untilMs: number; readonly pauseMs: number }>();
  #ticks = 0;
  #hasLost = false;
  #lastPartition = 0;
  /** Tablets of which replicas were told where to follow. */
  readonly #lagging = new Map<BackendId, TabletId[]>();

  constructor(deps: ReplicaUpkeepDeps) {
    this.#deps = deps;
    this.#stopListening = deps.board.onChange((change) => {
      this.#onReport(change);
    });
    this.#rounds = new Periodic({
      ...deps,
      what: 'upkeep of replicas',
      pauseMs: () => TICK_MS,
      round: async () => {
        await this.round();
      },
    });
  }

  start(): void {
    this.#rounds.start();
  }

  async close(): Promise<void> {
    this.#stopListening();
    await this.#rounds.close();
  }

  /** All that is due now. */
  async round(): Promise<void> {
    this.#ticks += 1;
    if (this.#ticks % FOLLOW_EVERY_TICKS === 0) this.#tellAgain();
    // Side by side: a backend that hangs holds up nothing but the next round.
    await Promise.all([this.#dropDropping(), this.#createCreating(), this.#compareReported()]);
    if (this.#ticks % VERSIONS_EVERY_TICKS !== 0) return;
    await this.#forgetVersions();
    await this.#deps.catalog.resources.forgetDropped();
  }

  /** Partitions of the table have other policies now. Never throws. */
  async policiesChanged(tableId: TableId): Promise<void> {
    const { catalog, registry, clock, log } = this.#deps;
    const table = await catalog.tables.byId(tableId);
    if (table === undefined || !isReplicated(table)) return;
    const byBackend = new Map<BackendId, PolicyOf[]>();
    for (const { partitionId, storagePolicyId } of table.partitions) {
      for (const { tabletId } of catalog.tablets.ofPartition(partitionId)) {
        for (const { backendId } of catalog.replicas.ofTablet(tabletId)) {
          addTo(byBackend, backendId, policyOf(tabletId, storagePolicyId));
        }
      }
    }
    const calls = [...byBackend].map(async ([backendId, policies]) => {
      try {
        if (registry.isAlive(backendId)) await this.#setPolicies(backendId, policies);
        else this.#onReport({ backendId, tablets: policies.map(({ tabletId }) => tabletId) });
      } catch (error) {
        log.info('a backend will hear of its policies later', { backendId, error: String(error) });
        this.#onReport({ backendId, tablets: policies.map(({ tabletId }) => tabletId) });
      }
    });
    const over = Promise.withResolvers<void>();
    const stopTimer = clock.after(STATEMENT_WAIT_MS, () => {
      over.resolve();
    });
    await Promise.race([Promise.all(calls), over.promise]);
    stopTimer();
  }

  #onReport({ backendId, tablets }: BoardChange): void {
    const known = this.#reported.get(backendId);
    if (known === undefined) this.#reported.set(backendId, new Set(tablets));
    else for (const tabletId of tablets) known.add(tabletId);
  }

  async #dropDropping(): Promise<void> {
    const { catalog } = this.#deps;
    if (catalog.replicas.countIn('DROPPING') === 0) return;
    const backends = new Set((await catalog.backends.list()).map(({ backendId }) => backendId));
    const dropping = byBackend(catalog.replicas.inState('DROPPING'));
    await Promise.all(
      [...dropping].map(async ([backendId, replicas]) => {
        for (const part of chunks(replicas)) {
          const isGone = !backends.has(backendId);
          if (!isGone && !(await this.#drop(backendId, part))) return;
          await catalog.replicas.remove(part);
        }
      }),
    );
  }

  async #createCreating(): Promise<void> {
    const { catalog } = this.#deps;
    if (catalog.replicas.countIn('CREATING') === 0) return;
    const tables = new Tables(catalog);
    const creating = byBackend(catalog.replicas.inState('CREATING'));
    await Promise.all(
      [...creating].map(async ([backendId, replicas]) => {
        const wanted: NewReplica[] = [];
        for (const { tabletId, replicaId } of replicas) {
          // Not there: the statement that creates it still runs, and sees to it itself.
          const tablet = catalog.tablets.get(tabletId);
          if (tablet === undefined) continue;
          const { tableId, partitionId, indexId } = tablet;
          const policyId = await tables.policyOf(tableId, partitionId);
          const policy = policyId === undefined ? {} : { policyId };
          wanted.push({ tabletId, replicaId, tableId, partitionId, indexId, ...policy });
        }
        if (wanted.length === 0) return;
        await this.#attempt(backendId, 'make replicas', async () => {
          await createOn(this.#deps, backendId, wanted);
        });
      }),
    );
  }

  /** What backends have that they should not, and policies that they do not know of. */
  async #compareReported(): Promise<void> {
    const tables = new Tables(this.#deps.catalog);
    const reported = new Map(this.#reported);
    this.#reported.clear();
    await Promise.all(
      [...reported].map(async ([backendId, tablets]) => {
        const { unknown, policies } = await this.#compare(backendId, tablets, tables);
        await recoverVersions(this.#deps, tablets);
        if (await this.#correct(backendId, unknown, policies)) return;
        const open = [...unknown, ...policies].map(({ tabletId }) => tabletId);
        this.#onReport({ backendId, tablets: open });
      }),
    );
  }

  async #compare(
    backendId: BackendId,
    tablets: ReadonlySet<TabletId>,
    tables: Tables,
  ): Promise<{ readonly unknown: ReplicaKey[]; readonly policies: PolicyOf[] }> {
    const { catalog, board } = this.#deps;
    const unknown: ReplicaKey[] = [];
    const policies: PolicyOf[] = [];
    let looked = 0;
    for (const tabletId of tablets) {
      looked += 1;
      if (looked % TURN_TABLETS === 0) await nextTurn();
      const report = board.reportsOf(backendId)?.get(tabletId);
      if (report === undefined) continue;
      const { replicaId, partitionId } = report;
      const replica = catalog.replicas.get(tabletId, replicaId);
      const isLost = catalog.isFromLostCatalog(Math.max(tabletId, replicaId));
      if (replica?.backendId !== backendId) {
        if (isLost) this.#keepLost(backendId, tabletId, replicaId);
        else unknown.push({ tabletId, replicaId });
        continue;
      }
      const tableId = catalog.tablets.get(tabletId)?.tableId;
      if (tableId === undefined) continue;
      const policyId = await tables.policyOf(tableId, partitionId);
      if (policyId !== report.policyId) policies.push(policyOf(tabletId, policyId));
      else if (policyId === undefined) policies.push(...this.#toFollow(backendId, report));
    }
    return { unknown, policies };
  }

  /**
   * A policy was taken away after some replicas had cooled: the others, which do not know any more
   * where that is, are told, or they would never have the same list.
   */
  #toFollow(backendId: BackendId, report: ReplicaReport): PolicyOf[] {
    const { tabletId, metaId, partitionId } = report;
    const { catalog, board } = this.#deps;
    const others = catalog.replicas.ofTablet(tabletId).map((one) => ({
      backendId: one.backendId,
      report: board.get(one.backendId, tabletId, one.replicaId),
    }));
    if (metaId === undefined) {
      const isCooled = others.some((one) => one.report?.metaId !== undefined);
      const [resourceId] = isCooled ? catalog.resources.ofPartition(partitionId) : [];
      if (resourceId === undefined) return [];
      addTo(this.#lagging, backendId, tabletId);
      return [{ tabletId, resourceId }];
    }
    for (const { backendId: other, report: known } of others) {
      const lags = known !== undefined && known.metaId === undefined;
      if (lags) this.#onReport({ backendId: other, tablets: [tabletId] });
    }
    return [];
  }

  /** A backend that has started again has forgotten it, and its reports look as before. */
  #tellAgain(): void {
    for (const [backendId, tablets] of this.#lagging) this.#onReport({ backendId, tablets });
    this.#lagging.clear();
  }

  /**
   * Nobody has dropped it: the catalog that knew it is not the present one, and may come back. Only
   * the first is told.
   */
  #keepLost(backendId: BackendId, tabletId: TabletId, replicaId: ReplicaId): void {
    if (this.#hasLost) return;
    this.#hasLost = true;
    const what = 'backends have replicas of a later catalog than this one: they are kept';
    this.#deps.log.error(what, { backendId, tabletId, replicaId });
  }

  async #correct(
    backendId: BackendId,
    unknown: readonly ReplicaKey[],
    policies: readonly PolicyOf[],
  ): Promise<boolean> {
    for (const part of chunks(unknown)) {
      // Also what was dropped just now, when its report comes late.
      this.#deps.log.info('replicas that the catalog does not know are dropped', {
        backendId,
        replicas: part.length,
        first: part[0]?.replicaId,
      });
      if (!(await this.#drop(backendId, part))) return false;
    }
    if (policies.length === 0) return true;
    return await this.#attempt(backendId, 'set policies', async () => {
      await this.#setPolicies(backendId, policies);
    });
  }

  async #drop(backendId: BackendId, replicas: readonly ReplicaKey[]): Promise<boolean> {
    const named = replicas.map(({ tabletId, replicaId }) => ({ tabletId, replicaId }));
    return await this.#attempt(backendId, 'drop replicas', async () => {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      await this.#deps.transport.call(backendId, 'dropReplicas', { replicas: named }, options);
    });
  }

  async #setPolicies(backendId: BackendId, policies: readonly PolicyOf[]): Promise<void> {
    const { transport } = this.#deps;
    for (const replicas of chunks(policies)) {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      await transport.call(backendId, 'setPolicies', { replicas }, options);
    }
  }

  /** False: it failed, or the backend is away or has failed just before. */
  async #attempt(backendId: BackendId, what: string, work: () => Promise<void>): Promise<boolean> {
    const { registry, clock, log } = this.#deps;
    const paused = this.#pauses.get(backendId);
    if (!registry.isAlive(backendId)) return false;
    if (paused !== undefined && clock.monotonic() < paused.untilMs) return false;
    try {
      await work();
      this.#pauses.delete(backendId);
      return true;
    } catch (error) {
      const pauseMs = Math.min(RETRY_MS_MAX, (paused?.pauseMs ?? RETRY_MS_MIN / 2) * 2);
      this.#pauses.set(backendId, { pauseMs, untilMs: clock.monotonic() + pauseMs });
      log.warn(`cannot ${what}`, { backendId, pauseMs, error: String(error) });
      return false;
    }
  }

  /**
   * A version is asked for by replicas that have only prepared it. When all replicas of its
   * partition have reported it, nobody will.
   */
  async #forgetVersions(): Promise<void> {
    const { catalog } = this.#deps;
    const { replicas } = catalog;
    const found = replicas.versionedPartitions(this.#lastPartition, PARTITIONS_PER_LOOK);
    for (const partitionId of found) {
      const reported = this.#reportedVersion(partitionId);
      if (reported > 0) await replicas.forgetVersions(partitionId, reported);
    }
    this.#lastPartition = found.length < PARTITIONS_PER_LOOK ? 0 : (found.at(-1) ?? 0);
  }

  /** The version that every replica of the partition has; 0 when one has not reported. */
  #reportedVersion(partitionId: PartitionId): number {
    const { catalog, board } = this.#deps;
    let lowest = Infinity;
    for (const { tabletId } of catalog.tablets.ofPartition(partitionId)) {
      for (const { backendId, replicaId } of catalog.replicas.ofTablet(tabletId)) {
        lowest = Math.min(lowest, board.get(backendId, tabletId, replicaId)?.version ?? 0);
        if (lowest === 0) return 0;
      }
    }
    return Number.isFinite(lowest) ? lowest : 0;
  }
}

interface PolicyOf {
  readonly tabletId: TabletId;
  readonly policyId?: StoragePolicyId;
  readonly resourceId?: ResourceId;
}

function policyOf(tabletId: TabletId, policyId: StoragePolicyId | undefined): PolicyOf {
  return policyId === undefined ? { tabletId } : { tabletId, policyId };
}

/** Tables of one round, each looked up once. */
class Tables {
  readonly #catalog: Catalog;
  readonly #policies = new Map<TableId, ReadonlyMap<PartitionId, StoragePolicyId | undefined>>();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  async policyOf(tableId: TableId, partitionId: PartitionId): Promise<StoragePolicyId | undefined> {
    const known = this.#policies.get(tableId);
    if (known !== undefined) return known.get(partitionId);
    const table = await this.#catalog.tables.byId(tableId);
    const policies = new Map(
      (table?.partitions ?? []).map((one) => [one.partitionId, one.storagePolicyId]),
    );
    this.#policies.set(tableId, policies);
    return policies.get(partitionId);
  }
}

function byBackend(replicas: readonly ReplicaDef[]): Map<BackendId, ReplicaDef[]> {
  const groups = new Map<BackendId, ReplicaDef[]>();
  for (const replica of replicas) addTo(groups, replica.backendId, replica);
  return groups;
}

function addTo<Key, Item>(groups: Map<Key, Item[]>, key: Key, item: Item): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [item]);
  else group.push(item);
}

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += REPLICAS_PER_MESSAGE) {
    yield items.slice(at, at + REPLICAS_PER_MESSAGE);
  }
}
