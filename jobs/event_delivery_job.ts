/**
 * One event-driven job: which backends of its target get what, and where each of them is. A rowset
 * goes to its tablet's home among all backends of the target, and to the one that serves the
 * tablet meanwhile when the home is down; the home catches up when it is back.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport, BatchProgress, WarmUpFailure } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Clock, Log } from '../base/ports.ts';
import { readTableFilter } from '../base/table_filter.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { EventJobStart, EventTarget } from '../catalog/event_cursors.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { inherit, isSame, skipBacklog } from './event_delivery_cursors.ts';
import { DeliveryLane, type LaneDeps } from './event_delivery_lane.ts';
import { CatalogScan, LogScan, type ScanRule } from './event_delivery_scan.ts';
import type { RowsetSource } from './event_delivery_source.ts';
import { DeliveryStats } from './event_delivery_stats.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';
import type { SyncStats } from './sync_stats.ts';
import { compileTableFilter } from './table_filter.ts';

/** Events counted before the event loop gets its turn. */
const EVENTS_PER_COUNT = 200;

export interface EventDeliveryDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly holds: SnapshotHolds;
  readonly stats: SyncStats;
}

export interface JobDeliveryDeps extends EventDeliveryDeps {
  readonly source: RowsetSource;
  /** Of the messages: with a higher one than before, what was stopped may start again. */
  readonly run: number;
  /** Cursors moved: they want to be stored. */
  readonly moved: () => void;
}

export class JobDelivery {
  readonly jobId: JobId;
  readonly sourceGroup: string;
  readonly #deps: JobDeliveryDeps;
  #start: EventJobStart;
  readonly #stats: DeliveryStats;
  readonly #lanes = new Map<BackendId, DeliveryLane>();
  /** Dead backends whose open events others have been given. */
  readonly #takenOver = new Set<BackendId>();
  /** What the catalog has of the cursors. */
  readonly #stored = new Map<BackendId, EventTarget>();
  #job: WarmUpJob;
  #filterText: string | null = null;
  #matches: (tableName: string) => boolean = () => true;
  /** Events up to this one are in SyncStats. */
  #countedSeq: number;
  #counting: Promise<void> | undefined;
  #nextBatch = 0;
  #closed = false;

  static async open(job: WarmUpJob, deps: JobDeliveryDeps): Promise<JobDelivery> {
    const { jobId, srcGroup, createMs } = job;
    if (srcGroup === null) throw new Error(`event-driven job ${jobId} has no source`);
    const start = await deps.catalog.eventCursors.begin(jobId, srcGroup, createMs);
    return new JobDelivery(job, start, deps);
  }

  private constructor(job: WarmUpJob, start: EventJobStart, deps: JobDeliveryDeps) {
    this.#job = job;
    this.jobId = job.jobId;
    this.sourceGroup = start.sourceGroup;
    this.#start = start;
    this.#deps = deps;
    this.#stats = new DeliveryStats(deps.stats, job.jobId);
    this.#useFilter(job);
    const targets = deps.catalog.eventCursors.targets(job.jobId);
    this.#countedSeq = start.firstSeq;
    // Since targets of a job move apart, what the slowest has not acknowledged counts as asked for.
    if (targets.length > 0) this.#countedSeq = Math.min(...targets.map((t) => t.ackedSeq));
    for (const target of targets) this.#addLane(target);
  }

  get run(): number {
    return this.#deps.run;
  }

  get backends(): readonly BackendId[] {
    return [...this.#lanes.keys()];
  }

  matches(tableName: string): boolean {
    return this.#matches(tableName);
  }

  /** Everything up to `seq` of the log is done with, by all targets. */
  isPast(seq: number): boolean {
    if (this.#lanes.size === 0) return seq <= this.#start.firstSeq;
    return [...this.#lanes.values()].every((lane) => lane.isPast(seq));
  }

  /** New events may be there: counts them and sends them. */
  pump(): void {
    if (this.#closed) return;
    void this.#count();
    for (const lane of this.#lanes.values()) lane.pump();
  }

  async onProgress(progress: BatchProgress): Promise<void> {
    await this.#lanes.get(progress.backendId)?.onProgress(progress);
  }

  /** Follows the target's backends, asks for what is under way, sends; answers the WaitReason. */
  async tick(job: WarmUpJob): Promise<string> {
    this.altered(job);
    const { catalog } = this.#deps;
    await this.#limitBacklog();
    const names = new Set((await catalog.computeGroups.list()).map((group) => group.name));
    if (!names.has(job.dstGroup)) return `compute group '${job.dstGroup}' does not exist`;
    const members = (await catalog.backends.list())
      .filter((backend) => backend.computeGroupName === job.dstGroup)
      .map((backend) => backend.backendId);
    await this.#follow(members);
    if (this.#closed) return '';
    this.#giveOpenEventsOfDeadToOthers();
    this.pump();
    for (const lane of this.#lanes.values()) void lane.renew();
    return names.has(this.sourceGroup)
      ? this.#waitReason()
      : `compute group '${this.sourceGroup}' does not exist`;
  }

  /** The job as it is now; an older one, read before it was altered, changes nothing. */
  altered(job: WarmUpJob): void {
    if (job.version < this.#job.version) return;
    this.#job = job;
    this.#useFilter(job);
  }

  /** All that a later server, or a resumed job, needs; call it after every move, now and then. */
  moved(): EventTarget[] {
    const targets: EventTarget[] = [];
    for (const lane of this.#lanes.values()) {
      const now = this.#targetOf(lane);
      const before = this.#stored.get(now.backendId);
      if (before !== undefined && isSame(before, now)) continue;
      targets.push(now);
    }
    return targets;
  }

  stored(targets: readonly EventTarget[]): void {
    let settled = Infinity;
    for (const target of targets) this.#stored.set(target.backendId, target);
    for (const lane of this.#lanes.values()) settled = Math.min(settled, lane.ackedSeq);
    if (settled !== Infinity) this.#stats.settle(settled);
  }

  /** Rowsets of transactions from `txn` on are delivered once more, where they are missing. */
  async repeatFrom(txn: number): Promise<void> {
    const lastTxn = await this.#deps.catalog.eventCursors.newestTxn();
    const targets: EventTarget[] = [];
    for (const lane of this.#lanes.values()) {
      const before = this.#targetOf(lane);
      const after = before.state === 'LIVE' ? txn - 1 : Math.min(txn - 1, before.catchUpTxn);
      const state = 'CATCHING_UP';
      targets.push({ ...before, state, catchUpTxn: after, catchUpEnd: lastTxn });
    }
    await this.#restart(targets);
  }

  close(): void {
    this.#closed = true;
    for (const lane of this.#lanes.values()) lane.close();
  }

  #useFilter(job: WarmUpJob): void {
    const text = job.tableFilter;
    if (text === this.#filterText) return;
    this.#filterText = text;
    if (text === null) {
      this.#matches = () => true;
      return;
    }
    const matcher = compileTableFilter(readTableFilter(text));
    this.#matches = (name) => matcher.matches(name);
  }

  /** Counts events up to `seq`: none may be finished before it was asked for. */
  async #countTo(seq: number): Promise<void> {
    for (let before = -1; this.#countedSeq < seq && this.#countedSeq > before;) {
      before = this.#countedSeq;
      await this.#count();
    }
  }

  /** Counts new events as asked for, once each, whoever they go to. */
  #count(): Promise<void> {
    this.#counting ??= this.#countAll()
      .catch((error: unknown) => {
        this.#deps.log.warn('rowset events not counted', { error: String(error) });
      })
      .finally(() => {
        this.#counting = undefined;
      });
    return this.#counting;
  }

  async #countAll(): Promise<void> {
    const { source } = this.#deps;
    for (;;) {
      const events = source.events(this.sourceGroup, this.#countedSeq, EVENTS_PER_COUNT);
      for (const event of events) {
        if (event.txnId <= this.#start.firstTxn) await this.#beginEarlier(event.txnId);
        if (this.#matches(event.tableName)) {
          const { counts } = await source.countsOf(event);
          if (counts.segNum > 0) this.#stats.requested(event.seq, counts, event.createdMs);
        }
        this.#countedSeq = event.seq;
      }
      if (events.length < EVENTS_PER_COUNT) return;
      await nextTurn();
    }
  }

  /** A long transaction began before the job and ended after: who joins later wants it, too. */
  async #beginEarlier(txnId: number): Promise<void> {
    this.#start = { ...this.#start, firstTxn: txnId - 1 };
    await this.#deps.catalog.eventCursors.beginEarlier(this.jobId, txnId - 1);
  }

  // -------------------------------------------------------------------------------------------
  // Who gets what

  #home(tabletId: TabletId, members: readonly BackendId[] = this.backends): BackendId | undefined {
    return servingBackend(tabletId, members);
  }

  #serving(tabletId: TabletId): BackendId | undefined {
    return servingBackend(tabletId, this.#deps.registry.alive(this.#lanes.keys()));
  }

  #rule(backendId: BackendId): ScanRule {
    return {
      accepts: (tabletId) =>
        this.#home(tabletId) === backendId || this.#serving(tabletId) === backendId,
      matches: (tableName) => this.#matches(tableName),
    };
  }

  #addLane(target: EventTarget): void {
    const { catalog, config, registry, source, moved } = this.#deps;
    const { jobId, sourceGroup } = this;
    const { backendId, ackedSeq } = target;
    const rule = this.#rule(backendId);
    const deps: LaneDeps = {
      ...this.#deps,
      stats: this.#stats,
      epoch: catalog.epoch,
      leaseMs: () => config.get('warm_up_lease_ms'),
      isAlive: () => registry.isAlive(backendId),
      isHome: (tabletId) => this.#home(tabletId) === backendId,
      force: () => this.#job.force,
      countTo: async (seq) => {
        await this.#countTo(seq);
      },
      nextBatch: () => (this.#nextBatch += 1),
      failed: async (failures) => {
        await this.#failed(failures);
      },
      moved,
    };
    const log = new LogScan(source, { sourceGroup, after: ackedSeq, end: Infinity }, rule);
    const others = target.state === 'LIVE' ? [] : [this.#catchUp(target)];
    const lane = new DeliveryLane({ jobId, backendId, run: this.run }, deps, log, others);
    this.#lanes.set(backendId, lane);
    this.#stored.set(backendId, target);
  }

  #targetOf(lane: DeliveryLane): EventTarget {
    const { catchUp, ackedSeq } = lane;
    return {
      jobId: this.jobId,
      backendId: lane.target.backendId,
      ackedSeq,
      state: catchUp === undefined ? 'LIVE' : 'CATCHING_UP',
      catchUpTxn: catchUp?.acked ?? 0,
      catchUpEnd: catchUp?.lastTxn ?? 0,
    };
  }

  /**
   * Lanes for backends that joined. What those that left have not done goes to the others, and
   * what they had done, too: it was in their caches, and their tablets have other homes now.
   */
  async #follow(members: readonly BackendId[]): Promise<void> {
    const before = this.backends;
    const joined = members.filter((backendId) => !this.#lanes.has(backendId));
    const left = before.filter((backendId) => !members.includes(backendId));
    if (joined.length === 0 && left.length === 0) return;
    const { catalog } = this.#deps;
    const gone = left.flatMap((backendId) => this.#lanes.get(backendId) ?? []);
    const goneTargets = gone.map((lane) => this.#targetOf(lane));
    const staying = before.filter((backendId) => members.includes(backendId));
    // Behind the events of now, it catches up on what the job has delivered to the others.
    const ackedSeq = catalog.rowsetEvents.lastSeq(this.sourceGroup);
    const catchUpEnd = await catalog.eventCursors.newestTxn();
    const { jobId } = this;
    const { firstSeq, firstTxn } = this.#start;
    const heirs = left.length === 0 ? [] : staying;
    const changed = heirs.flatMap((backendId) => {
      const lane = this.#lanes.get(backendId);
      if (lane === undefined) return [];
      return [inherit(this.#targetOf(lane), goneTargets, { firstTxn, catchUpEnd })];
    });
    const isFresh = before.length === 0 && this.#hasAllEvents(ackedSeq);
    const added = joined.map((backendId): EventTarget => {
      const live = { state: 'LIVE', catchUpTxn: 0, catchUpEnd: 0 } as const;
      if (isFresh) return { jobId, backendId, ackedSeq: firstSeq, ...live };
      const state = 'CATCHING_UP';
      return { jobId, backendId, ackedSeq, state, catchUpTxn: firstTxn, catchUpEnd };
    });
    await catalog.eventCursors.save([...changed, ...added], goneTargets);
    if (this.#closed) return;
    for (const lane of gone) this.#remove(lane);
    for (const target of added) this.#addLane(target);
    for (const target of changed) this.#inherit(target, goneTargets, before);
  }

  /** Whether the log goes back to the job's beginning. */
  #hasAllEvents(lastSeq: number): boolean {
    const { firstSeq } = this.#start;
    if (lastSeq === firstSeq) return true;
    const [first] = this.#deps.catalog.rowsetEvents.after(this.sourceGroup, firstSeq, 1);
    return first?.seq === firstSeq + 1;
  }

  #remove(lane: DeliveryLane): void {
    lane.close();
    const { backendId } = lane.target;
    this.#lanes.delete(backendId);
    this.#stored.delete(backendId);
    this.#takenOver.delete(backendId);
  }

  /** Tablets whose home is gone: the others take them over, whole. */
  #inherit(target: EventTarget, gone: readonly EventTarget[], before: readonly BackendId[]): void {
    const lane = this.#lanes.get(target.backendId);
    if (lane === undefined) return;
    this.#stored.set(target.backendId, target);
    if (lane.catchUp !== undefined) {
      this.#remove(lane);
      this.#addLane(target);
      return;
    }
    const { accepts, matches } = this.#rule(target.backendId);
    const old = new Set(gone.map(({ backendId }) => backendId));
    const rule: ScanRule = {
      matches,
      accepts: (tabletId) => {
        const home = this.#home(tabletId, before);
        return home !== undefined && old.has(home) && accepts(tabletId);
      },
    };
    const after = Math.min(...gone.map(({ ackedSeq }) => ackedSeq));
    if (after < lane.log.position) lane.add(this.#takeOver(after, lane.log.position, rule));
    lane.add(this.#catchUp(target, rule));
  }

  /** From where the dead stopped, whoever serves its tablets now gets their rowsets, too. */
  #giveOpenEventsOfDeadToOthers(): void {
    const { registry } = this.#deps;
    for (const dead of this.#lanes.values()) {
      const { backendId } = dead.target;
      if (registry.isAlive(backendId)) {
        this.#takenOver.delete(backendId);
        continue;
      }
      if (this.#takenOver.has(backendId) || registry.mayBeStarting(backendId)) continue;
      if (registry.alive(this.#lanes.keys()).length === 0) continue;
      this.#takenOver.add(backendId);
      for (const lane of this.#lanes.values()) {
        const to = lane.target.backendId;
        if (lane === dead || !registry.isAlive(to) || dead.ackedSeq >= lane.log.position) continue;
        const rule: ScanRule = {
          matches: (tableName) => this.#matches(tableName),
          accepts: (tabletId) =>
            this.#home(tabletId) === backendId && this.#serving(tabletId) === to,
        };
        lane.add(this.#takeOver(dead.ackedSeq, lane.log.position, rule));
      }
    }
  }

  #takeOver(after: number, end: number, rule: ScanRule): LogScan {
    const { sourceGroup } = this;
    return new LogScan(this.#deps.source, { sourceGroup, after, end }, rule);
  }

  #catchUp(
    { backendId, catchUpTxn, catchUpEnd }: EventTarget,
    rule: ScanRule = this.#rule(backendId),
  ): CatalogScan {
    const { sourceGroup } = this;
    const from = { sourceGroup, after: catchUpTxn, lastTxn: catchUpEnd };
    return new CatalogScan(this.#deps.source, from, rule);
  }

  /** Targets that are too far behind read the catalog instead: the log need not grow for them. */
  async #limitBacklog(): Promise<void> {
    const { catalog, config } = this.#deps;
    const lastSeq = catalog.rowsetEvents.lastSeq(this.sourceGroup);
    const limit = config.get('warm_up_event_backlog_max');
    const targets = [...this.#lanes.values()]
      .filter((lane) => lastSeq - lane.ackedSeq > limit)
      .map((lane) => this.#targetOf(lane));
    if (targets.length === 0) return;
    const lastTxn = await catalog.eventCursors.newestTxn();
    await this.#restart(targets.map((target) => skipBacklog(target, lastSeq, lastTxn, catalog)));
  }

  /** Lanes begin anew from these targets. */
  async #restart(targets: readonly EventTarget[]): Promise<void> {
    await this.#deps.catalog.eventCursors.save(targets);
    if (this.#closed) return;
    for (const target of targets) {
      const lane = this.#lanes.get(target.backendId);
      if (lane === undefined) continue;
      this.#remove(lane);
      this.#addLane(target);
    }
  }

  // -------------------------------------------------------------------------------------------

  async #failed(failures: readonly WarmUpFailure[]): Promise<void> {
    if (failures.length === 0) return;
    const { catalog, log } = this.#deps;
    const { jobId, run } = this.#job;
    await catalog.warmUpBatches.addFailures(jobId, run, failures);
    const [first] = failures;
    log.warn('rowsets could not be warmed', { jobId, count: failures.length, ...first });
  }

  #waitReason(): string {
    const { registry } = this.#deps;
    const lanes = [...this.#lanes.values()];
    if (registry.alive(this.#lanes.keys()).length === 0) {
      return `compute group '${this.#job.dstGroup}' has no alive backend`;
    }
    for (const lane of lanes) {
      const { backendId } = lane.target;
      if (registry.isAlive(backendId)) continue;
      const silent = registry.status(backendId)?.error ?? 'no heartbeat';
      return `backend ${backendId}: ${silent}`;
    }
    return lanes.some((lane) => lane.open > 0 && lane.throttled) ? 'throttled' : '';
  }
}
