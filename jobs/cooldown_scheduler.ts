/**
 * Who uploads which tablet: elections and pushes, level-triggered. A tablet is looked at when
 * something about it has changed, and all of them once a minute or longer; what it needs is decided
 * anew each time (`cooldown_decision.ts`) and becomes a job of at most 100 tablets. What does not fit
 * into the queue waits for a later round.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, JobId, ReplicaId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { CooldownConf } from '../base/replica.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { COOLDOWN_JOB_TABLETS_MAX, type CooldownJob, type Election } from '../catalog/cooldown.ts';
import { BackendLiveness } from './backend_liveness.ts';
import type { BackendRegistry } from './backend_registry.ts';
import {
  type Decision,
  type DecisionTerms,
  type TabletView,
  TabletViews,
  decide,
  electionOf,
  impossibleTerms,
  whyNotLead,
} from './cooldown_decision.ts';
import { CooldownJobs } from './cooldown_jobs.ts';
import { CooldownNow } from './cooldown_now.ts';
import { CooldownPush } from './cooldown_push.ts';
import { CooldownSweep } from './cooldown_sweep.ts';
import type { ReplicaBoard } from './replica_board.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';

const TICK_MS = 1000;
/** A tablet without an eligible replica is looked at again after this: when a report may help, */
const WAIT_FOR_REPORT_MS = 5000;
/** and when something must happen that is noticed anyway. */
const WAIT_MS = 30_000;
/** Tablets with replicas that are being made or copied are looked at so often. */
const UNMADE_MS = 5000;
/** Tablets of a cancelled job get no other one before. */
const CANCELLED_PAUSE_MS = 60_000;
/** A tablet is not pushed again sooner, whatever its replicas say. */
const PUSH_PAUSE_MS = 5000;
/** Between two requests to one backend to report now. */
const ASK_MS = 5000;
/** How long a statement waits for a report of a replica, and how often it looks. */
const REPORT_WAIT_MS = 5000;
const REPORT_POLL_MS = 100;
/** Tablets between two turns of the event loop. */
const TABLETS_PER_TURN = 500;
/** Final jobs that are kept, and how many are forgotten per tick. */
const JOBS_KEPT_MAX = 1000;
const EXPIRE_PER_TICK = 50;
/** Impossible terms that are remembered, to tell each once. */
const TOLD_MAX = 10_000;
const CALL_TIMEOUT_MS = 5000;

export interface CooldownDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: BackendRegistry;
  readonly transport: AgentTransport;
  readonly board: ReplicaBoard;
  /** Of queries: what they read is not collected. */
  readonly holds: SnapshotHolds;
}

interface Waiting {
  readonly why: string;
  /** What a replica must have reported to be elected; undefined: whatever is visible then. */
  readonly version: number | undefined;
  /** On the monotonic clock. */
  readonly untilMs: number;
}

interface Wanted {
  readonly elections: Election[];
  readonly pushes: CooldownConf[];
  readonly reasons: Set<string>;
}

/** Since the server started, for the metrics. */
export interface CooldownCounts {
  elections: number;
  /** Replicas that knew a term which the catalog did not have; must stay 0. */
  impossibleTerms: number;
}

export class CooldownScheduler {
  readonly counts: CooldownCounts = { elections: 0, impossibleTerms: 0 };
  readonly push: CooldownPush;
  readonly #deps: CooldownDeps;
  readonly liveness: BackendLiveness;
  readonly #jobs: CooldownJobs;
  readonly #now: CooldownNow;
  readonly #sweep: CooldownSweep;
  /** To be looked at. */
  readonly #dirty = new Set<TabletId>();
  readonly #waiting = new Map<TabletId, Waiting>();
  /** When a job of the tablet ended, on the monotonic clock, until all have the term. */
  readonly #pushedMs = new Map<TabletId, number>();
  /** Tablets with replicas that are being made or copied. */
  readonly #unmade = new Set<TabletId>();
  #unmadeMs = -Infinity;
  readonly #askedMs = new Map<BackendId, number>();
  /** Dead for long enough; their tablets were looked at then. */
  readonly #longDead = new Set<BackendId>();
  readonly #told = new Set<string>();
  readonly #stopListening: (() => void)[] = [];
  #stopTimer: () => void = () => undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  #isLoaded = false;
  #closed = false;

  constructor(deps: CooldownDeps) {
    this.#deps = deps;
    this.liveness = new BackendLiveness(deps.registry, deps.clock);
    const shared = { ...deps, liveness: this.liveness };
    this.push = new CooldownPush(shared);
    this.#now = new CooldownNow(shared);
    this.#sweep = new CooldownSweep(deps);
    this.#jobs = new CooldownJobs({
      ...deps,
      push: this.push,
      ended: (job, tablets) => {
        this.#jobEnded(job, tablets);
      },
    });
  }

  start(): void {
    const { board, catalog, config, log } = this.#deps;
    if (!config.get('cooldown_single_remote_file')) {
      log.warn('cooldown_single_remote_file=false does nothing: one replica uploads, always');
    }
    this.#stopListening.push(
      board.onChange(({ tablets }) => {
        for (const tabletId of tablets) this.#dirty.add(tabletId);
        this.wake();
      }),
      catalog.onTableChange((change) => {
        if (!('tableId' in change)) return;
        for (const { tabletId } of catalog.tablets.ofTable(change.tableId)) {
          this.#dirty.add(tabletId);
        }
        this.wake();
      }),
    );
    this.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    for (const stop of this.#stopListening) stop();
    await this.#ticking;
    await this.#jobs.close();
  }

  /** Runs a tick soon. */
  wake(): void {
    if (this.#closed) return;
    if (this.#ticking !== undefined) {
      this.#tickAgain = true;
      return;
    }
    this.#stopTimer();
    this.#ticking = this.#tick();
  }

  /** Resolves when nothing is being decided or sent; for tests. */
  async idle(): Promise<void> {
    do {
      await this.#ticking;
      await this.#jobs.idle();
    } while (this.#ticking !== undefined || this.#jobs.isStepping);
  }

  /** What the server waits for with this tablet, in words; '' for nothing. */
  waitsFor(tabletId: TabletId): string {
    const job = this.#jobs.of(tabletId);
    if (job !== undefined) return `cooldown job ${job.jobId} (${job.state})`;
    return this.#waiting.get(tabletId)?.why ?? '';
  }

  /** The job that has the tablet in its hands. */
  jobOf(tabletId: TabletId): CooldownJob | undefined {
    return this.#jobs.of(tabletId);
  }

  /** Replicas that do not have the job's terms yet; undefined: it is over. */
  unconfirmed(jobId: JobId): number | undefined {
    return this.#jobs.unconfirmed(jobId);
  }

  /** Whether its leadership is on its way: then nothing of it may be collected. */
  isBusy(tabletId: TabletId): boolean {
    return this.#jobs.of(tabletId) !== undefined || this.#dirty.has(tabletId);
  }

  /** Throws COOLDOWN_NO_JOB. */
  async cancel(jobId: JobId, reason: string): Promise<void> {
    await this.#jobs.cancel(jobId, reason);
  }

  /** Cools these tablets as soon as they have a leader, whatever is due when. */
  coolNow(tablets: readonly TabletId[]): void {
    this.#now.add(tablets);
    for (const tabletId of tablets) {
      this.#waiting.delete(tabletId);
      this.#dirty.add(tabletId);
    }
    this.wake();
  }

  /**
   * A new term for this replica. One that has only not reported yet what was visible when it was
   * asked for is waited for. Throws COOLDOWN_LEADER.
   */
  async setLeader(tabletId: TabletId, replicaId: ReplicaId): Promise<CooldownJob> {
    const { clock } = this.#deps;
    const refuse = (why: string): never => {
      throw new SqlError('COOLDOWN_LEADER', { tablet: tabletId, replica: replicaId, why });
    };
    const untilMs = clock.monotonic() + REPORT_WAIT_MS;
    let version: number | undefined;
    for (;;) {
      const view = await new TabletViews({ ...this.#deps, liveness: this.liveness }).of(tabletId);
      if (view === undefined) return refuse('there is no such tablet of a replicated table');
      if (view.replicas.every((replica) => replica.replicaId !== replicaId)) {
        return refuse('the tablet has no such replica');
      }
      // Loads that go on would keep it behind for ever.
      version ??= view.partition.visibleVersion;
      const terms = { version, ...this.#terms(tabletId) };
      const decision = electionOf(view, 'it was asked for', terms, replicaId);
      if (decision.kind === 'ELECT') {
        const { election, reason } = decision;
        const wanted = { elections: [election], pushes: [], reasons: new Set([reason]) };
        const job = await this.#make(wanted);
        if (job === undefined) return refuse('another one was elected meanwhile');
        this.wake();
        return job;
      }
      const ask = decision.kind === 'WAIT' ? decision.ask : [];
      if (this.#closed || ask.length === 0 || clock.monotonic() >= untilMs) {
        const replica = view.replicas.find((one) => one.replicaId === replicaId);
        return refuse(replica === undefined ? '' : whyNotLead(replica, version));
      }
      this.#askToReport(ask);
      await clock.sleep(REPORT_POLL_MS);
    }
  }

  async #tick(): Promise<void> {
    const { clock, log } = this.#deps;
    this.#tickAgain = false;
    try {
      if (!this.#isLoaded) await this.#jobs.load();
      this.#isLoaded = true;
      await this.#lookAtBackends();
      await this.#sweep.tick((tabletId) => this.#dirty.add(tabletId));
      this.#endWaits();
      await this.#decideDirty();
      this.#jobs.step();
      this.#now.send();
      await this.#expire();
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      if (!this.#closed) log.error('a round of cooldown elections failed', { stack });
    } finally {
      this.#ticking = undefined;
      if (this.#tickAgain) this.wake();
      else if (!this.#closed) {
        this.#stopTimer = clock.after(TICK_MS, () => {
          this.wake();
        });
      }
    }
  }

  /** A backend that died or came back, or has been dead for long: what it has is looked at. */
  async #lookAtBackends(): Promise<void> {
    const { board, catalog } = this.#deps;
    const reported = board.backends();
    const backends = (await catalog.backends.list()).map(({ backendId }) => backendId);
    const known = new Set(backends);
    for (const backendId of reported) if (!known.has(backendId)) board.forget(backendId);
    const turned = new Set(this.liveness.look(backends));
    for (const backendId of backends) {
      const isLong = this.liveness.deadMs(backendId) >= this.#leaderDeadMs();
      if (isLong && !this.#longDead.has(backendId)) turned.add(backendId);
      if (isLong) this.#longDead.add(backendId);
      else this.#longDead.delete(backendId);
    }
    if (!this.#sweep.hasBegun) return;
    for (const backendId of turned) {
      for (const { tabletId } of catalog.replicas.ofBackend(backendId)) {
        this.#dirty.add(tabletId);
        this.#waiting.delete(tabletId);
      }
    }
  }

  #endWaits(): void {
    const now = this.#deps.clock.monotonic();
    if (now - this.#unmadeMs >= UNMADE_MS) {
      this.#unmadeMs = now;
      for (const tabletId of this.#unmade) this.#dirty.add(tabletId);
    }
    for (const [tabletId, { untilMs }] of this.#waiting) {
      if (untilMs <= now) this.#dirty.add(tabletId);
    }
  }

  async #decideDirty(): Promise<void> {
    const views = new TabletViews({ ...this.#deps, liveness: this.liveness });
    let wanted = nothingWanted();
    let seen = 0;
    let room = this.#jobs.room;
    for (const tabletId of this.#dirty) {
      if (this.#closed || room === 0) break;
      this.#dirty.delete(tabletId);
      if (this.#jobs.of(tabletId) !== undefined || this.#isPaused(tabletId)) continue;
      await this.#look(tabletId, views, wanted);
      if (wanted.elections.length + wanted.pushes.length >= COOLDOWN_JOB_TABLETS_MAX) {
        await this.#make(wanted);
        wanted = nothingWanted();
        room -= 1;
        this.#jobs.step();
      }
      seen += 1;
      if (seen % TABLETS_PER_TURN === 0) await nextTurn();
    }
    await this.#make(wanted);
  }

  async #look(tabletId: TabletId, views: TabletViews, wanted: Wanted): Promise<void> {
    const view = await views.of(tabletId);
    if (view === undefined) {
      this.#unmade.delete(tabletId);
      this.#waiting.delete(tabletId);
      this.#pushedMs.delete(tabletId);
      return;
    }
    this.#tellImpossible(view);
    // Nothing tells when the catalog has it as NORMAL.
    const isMade = view.replicas.every(({ state }) => state !== 'CREATING' && state !== 'CLONING');
    if (isMade) this.#unmade.delete(tabletId);
    else this.#unmade.add(tabletId);
    const decision = decide(view, this.#terms(tabletId));
    if (decision.kind !== 'WAIT') this.#waiting.delete(tabletId);
    switch (decision.kind) {
      case 'NONE':
        this.#pushedMs.delete(tabletId);
        return;
      case 'PUSH':
        if (this.#wasPushed(tabletId)) return;
        wanted.pushes.push(decision.conf);
        wanted.reasons.add(decision.reason);
        return;
      case 'ELECT':
        wanted.elections.push(decision.election);
        wanted.reasons.add(decision.reason);
        this.#sweep.elected(tabletId, decision.election.before?.replicaId, decision.backendId);
        return;
      case 'WAIT':
        this.#wait(tabletId, decision);
    }
  }

  /** A moment ago: then it waits. A backend may have lost the replica, or forgotten what it said. */
  #wasPushed(tabletId: TabletId): boolean {
    const untilMs = (this.#pushedMs.get(tabletId) ?? -Infinity) + PUSH_PAUSE_MS;
    if (untilMs <= this.#deps.clock.monotonic()) return false;
    const why = 'a replica does not have the term though it was told';
    this.#waiting.set(tabletId, { why, version: undefined, untilMs });
    return true;
  }

  #wait(tabletId: TabletId, { why, version, ask }: Extract<Decision, { kind: 'WAIT' }>): void {
    const now = this.#deps.clock.monotonic();
    this.#waiting.set(tabletId, {
      why,
      version,
      untilMs: now + (ask.length > 0 ? WAIT_FOR_REPORT_MS : WAIT_MS),
    });
    this.#askToReport(ask);
  }

  #askToReport(backends: readonly BackendId[]): void {
    const { clock, transport } = this.#deps;
    const now = clock.monotonic();
    for (const backendId of backends) {
      if (now - (this.#askedMs.get(backendId) ?? -Infinity) < ASK_MS) continue;
      this.#askedMs.set(backendId, now);
      // Whether it hears of this or not: it reports by itself, only later.
      transport
        .call(backendId, 'reportNow', {}, { timeoutMs: CALL_TIMEOUT_MS })
        .catch(() => undefined);
    }
  }

  async #make({ elections, pushes, reasons }: Wanted): Promise<CooldownJob | undefined> {
    const { config, log } = this.#deps;
    if (elections.length + pushes.length === 0) return undefined;
    const reason = [...reasons].toSorted().join('; ');
    const timeoutMs = config.get('push_cooldown_conf_timeout_second') * 1000;
    const job = await this.#jobs.create({ elections, pushes, reason, timeoutMs });
    if (job === undefined) return undefined;
    this.counts.elections += job.elected;
    const { jobId, tablets, elected } = job;
    log.info('a cooldown job was made', { jobId, tablets, elected, reason });
    return job;
  }

  #jobEnded({ state, errMsg }: CooldownJob, tablets: readonly TabletId[]): void {
    const now = this.#deps.clock.monotonic();
    const untilMs = now + CANCELLED_PAUSE_MS;
    for (const tabletId of tablets) {
      this.#dirty.add(tabletId);
      this.#pushedMs.set(tabletId, now);
      if (state !== 'CANCELLED') continue;
      const why = `its cooldown job was cancelled: ${errMsg}`;
      this.#waiting.set(tabletId, { why, version: undefined, untilMs });
    }
    this.wake();
  }

  /** After a cancelled job; one that waits for a leader is looked at whenever something changes. */
  #isPaused(tabletId: TabletId): boolean {
    const waiting = this.#waiting.get(tabletId);
    if (waiting === undefined || waiting.version !== undefined) return false;
    return waiting.untilMs > this.#deps.clock.monotonic();
  }

  #terms(tabletId: TabletId): DecisionTerms {
    const version = this.#waiting.get(tabletId)?.version;
    return {
      leaderDeadMs: this.#leaderDeadMs(),
      leadsOf: (backendId) => this.#sweep.leadsOf(backendId),
      ...(version === undefined ? {} : { version }),
    };
  }

  #leaderDeadMs(): number {
    return this.#deps.config.get('cooldown_leader_dead_seconds') * 1000;
  }

  /** Once for each term of a tablet: it ends with the higher term that follows. */
  #tellImpossible(view: TabletView): void {
    const { tabletId, lead } = view;
    for (const { backendId, has } of impossibleTerms(view)) {
      const key = `${tabletId} ${backendId} ${has?.term}`;
      if (this.#told.has(key)) continue;
      if (this.#told.size >= TOLD_MAX) this.#told.clear();
      this.#told.add(key);
      this.counts.impossibleTerms += 1;
      const what = has?.term === lead?.term ? 'another leader in this term' : 'a term of its own';
      this.#deps.log.error(`corruption: a backend has ${what}`, {
        tabletId,
        backendId,
        has,
        catalog: lead,
      });
    }
  }

  async #expire(): Promise<void> {
    const { catalog, clock, config } = this.#deps;
    const beforeMs = clock.now() - config.get('history_job_keep_max_second') * 1000;
    await catalog.cooldown.expire(beforeMs, JOBS_KEPT_MAX, EXPIRE_PER_TICK);
  }
}

function nothingWanted(): Wanted {
  return { elections: [], pushes: [], reasons: new Set<string>() };
}
