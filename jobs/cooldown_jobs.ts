/**
 * Cooldown jobs that are not over: each takes its steps by itself, the oldest first, some at once.
 * There is no recovery code: after a restart jobs in SEND_CONF and RUNNING send again, since nobody
 * knows what arrived, and a repeat changes nothing.
 */
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { JobId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { CooldownJob, CooldownJobWithConfs, NewCooldownJob } from '../catalog/cooldown.ts';
import { COOLDOWN_JOB, type CooldownJobEvent } from './cooldown_lifecycle.ts';
import type { CooldownPush, MissingReplicas, OpenReplica } from './cooldown_push.ts';

/** Jobs whose backends are being told at once, and jobs that wait for their turn (as in Doris). */
export const ACTIVE_JOBS_MAX = 10;
export const QUEUED_JOBS_MAX = 100;
/**
 * A job that waits for longer for some backend does not keep the others waiting: one backend that
 * hangs would stop all elections for the ten minutes of the timeout.
 */
const SLOW_MS = 30_000;
/** Between two attempts to tell who has not confirmed. */
const RESEND_MS = 5000;
/** Backends that a message names. */
const NAMED_MAX = 5;

export interface CooldownJobsDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly push: CooldownPush;
  /** The job is over: its tablets are free. */
  readonly ended: (job: CooldownJob, tablets: readonly TabletId[]) => void;
}

interface Entry {
  job: CooldownJob;
  readonly confs: CooldownJobWithConfs['confs'];
  readonly missing: MissingReplicas;
  /** While a step is taken. */
  running: Promise<void> | undefined;
  /** When its turn came, on the monotonic clock. */
  sinceMs: number;
  resendMs: number;
}

export class CooldownJobs {
  readonly #deps: CooldownJobsDeps;
  readonly #entries = new Map<JobId, Entry>();
  readonly #jobOf = new Map<TabletId, JobId>();
  #closed = false;

  constructor(deps: CooldownJobsDeps) {
    this.#deps = deps;
  }

  /** What a server before this one left. */
  async load(): Promise<void> {
    for (const job of await this.#deps.catalog.cooldown.active()) this.#add(job);
  }

  /** Jobs that can still be made. */
  get room(): number {
    return Math.max(0, ACTIVE_JOBS_MAX + QUEUED_JOBS_MAX - this.#entries.size);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The job that has the tablet in its hands. */
  of(tabletId: TabletId): CooldownJob | undefined {
    const jobId = this.#jobOf.get(tabletId);
    return jobId === undefined ? undefined : this.#entries.get(jobId)?.job;
  }

  /** Replicas that do not have the job's terms yet; undefined: it is over. */
  unconfirmed(jobId: JobId): number | undefined {
    const entry = this.#entries.get(jobId);
    if (entry === undefined) return undefined;
    return this.#deps.push.open(entry.confs, entry.missing, this.#leaderDeadMs()).length;
  }

  /** undefined: of none of its tablets the lead was still what it was. */
  async create(job: NewCooldownJob): Promise<CooldownJob | undefined> {
    const made = await this.#deps.catalog.cooldown.create(job);
    if (made !== undefined) this.#add(made);
    return made;
  }

  /** Each job whose turn it is takes as many steps as it can; does not wait for them. */
  step(): void {
    if (this.#closed) return;
    let free = ACTIVE_JOBS_MAX - this.#busy();
    for (const entry of this.#entries.values()) {
      if (entry.running !== undefined) continue;
      const isNew = entry.job.state === 'PENDING' && !this.#isOverdue(entry.job);
      if (isNew && free <= 0) continue;
      if (isNew) free -= 1;
      entry.running = this.#run(entry);
    }
  }

  get isStepping(): boolean {
    return [...this.#entries.values()].some(({ running }) => running !== undefined);
  }

  /** Resolves when no job takes a step. */
  async idle(): Promise<void> {
    await Promise.all([...this.#entries.values()].flatMap(({ running }) => running ?? []));
  }

  /** Throws COOLDOWN_NO_JOB. The leads stay: the replicas that lack them get a later job. */
  async cancel(jobId: JobId, reason: string): Promise<void> {
    for (;;) {
      const job = this.#entries.get(jobId)?.job ?? (await this.#deps.catalog.cooldown.find(jobId));
      if (job === undefined || COOLDOWN_JOB.cell(job.state, 'cancelAsked').kind !== 'move') {
        throw new SqlError('COOLDOWN_NO_JOB', { id: jobId });
      }
      try {
        await this.#move(job, 'cancelAsked', reason);
        return;
      } catch (error) {
        // It took a step meanwhile: what is true now decides.
        if ((error as { readonly code?: unknown }).code !== 'STALE_ROW') throw error;
        await this.#entries.get(jobId)?.running;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
  }

  #add({ confs, ...job }: CooldownJobWithConfs): void {
    const missing: MissingReplicas = new Map();
    const sinceMs = this.#deps.clock.monotonic();
    this.#entries.set(job.jobId, {
      job,
      confs,
      missing,
      running: undefined,
      sinceMs,
      resendMs: sinceMs,
    });
    for (const { tabletId } of confs) this.#jobOf.set(tabletId, job.jobId);
  }

  #busy(): number {
    const since = this.#deps.clock.monotonic() - SLOW_MS;
    return [...this.#entries.values()].filter(
      ({ job, running, sinceMs }) =>
        job.state === 'SEND_CONF' ||
        (job.state === 'RUNNING' && sinceMs > since) ||
        (job.state === 'PENDING' && running !== undefined),
    ).length;
  }

  async #run(entry: Entry): Promise<void> {
    const { jobId } = entry.job;
    try {
      while (!this.#closed && (await this.#step(entry))) {
        // As long as it gets on.
      }
    } catch (error) {
      const code = (error as { readonly code?: unknown }).code;
      if (code === 'STALE_ROW') return;
      if (!this.#closed) {
        this.#deps.log.error('a cooldown job stopped', { jobId, error: String(error) });
      }
    } finally {
      entry.running = undefined;
    }
  }

  /** False: it waits, or is over. */
  async #step(entry: Entry): Promise<boolean> {
    const { push, clock } = this.#deps;
    const { job, confs, missing } = entry;
    if (!this.#entries.has(job.jobId)) return false;
    const open = push.open(confs, missing, this.#leaderDeadMs());
    if (this.#isOverdue(job)) {
      await this.#move(job, 'timedOut', timeoutText(job, open));
      return false;
    }
    switch (job.state) {
      case 'PENDING':
        entry.sinceMs = clock.monotonic();
        await this.#move(job, 'activated');
        return true;
      case 'SEND_CONF':
        await push.send(open, missing);
        entry.resendMs = clock.monotonic() + RESEND_MS;
        await this.#move(job, 'sent');
        return true;
      case 'RUNNING':
        if (open.length === 0) {
          await this.#move(job, 'confirmed');
          return false;
        }
        if (clock.monotonic() < entry.resendMs) return false;
        entry.resendMs = clock.monotonic() + RESEND_MS;
        await push.send(open, missing);
        return true;
      case 'FINISHED':
      case 'CANCELLED':
        return false;
    }
  }

  #leaderDeadMs(): number {
    return this.#deps.config.get('cooldown_leader_dead_seconds') * 1000;
  }

  #isOverdue({ createMs, timeoutMs }: CooldownJob): boolean {
    return this.#deps.clock.now() - createMs > timeoutMs;
  }

  async #move(job: CooldownJob, event: CooldownJobEvent, errMsg = ''): Promise<void> {
    const { catalog, log } = this.#deps;
    const { jobId } = job;
    const cell = COOLDOWN_JOB.cell(job.state, event);
    if (cell.kind === 'bug') throw new Error(`event ${event} in ${job.state} of job ${jobId}`);
    if (cell.kind === 'late') return;
    const after = await catalog.cooldown.move(job, event, cell.to, errMsg);
    const entry = this.#entries.get(jobId);
    if (entry !== undefined) entry.job = after;
    if (!COOLDOWN_JOB.final.has(after.state)) return;
    const tablets = (entry?.confs ?? []).map(({ tabletId }) => tabletId);
    for (const tabletId of tablets) {
      if (this.#jobOf.get(tabletId) === jobId) this.#jobOf.delete(tabletId);
    }
    this.#entries.delete(jobId);
    const fields = { jobId, tablets: after.tablets, elected: after.elected };
    if (after.state === 'FINISHED') log.info('a cooldown job has finished', fields);
    else log.warn('a cooldown job was cancelled', { ...fields, reason: errMsg });
    this.#deps.ended(after, tablets);
  }
}

function timeoutText({ timeoutMs }: CooldownJob, open: readonly OpenReplica[]): string {
  const seconds = Math.round(timeoutMs / 1000);
  const counts = [...Map.groupBy(open, ({ backendId }) => backendId)].map(
    ([backendId, own]) => `backend ${backendId}: ${own.length} tablets`,
  );
  const more = counts.length > NAMED_MAX ? [`${counts.length - NAMED_MAX} backends more`] : [];
  const who = [...counts.slice(0, NAMED_MAX), ...more].join(', ');
  return `Timeout: after ${seconds} s not confirmed by ${who === '' ? 'anybody' : who}`;
}
