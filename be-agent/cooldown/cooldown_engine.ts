/**
 * Moves cold tablets of a backend to the resources of their policies: as a leader uploads and
 * publishes, as a follower takes over what the leader has published. What is true is in agent.db
 * and in the resource; the engine's memory is only about when to look next.
 */
import type { ConfOutcome, FrontendPort } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import type { BackendId, ResourceId, TabletId } from '../../base/ids.ts';
import type { Clock, Log, ObjectStore, Random } from '../../base/ports.ts';
import type { AgentPolicy, CooldownConf } from '../../base/replica.ts';
import type { LocalSegments } from '../replica/local_segments.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import type { CooldownStatus } from '../replica/report_rows.ts';
import { type Plan, coldnessOf, isLeader, planOf, resourceOf, statusOf } from './cooldown_plan.ts';
import { LeadBatch } from './lead_batch.ts';
import { CooldownResources } from './cooldown_resources.ts';
import { type CooldownCounts, newCounts } from './counts.ts';
import { CooldownFailure, isFailure } from './failure.ts';
import { byUrgency, cooledVersionOf } from './pick.ts';
import { SegmentUploads } from './segment_uploads.ts';
import { type TurnOf, TabletCooling } from './tablet_cooling.ts';
import { type Control, failed, freshen, newControl, succeeded } from './tablet_control.ts';
import { TabletTurns } from './turns.ts';

/** Tablets looked at before other work of the thread gets its turn. */
const TABLETS_WITHOUT_PAUSE = 2000;
/** Looks come so rarely that there are no more replicas looked at than these. */
const LOOKED_AT_PER_MS = 100;
/** Changes that come together (a load's tablets) are looked at together. */
const WAKE_PAUSE_MS = 100;
/** A tablet rests at most one part of so many of its time. */
const REST_EVERY = 10;
/** A changed conf waits so long for the tablet's turn; the server hears of it by the report then. */
const CONF_WAIT_MS = 10_000;

export interface CooldownEngineOptions {
  readonly backendId: BackendId;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly resource: (resourceId: ResourceId) => Promise<ObjectStore>;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontend: FrontendPort;
  /** See CooldownResources. */
  readonly clusterId?: string;
  /** See CooldownResources; without it every store is tried once. */
  readonly isConditional?: (store: ObjectStore) => Promise<boolean>;
  /** Of leaders on stores without conditional writes; without it there is no lease. */
  readonly leaseLeftMs?: () => number;
}

type Work = Exclude<Plan, { kind: 'NOTHING' }> & { readonly tabletId: TabletId };
type Lane = Work['kind'];

export class CooldownEngine {
  readonly counts: CooldownCounts = newCounts();
  /** Clones and whatever else must not meet a turn of cooldown hold it, too. */
  readonly turns = new TabletTurns();
  readonly resources: CooldownResources;
  readonly cooling: TabletCooling;
  readonly uploads: SegmentUploads;
  readonly #options: CooldownEngineOptions;
  readonly #leads: LeadBatch;
  readonly #controls = new Map<TabletId, Control>();
  readonly #running = new Map<Lane, Map<TabletId, Promise<void>>>([
    ['LEAD', new Map()],
    ['FOLLOW', new Map()],
  ]);
  readonly #pending = new Map<Lane, Work[]>();
  #policies: Map<number, AgentPolicy> | undefined;
  #stopTimer: () => void = () => undefined;
  /** Monotonic milliseconds of the next look. */
  #wakeAt = Number.POSITIVE_INFINITY;
  /** End of the last look, monotonic milliseconds. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking = false;
  #lookAgain = false;
  #stopListening: () => void = () => undefined;
  #isClosed = false;

  constructor(options: CooldownEngineOptions) {
    this.#options = options;
    const { store, local, config, clock, random, log, isConditional, clusterId } = options;
    const leaseLeftMs = options.leaseLeftMs ?? ((): number => Number.POSITIVE_INFINITY);
    const probing = isConditional === undefined ? {} : { isConditional };
    const owner = clusterId === undefined ? {} : { clusterId };
    const open = options.resource;
    this.resources = new CooldownResources({ open, random, leaseLeftMs, ...probing, ...owner });
    const { counts } = this;
    this.#leads = new LeadBatch(store);
    this.uploads = new SegmentUploads({ local: local.store, config, clock, log, counts });
    const { uploads } = this;
    this.cooling = new TabletCooling({ store, local, uploads, clock, log, counts });
  }

  start(): void {
    const { config, store } = this.#options;
    const stops = [
      store.onChange((tabletId) => {
        this.#changed(tabletId);
      }),
      config.onChange((key) => {
        // Whoever waits has waited by the interval of before.
        if (key === 'generate_cooldown_task_interval_sec') this.#wakeIn(0);
        if (key === 'cooldown_thread_num')
          for (const lane of this.#running.keys()) this.#pump(lane);
      }),
    ];
    this.#stopListening = () => {
      for (const stop of stops) stop();
    };
    this.#wakeIn(0);
  }

  /** Nothing begins any more; resolves when what was running has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopTimer();
    this.#stopListening();
    await this.turns.close(new CooldownFailure('NOT_READY', 'the backend stops'));
  }

  /**
   * Larger terms are durable when it resolves, and no operation by an older one goes on. A tablet
   * whose running operation does not end in time is left out; the server hears of it by a report.
   */
  async pushConf(confs: readonly CooldownConf[]): Promise<readonly ConfOutcome[]> {
    const outcomes = await Promise.all(confs.map(async (conf) => await this.#pushOne(conf)));
    return outcomes.filter((outcome) => outcome !== undefined);
  }

  /** All that these tablets have now is cold, whatever their policies say. Forgotten by a restart. */
  coolNow(tabletIds: readonly TabletId[]): void {
    for (const tabletId of tabletIds) {
      const replica = this.#options.store.get(tabletId);
      if (replica === undefined) continue;
      const control = this.#controlOf(replica);
      control.forcedVersion = replica.version;
      freshen(control);
    }
    this.#wakeIn(0);
  }

  /** Of those that others lead, something new is published. */
  followNow(tabletIds: readonly TabletId[]): void {
    for (const tabletId of tabletIds) {
      const replica = this.#options.store.get(tabletId);
      if (replica !== undefined && !this.leads(replica)) freshen(this.#controlOf(replica));
    }
    this.#wakeIn(0);
  }

  /**
   * The tablet has no policy any more, this replica nothing that is cooled, and others have: the
   * list is in this resource. Forgotten by a restart; the server says it again after a report.
   */
  followIn(tabletId: TabletId, resourceId: ResourceId): void {
    const replica = this.#options.store.get(tabletId);
    if (replica === undefined) return;
    this.#controlOf(replica).resourceId = resourceId;
    this.lookAgain(tabletId);
  }

  /** Policies have changed. */
  policiesChanged(): void {
    this.#policies = undefined;
    this.#wakeIn(0);
  }

  /** Tablets that are worked on now. */
  running(lane: Lane): number {
    return this.#running.get(lane)?.size ?? 0;
  }

  /** undefined: no such replica here. */
  stateOf(tabletId: TabletId): CooldownStatus | undefined {
    const replica = this.#options.store.get(tabletId);
    if (replica === undefined) return undefined;
    return statusOf({
      replica,
      control: this.#controlOf(replica),
      policy: this.policyOf(replica),
      nowMs: this.#options.clock.now(),
      isRunning: this.#isRunning(tabletId),
      isBusy: this.isBusy(tabletId),
    });
  }

  /** Whether an operation on the tablet is on its way: nothing of it may be collected. */
  isBusy(tabletId: TabletId): boolean {
    return this.turns.isBusy(tabletId);
  }

  /** The replica's policy; undefined: it has none, or the server has not sent it yet. */
  policyOf({ policyId }: ReplicaState): AgentPolicy | undefined {
    if (policyId === undefined) return undefined;
    const known = this.#policies?.get(policyId);
    if (known !== undefined) return known;
    this.#policies = new Map(
      this.#options.store.policies().map((policy) => [policy.policyId, policy]),
    );
    return this.#policies.get(policyId);
  }

  /**
   * Ends what goes on with these tablets. Before replicas are dropped: what was still on its way to
   * the resource would outlive the deletion of their objects.
   */
  async quiesce(tabletIds: readonly TabletId[]): Promise<void> {
    const reason = new CooldownFailure('NOT_READY', 'the replica is dropped');
    const busy = tabletIds.filter((tabletId) => this.turns.isBusy(tabletId));
    for (const tabletId of busy) this.turns.interrupt(tabletId, reason);
    await Promise.all(busy.map(async (tabletId) => await this.turns.hold(tabletId, nothing)));
  }

  /** Where its cooled data is or will be; undefined: nowhere. */
  resourceOf(replica: ReplicaState): ResourceId | undefined {
    return resourceOf(replica, this.policyOf(replica));
  }

  /** Its next turn comes now, whatever was planned. */
  lookAgain(tabletId: TabletId): void {
    const replica = this.#options.store.get(tabletId);
    if (replica === undefined) return;
    const control = this.#controlOf(replica);
    freshen(control);
    control.settledTerm = 0;
    this.#wakeIn(0);
  }

  /**
   * Publishes nothing of these tablets for so long, so that their followers catch up and the server
   * can confirm what is unused: with loads that go on they are behind each time they are looked at.
   * Most of the time goes to cooling all the same, however often this is asked for.
   */
  rest(tabletIds: readonly TabletId[], ms: number): void {
    const { store, clock } = this.#options;
    const now = clock.monotonic();
    for (const tabletId of tabletIds) {
      const replica = store.get(tabletId);
      if (replica === undefined || !this.leads(replica)) continue;
      const control = this.#controlOf(replica);
      if (now - control.restedAt < REST_EVERY * ms) continue;
      control.restedAt = now;
      control.restsUntil = now + ms;
      control.notBefore = Math.max(control.notBefore, now + ms);
      control.waits = 'its followers to catch up, for the collection of unused objects';
    }
  }

  /** Whether nothing that is not urgent should be published of it. */
  isResting(replica: ReplicaState): boolean {
    return this.#controlOf(replica).restsUntil > this.#options.clock.monotonic();
  }

  /** Whether this replica leads by what it knows. */
  leads(replica: ReplicaState): boolean {
    return isLeader(replica, this.#controlOf(replica));
  }

  async #pushOne(conf: CooldownConf): Promise<ConfOutcome | undefined> {
    const { store, clock } = this.#options;
    const { tabletId } = conf;
    const known = store.get(tabletId)?.lead;
    // Only a larger term changes anything.
    if (known !== undefined && known.term >= conf.term) return store.setLead(conf);
    if (store.get(tabletId) === undefined) return { tabletId, outcome: 'MISSING' };
    const reason = new CooldownFailure('NOT_READY', `term ${conf.term} has come`);
    this.turns.interrupt(tabletId, reason);
    const { promise: late, resolve: isLate } = Promise.withResolvers<undefined>();
    const stopTimer = clock.after(CONF_WAIT_MS, () => {
      isLate(undefined);
    });
    const setting = this.turns.hold(tabletId, async () => await this.#setLead(conf));
    setting.catch(() => undefined);
    try {
      return await Promise.race([setting, late]);
    } finally {
      stopTimer();
    }
  }

  async #setLead(conf: CooldownConf): Promise<ConfOutcome> {
    const { store, log } = this.#options;
    const outcome = await this.#leads.set(conf);
    const { tabletId, replicaId, term } = conf;
    if (outcome.outcome === 'CONFLICT') {
      log.error('two replicas for one term', { tabletId, term, replicaId, known: outcome.lead });
    }
    if (outcome.outcome !== 'ACCEPTED') return outcome;
    // Journaled by the server, and as many as there are replicas.
    log.debug('a leader for a tablet', { tabletId, replicaId, term });
    const replica = store.get(tabletId);
    if (replica !== undefined) freshen(this.#controlOf(replica));
    this.#wakeIn(0);
    return outcome;
  }

  #controlOf({ tabletId, replicaId }: ReplicaState): Control {
    const known = this.#controls.get(tabletId);
    if (known?.replicaId === replicaId) return known;
    const control = newControl(replicaId);
    this.#controls.set(tabletId, control);
    return control;
  }

  #isRunning(tabletId: TabletId): boolean {
    return [...this.#running.values()].some((lane) => lane.has(tabletId));
  }

  // -------------------------------------------------------------------------------------------
  // When to look

  #changed(tabletId: TabletId): void {
    const replica = this.#options.store.get(tabletId);
    if (replica === undefined) {
      this.#controls.delete(tabletId);
      this.turns.interrupt(tabletId, new CooldownFailure('NOT_READY', 'the replica was dropped'));
      return;
    }
    // Its own turn ends with a look of its own.
    if (this.#isRunning(tabletId)) return;
    const plan = this.#plan(replica);
    if (plan.kind !== 'NOTHING') this.#wakeIn(Math.max(plan.inMs, WAKE_PAUSE_MS));
  }

  #plan(replica: ReplicaState): Plan {
    const { clock, config } = this.#options;
    return planOf({
      replica,
      control: this.#controlOf(replica),
      policy: this.policyOf(replica),
      nowMs: clock.now(),
      monotonicMs: clock.monotonic(),
      intervalMs: config.get('generate_cooldown_task_interval_sec') * 1000,
      replicas: this.#options.store.size,
    });
  }

  /** Looks in `ms`, or earlier when that was planned. */
  #wakeIn(ms: number): void {
    if (this.#isClosed) return;
    const { clock, config } = this.#options;
    const intervalMs = config.get('generate_cooldown_task_interval_sec') * 1000;
    // A look at 100,000 replicas takes some 0.2 s: no more than one a second.
    const restMs = this.#lookedAt + this.#options.store.size / LOOKED_AT_PER_MS - clock.monotonic();
    const inMs = Math.min(Math.max(0, ms, restMs), intervalMs);
    const at = clock.monotonic() + inMs;
    if (at >= this.#wakeAt) return;
    this.#stopTimer();
    this.#wakeAt = at;
    this.#stopTimer = clock.after(inMs, () => {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      void this.#look();
    });
  }

  /** Finds what may begin and when the next may; one at a time. */
  async #look(): Promise<void> {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    try {
      do {
        this.#lookAgain = false;
        await this.#lookOnce();
      } while (this.#lookAgain && !this.#isClosed);
    } catch (error) {
      this.#options.log.error('looking for cold tablets failed', { error: String(error) });
      this.#wakeIn(Number.POSITIVE_INFINITY);
    } finally {
      this.#looking = false;
    }
  }

  async #lookOnce(): Promise<void> {
    const { store, clock } = this.#options;
    // An altered one may have come meanwhile.
    this.#policies = undefined;
    const ready: Work[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    let looked = 0;
    for (const { tabletId } of store.list()) {
      looked += 1;
      if (looked % TABLETS_WITHOUT_PAUSE === 0) await clock.sleep(0);
      if (this.#isClosed) return;
      // It may have been dropped or changed in the pause.
      const replica = store.get(tabletId);
      if (replica === undefined || this.#isRunning(tabletId)) continue;
      const plan = this.#plan(replica);
      if (plan.kind === 'NOTHING') continue;
      if (plan.inMs <= 0) ready.push({ ...plan, tabletId });
      else nextMs = Math.min(nextMs, plan.inMs);
    }
    ready.sort(byUrgency);
    for (const lane of this.#running.keys()) {
      this.#pending.set(
        lane,
        ready.filter(({ kind }) => kind === lane),
      );
      this.#pump(lane);
    }
    this.#lookedAt = clock.monotonic();
    this.#wakeIn(nextMs);
  }

  /** Begins what the lane has room for. Followers have their own, so that no upload keeps them. */
  #pump(lane: Lane): void {
    const running = this.#running.get(lane);
    const pending = this.#pending.get(lane);
    if (running === undefined || pending === undefined) return;
    const limit = this.#options.config.get('cooldown_thread_num');
    while (!this.#isClosed && running.size < limit) {
      const work = pending.shift();
      if (work === undefined) return;
      if (this.#isRunning(work.tabletId)) continue;
      running.set(work.tabletId, this.#run(lane, work));
    }
  }

  async #run(lane: Lane, work: Work): Promise<void> {
    const { store, log } = this.#options;
    const { tabletId } = work;
    try {
      await this.#turn(work);
      this.#running.get(lane)?.delete(tabletId);
      const replica = store.get(tabletId);
      const plan = replica === undefined ? undefined : this.#plan(replica);
      if (plan !== undefined && plan.kind !== 'NOTHING') this.#wakeIn(plan.inMs);
    } catch (error) {
      log.error('a turn of cooldown ended unexpectedly', { tabletId, error: String(error) });
    } finally {
      this.#running.get(lane)?.delete(tabletId);
    }
    this.#pump(lane);
  }

  // -------------------------------------------------------------------------------------------
  // Turns

  async #turn(work: Work): Promise<void> {
    const { clock, config, random, log, store } = this.#options;
    const { tabletId } = work;
    try {
      await this.turns.hold(tabletId, async (signal) => {
        await this.#act(work, signal);
      });
    } catch (error) {
      const replica = store.get(tabletId);
      if (replica === undefined || this.#isClosed) return;
      // It was about a leader of the past.
      if (replica.lead?.term !== work.lead.term) return;
      const control = this.#controlOf(replica);
      if (isFailure(error, 'FENCED')) {
        // As a follower from here on, until the server names a leader of a higher term.
        control.fencedTerm = replica.lead.term;
        return;
      }
      // Somebody else's turn was more important: the tablet comes again with the next look.
      if (isFailure(error, 'NOT_READY')) {
        control.waits = (error as Error).message;
        control.notBefore = clock.monotonic() + this.#shortPauseMs();
        return;
      }
      this.counts.failures += 1;
      failed(control, error, { nowMs: clock.monotonic(), config, random });
      log.warn('cooldown of a tablet failed', { tabletId, role: work.kind, error: control.error });
    }
  }

  /** When something of others has to come first, milliseconds. */
  #shortPauseMs(): number {
    return this.#options.config.get('generate_cooldown_task_interval_sec') * 500;
  }

  /**
   * A turn of a tablet that this backend leads, for what is not urgent. undefined: it does not lead
   * the tablet, or no longer. Throws what `work` throws.
   */
  async leaderTurn<T>(
    tabletId: TabletId,
    work: (turn: TurnOf) => Promise<T>,
  ): Promise<T | undefined> {
    const { store } = this.#options;
    return await this.turns.hold(tabletId, async (signal) => {
      const replica = store.get(tabletId);
      if (replica?.lead === undefined || !this.leads(replica)) return undefined;
      const { lead } = replica;
      const resourceId = this.resourceOf(replica);
      if (resourceId === undefined) return undefined;
      const control = this.#controlOf(replica);
      const resource = await this.resources.get(resourceId);
      signal.throwIfAborted();
      try {
        return await work({ tabletId, lead, resource, signal });
      } catch (error) {
        if (!isFailure(error, 'FENCED')) throw error;
        control.fencedTerm = lead.term;
        return undefined;
      } finally {
        this.#tidy(tabletId, control);
      }
    });
  }

  async #act({ tabletId, kind, lead, resourceId }: Work, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    const replica = store.get(tabletId);
    // Planned before the turn came.
    if (replica?.lead?.term !== lead.term) return;
    const control = this.#controlOf(replica);
    const resource = await this.resources.get(resourceId);
    signal.throwIfAborted();
    const turn: TurnOf = { tabletId, lead, resource, signal };
    if (kind === 'LEAD') {
      const policy = this.policyOf(replica);
      await this.cooling.lead(turn, coldnessOf({ replica, policy, control }));
    } else {
      control.seen = await this.cooling.follow(turn, control.seen);
    }
    control.settledTerm = lead.term;
    succeeded(control, clock.monotonic());
    this.#tidy(tabletId, control);
  }

  /** Uploads of rowsets that are not to be uploaded any more are over. */
  #tidy(tabletId: TabletId, control: Control): void {
    const { store } = this.#options;
    const replica = store.get(tabletId);
    if (replica === undefined) return;
    if (control.forcedVersion <= cooledVersionOf(replica.rowsets)) control.forcedVersion = -1;
    const uploads = store.uploads(tabletId);
    if (uploads.length === 0) return;
    const local = new Set(
      replica.rowsets.flatMap(({ rowsetId, place }) => (place.kind === 'local' ? [rowsetId] : [])),
    );
    store.batch(() => {
      for (const { rowsetId } of uploads) if (!local.has(rowsetId)) store.endUpload(rowsetId);
    });
  }
}

async function nothing(): Promise<void> {
  await Promise.resolve();
}
