/**
 * Keeps replicated tablets at their number of complete replicas (DESIGN section 2): what a replica
 * lacks is copied from a complete one, a backend that stays dead is replaced by another, surplus
 * and decommissioned replicas go when the others are enough. Level-triggered: tablets of which
 * something is known are looked at (`planRepair`) until all is well, whatever has happened.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, PartitionId, ReplicaId, TableId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { BackendDef, PartitionDef, TableDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendLiveness } from './backend_liveness.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { BoardChange, ReplicaBoard } from './replica_board.ts';
import { type CloneCounts, ReplicaClones, type RunningClone } from './replica_clones.ts';
import { ReplicaPlacement } from './replica_maker.ts';
import {
  type BackendCondition,
  type PlannedReplica,
  type RepairPlan,
  type RepairStep,
  NO_SOURCE,
  planRepair,
} from './replica_plan.ts';
import { type RebuildCounts, type RebuiltTablet, ReplicaRebuild } from './replica_rebuild.ts';
import { ReplicaSuspicions } from './replica_suspicions.ts';
import { WholeRebuilds } from './whole_rebuilds.ts';

/** Tablets looked at in one round. */
const TABLETS_PER_ROUND = 5000;
/** Without letting others run. */
const TABLETS_PER_TURN = 200;
/** A tablet for which nothing can be done is looked at again after this, milliseconds. */
const WAIT_MS = 5000;
const CONFIRM_TIMEOUT_MS = 10_000;
/** Tablets of ADMIN REPAIR TABLE come first for so long, as in Doris; milliseconds. */
const URGENT_MS = 4 * 3_600_000;

export interface ReplicaRepairDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly liveness: BackendLiveness;
  readonly board: ReplicaBoard;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** A decommissioned backend has no replica any more. */
  readonly onEmptied: (backend: BackendDef) => Promise<void>;
}

interface Round {
  readonly backends: ReadonlyMap<BackendId, BackendDef>;
  readonly tables: Map<TableId, TableDef | undefined>;
}

interface Place {
  readonly tabletId: TabletId;
  readonly table: TableDef;
  readonly partition: PartitionDef;
}

export class ReplicaRepair {
  readonly #deps: ReplicaRepairDeps;
  readonly #clones: ReplicaClones;
  readonly #suspicions: ReplicaSuspicions;
  readonly #rebuild: ReplicaRebuild;
  readonly #wholeRebuilds: WholeRebuilds;
  /** Looked at before others, until then (monotonic). */
  readonly #urgent = new Map<TabletId, number>();
  /** Tablets to be looked at, and from when on (monotonic). */
  readonly #noted = new Map<TabletId, number>();
  /** Why nothing can be done for a tablet. */
  readonly #waits = new Map<TabletId, string>();
  /** Backends whose tablets were noted for what they are now. */
  readonly #seen = new Map<BackendId, string>();
  #stopListening: () => void = () => undefined;
  #stopTimer: () => void = () => undefined;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(deps: ReplicaRepairDeps) {
    this.#deps = deps;
    this.#clones = new ReplicaClones({
      ...deps,
      onEnd: (tabletId) => {
        this.note([tabletId]);
      },
    });
    this.#suspicions = new ReplicaSuspicions(deps);
    this.#rebuild = new ReplicaRebuild(deps);
    this.#wholeRebuilds = new WholeRebuilds({
      ...deps,
      rebuild: this.#rebuild,
      onEnd: (tabletId) => {
        this.note([tabletId]);
      },
    });
  }

  /** Every replicated tablet is looked at once. */
  start(): void {
    const { board, catalog } = this.#deps;
    this.#stopListening = board.onChange((change) => {
      this.#reported(change);
    });
    this.#running = this.#noteAll()
      .catch((error: unknown) => {
        this.#deps.log.error('replicas could not be looked at', { error: String(error) });
      })
      .finally(() => {
        this.#running = undefined;
        this.#schedule();
      });
    this.note(catalog.replicas.missing().map(({ tabletId }) => tabletId));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopListening();
    this.#stopTimer();
    this.#clones.close();
    await this.#wholeRebuilds.close();
    await this.#running;
  }

  /**
   * ADMIN REPAIR TABLE: these are looked at before others, and a tablet without a complete replica
   * is made readable again from what is left, whatever gets lost. undefined: nothing is lost.
   */
  async rebuild(tabletId: TabletId, signal: AbortSignal): Promise<RebuiltTablet | undefined> {
    const done = await this.#rebuild.rebuild(tabletId, { isLossAllowed: true, signal });
    if (done !== undefined) this.note([tabletId]);
    return done;
  }

  /** These are looked at before others. */
  hurry(tablets: Iterable<TabletId>): void {
    const untilMs = this.#deps.clock.monotonic() + URGENT_MS;
    for (const tabletId of tablets) {
      this.#urgent.set(tabletId, untilMs);
      if (this.#noted.has(tabletId)) this.#noted.set(tabletId, 0);
    }
  }

  /** ADMIN CANCEL REPAIR TABLE: these have to wait as others do. */
  noHurry(tablets: Iterable<TabletId>): void {
    for (const tabletId of tablets) this.#urgent.delete(tabletId);
  }

  /** Something has changed about these: they are looked at with the next round. */
  note(tablets: Iterable<TabletId>): void {
    for (const tabletId of tablets) this.#noted.set(tabletId, 0);
  }

  /** Its number of replicas, or its backends, changed. */
  noteTable(tableId: TableId): void {
    this.note(this.#deps.catalog.tablets.ofTable(tableId).map(({ tabletId }) => tabletId));
  }

  /** The same, of a backend: dropped, decommissioned, back. */
  noteBackend(backendId: BackendId): void {
    const tablets = this.#deps.catalog.replicas.ofBackend(backendId);
    for (const { tabletId } of tablets) this.#wholeRebuilds.forget(tabletId);
    this.note(tablets.map(({ tabletId }) => tabletId));
  }

  /** Of a tablet for which nothing can be done at the moment; '' otherwise. */
  waitsOf(tabletId: TabletId): string {
    return this.#waits.get(tabletId) ?? '';
  }

  get cloneCounts(): CloneCounts {
    return this.#clones.counts;
  }

  /** Since the server started. */
  get rebuildCounts(): RebuildCounts {
    return this.#rebuild.counts;
  }

  /** The oldest first. */
  get runningClones(): readonly RunningClone[] {
    return this.#clones.running;
  }

  /** Tablets that are not as they should be, or have not been looked at yet. */
  get openTablets(): number {
    return this.#noted.size;
  }

  /** Why the last copy to this replica failed; '' when it went well. */
  cloneError(replicaId: ReplicaId): string {
    return this.#clones.errorOf(replicaId);
  }

  async #noteAll(): Promise<void> {
    const { catalog, clock } = this.#deps;
    for (const { tableId } of await catalog.tables.list()) {
      if (this.#isClosed) return;
      const table = await catalog.tables.byId(tableId);
      if (table?.replication !== undefined) this.noteTable(tableId);
      await clock.sleep(0);
    }
  }

  #schedule(): void {
    if (this.#isClosed) return;
    const { clock, config, log } = this.#deps;
    this.#stopTimer = clock.after(config.get('tablet_schedule_interval_ms'), () => {
      this.#running = this.#round()
        .catch((error: unknown) => {
          log.error('a round of repairing replicas failed', { error: String(error) });
        })
        .finally(() => {
          this.#running = undefined;
          this.#schedule();
        });
    });
  }

  #reported({ backendId, tablets }: BoardChange): void {
    const { replicas } = this.#deps.catalog;
    for (const tabletId of tablets) {
      const isKnown = replicas.ofTablet(tabletId).some((one) => one.backendId === backendId);
      if (isKnown) this.#noted.set(tabletId, 0);
    }
  }

  async #round(): Promise<void> {
    const { catalog, clock } = this.#deps;
    const list = await catalog.backends.list();
    const backends = new Map(list.map((backend) => [backend.backendId, backend]));
    this.#lookAtBackends(list);
    const round: Round = { backends, tables: new Map() };
    const now = clock.monotonic();
    const due = this.#dueTablets(now);
    let turn = 0;
    for (const tabletId of due) {
      if (this.#isClosed) return;
      turn += 1;
      if (turn % TABLETS_PER_TURN === 0) await clock.sleep(0);
      await this.#lookAt(tabletId, round);
    }
    await this.#emptied(list);
  }

  #dueTablets(now: number): TabletId[] {
    const due = [...this.#noted].flatMap(([tabletId, from]) => (from <= now ? [tabletId] : []));
    for (const [tabletId, untilMs] of this.#urgent) {
      if (untilMs <= now) this.#urgent.delete(tabletId);
    }
    if (this.#urgent.size > 0) {
      due.sort((a, b) => Number(this.#urgent.has(b)) - Number(this.#urgent.has(a)));
    }
    return due.slice(0, TABLETS_PER_ROUND);
  }

  /** A backend that has changed, or has reported all it has for the first time. */
  #lookAtBackends(backends: readonly BackendDef[]): void {
    const { board, liveness } = this.#deps;
    liveness.look(backends.map(({ backendId }) => backendId));
    for (const backend of backends) {
      const { backendId } = backend;
      const life = board.isComplete(backendId) ? (board.incarnationOf(backendId) ?? '') : '';
      const now = `${this.#conditionOf(backend)} ${backend.adminState} ${life}`;
      if (this.#seen.get(backendId) === now) continue;
      this.#seen.set(backendId, now);
      this.noteBackend(backendId);
    }
    const known = new Set(backends.map(({ backendId }) => backendId));
    for (const backendId of this.#seen.keys()) {
      if (known.has(backendId)) continue;
      this.#seen.delete(backendId);
      this.noteBackend(backendId);
    }
  }

  #conditionOf(backend: BackendDef | undefined): BackendCondition {
    const { config, liveness } = this.#deps;
    if (backend === undefined) return 'DROPPED';
    const { backendId, adminState } = backend;
    const isAlive = liveness.counts(backendId);
    if (adminState === 'DECOMMISSIONED') return isAlive ? 'LEAVING' : 'DEAD';
    if (isAlive) return 'ALIVE';
    const delayMs = config.get('tablet_repair_delay_seconds') * 1000;
    return liveness.deadMs(backendId) >= delayMs ? 'DEAD' : 'AWAY';
  }

  async #lookAt(tabletId: TabletId, round: Round): Promise<void> {
    const place = await this.#placeOf(tabletId, round);
    if (place === undefined) {
      this.#settle(tabletId);
      return;
    }
    const plan = this.#planOf(place, round);
    if (plan.isHealthy && !this.#clones.isRunning(tabletId)) {
      this.#settle(tabletId);
      return;
    }
    this.#waits.set(tabletId, plan.waits);
    if (plan.waits === NO_SOURCE) {
      const why = this.#wholeRebuilds.attempt(tabletId);
      if (why !== '') this.#waits.set(tabletId, `${NO_SOURCE}; ${why}`);
    }
    const waitMs = plan.steps.length === 0 ? WAIT_MS : 0;
    // Behind the others: those for which something can be done must not wait for this one.
    this.#noted.delete(tabletId);
    this.#noted.set(tabletId, this.#deps.clock.monotonic() + waitMs);
    for (const step of plan.steps) await this.#take(step, place, round);
  }

  #settle(tabletId: TabletId): void {
    this.#noted.delete(tabletId);
    this.#waits.delete(tabletId);
    this.#wholeRebuilds.forget(tabletId);
  }

  /** undefined: it is gone, being dropped, or of a shared table. */
  async #placeOf(tabletId: TabletId, { tables }: Round): Promise<Place | undefined> {
    const { catalog } = this.#deps;
    const tablet = catalog.tablets.get(tabletId);
    if (tablet === undefined) return undefined;
    const { tableId, partitionId } = tablet;
    if (!tables.has(tableId)) tables.set(tableId, await catalog.tables.byId(tableId));
    const table = tables.get(tableId);
    const partition = partitionOf(table, partitionId);
    if (table?.replication === undefined || partition === undefined) return undefined;
    return { tabletId, table, partition };
  }

  #planOf({ tabletId, table, partition }: Place, { backends }: Round): RepairPlan {
    const { catalog } = this.#deps;
    const lead = catalog.cooldown.lead(tabletId);
    const replicas = catalog.replicas.ofTablet(tabletId).map((replica): PlannedReplica => ({
      ...replica,
      backend: this.#conditionOf(backends.get(replica.backendId)),
      condition: this.#suspicions.conditionOf(replica, partition.visibleVersion),
      isLeader: lead?.replicaId === replica.replicaId,
      replicasOfBackend: catalog.replicas.countOf(replica.backendId),
    }));
    return planRepair(replicas, partition.replicationNum ?? table.replication?.replicationNum ?? 1);
  }

  async #take(step: RepairStep, place: Place, round: Round): Promise<void> {
    const { catalog, log } = this.#deps;
    const { tabletId, partition } = place;
    switch (step.kind) {
      case 'FORGET':
        await catalog.replicas.remove([step.replica]);
        return;
      case 'MARK':
        log.warn('a replica has to be copied anew', of(step.replica));
        await catalog.replicas.markMissing(step.replica, { from: 0, to: partition.visibleVersion });
        return;
      case 'CLONE':
        this.#clone(step, place, round);
        return;
      case 'FINISH':
        await catalog.replicas.setState(step.replica, ['CLONING'], 'NORMAL');
        log.info('a replica is complete', of(step.replica));
        return;
      case 'ADD':
        await this.#add(step.taken, place);
        return;
      case 'LEAVE':
        await catalog.replicas.setState(step.replica, ['NORMAL', 'CLONING'], 'DECOMMISSIONING');
        return;
      case 'STAY':
        await catalog.replicas.setState(step.replica, ['DECOMMISSIONING'], 'NORMAL');
        return;
      case 'DROP':
        if (!(await this.#haveAll(step.staying, partition.visibleVersion))) return;
        log.info('a replica is one too many', { ...of(step.replica), tabletId });
        // `ReplicaUpkeep` tells the backend.
        await catalog.replicas.setState(step.replica, ['DECOMMISSIONING'], 'DROPPING');
        return;
    }
  }

  /** Asked at last: what they reported is a moment old. */
  async #haveAll(replicas: readonly PlannedReplica[], version: number): Promise<boolean> {
    const { transport, log } = this.#deps;
    const answers = replicas.map(async ({ backendId, tabletId, replicaId }) => {
      const options = { timeoutMs: CONFIRM_TIMEOUT_MS };
      const request = { tabletIds: [tabletId] };
      const reply = await transport.call(backendId, 'replicaSnapshots', request, options);
      const own = reply.replicas.find((one) => one.replicaId === replicaId);
      return own !== undefined && own.version >= version;
    });
    try {
      return (await Promise.all(answers)).every(Boolean);
    } catch (error) {
      log.info('a surplus replica stays: the others do not answer', { error: String(error) });
      return false;
    }
  }

  #clone(
    { replica, sources }: Extract<RepairStep, { readonly kind: 'CLONE' }>,
    { tabletId, table, partition }: Place,
    { backends }: Round,
  ): void {
    const indexId = this.#deps.catalog.tablets.get(tabletId)?.indexId;
    const target = backends.get(replica.backendId);
    if (indexId === undefined || target === undefined) return;
    const { tableId } = table;
    const { partitionId, storagePolicyId } = partition;
    const policy = storagePolicyId === undefined ? {} : { policyId: storagePolicyId };
    const { replicaId } = replica;
    this.#clones.start(
      { tabletId, replicaId, tableId, partitionId, indexId, ...policy },
      target,
      sources.flatMap((source) => {
        const backend = backends.get(source.backendId);
        return backend === undefined ? [] : [{ replicaId: source.replicaId, backend }];
      }),
    );
  }

  /** Empty, and missing all that is visible at the moment of the commit. */
  async #add(taken: readonly BackendId[], { tabletId, table, partition }: Place): Promise<void> {
    const { catalog, log, registry } = this.#deps;
    const groupId = table.replication?.computeGroupId;
    if (groupId === undefined) return;
    const members = await catalog.backends.ofGroup(groupId);
    const alive = members.filter(({ backendId }) => registry.isAlive(backendId));
    const name = members[0]?.computeGroupName ?? '';
    let backendId: BackendId | undefined;
    try {
      [backendId] = new ReplicaPlacement(this.#deps, name, alive).place(1, taken);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      this.#waits.set(tabletId, error.message);
      this.#noted.set(tabletId, this.#deps.clock.monotonic() + WAIT_MS);
      return;
    }
    if (backendId === undefined) return;
    const added = { tabletId, backendId, state: 'CLONING' as const };
    await catalog.transaction(async (tx) => {
      const now = partitionOf(await tx.tables.byId(table.tableId), partition.partitionId);
      if (now === undefined) return;
      await tx.replicas.add([{ ...added, missing: { from: 0, to: now.visibleVersion } }]);
    });
    log.info('a replica is added', { tabletId, backendId });
  }

  async #emptied(backends: readonly BackendDef[]): Promise<void> {
    const { catalog, onEmptied } = this.#deps;
    for (const backend of backends) {
      if (backend.adminState !== 'DECOMMISSIONED') continue;
      if (catalog.replicas.countOf(backend.backendId) === 0) await onEmptied(backend);
    }
  }
}

function partitionOf(
  table: TableDef | undefined,
  partitionId: PartitionId,
): PartitionDef | undefined {
  return table?.partitions.find((partition) => partition.partitionId === partitionId);
}

function of({ tabletId, replicaId, backendId }: PlannedReplica) {
  return { tabletId, replicaId, backendId };
}
