/** Warm-up jobs: rows, transitions, slots and history. `warm_up_batches.ts` has their work. */
import { id } from '../base/ids.ts';
import type { JobId } from '../base/ids.ts';
import type { WarmUpJobState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { StaleRow, expectOne } from './stale_row.ts';
import { WarmUpJobMemory } from './warm_up_job_memory.ts';
import { type JobRow, changedColumns, newJobRow, toJob } from './warm_up_job_rows.ts';

/** Most rows that SHOW WARM UP JOB returns (Doris's constant). */
const SHOW_JOBS_MAX = 2000;

/** One `WITH TABLE` item; without a partition the whole table. */
export interface WarmUpItem {
  readonly db: string;
  readonly table: string;
  readonly partition?: string;
}

/** How far a run is; sums over its batches. */
export interface WarmUpCounts {
  readonly allBatch: number;
  readonly finishBatch: number;
  readonly allBytes: number;
  /** Bytes in the target's cache for this run. */
  readonly finishBytes: number;
  /** Part of finishBytes that was in the cache before. */
  readonly cachedBytes: number;
  readonly allTablets: number;
  readonly doneTablets: number;
  readonly skippedTablets: number;
  readonly failedTablets: number;
}

export interface NewWarmUpJob {
  /** TABLES: event-driven with ON TABLES. */
  readonly kind: 'CLUSTER' | 'TABLE' | 'TABLES';
  /** null for WITH TABLE. */
  readonly srcGroup: string | null;
  readonly dstGroup: string;
  readonly syncMode: 'ONCE' | 'PERIODIC' | 'EVENT_DRIVEN';
  readonly syncIntervalS: number | null;
  readonly syncEvent: string | null;
  /** ON TABLES rules as canonical text. */
  readonly tableFilter: string | null;
  readonly force: boolean;
  readonly tables: readonly WarmUpItem[];
  readonly epoch: number;
  /**
   * An operator asked for this very start: a periodic job does not wait for its time, a one-time
   * job (a retry) keeps the plan it was created with, however long it waits. Default: false.
   */
  readonly startAsked?: boolean;
}

export interface WarmUpJob extends NewWarmUpJob, WarmUpCounts {
  readonly jobId: JobId;
  readonly state: WarmUpJobState;
  /** 1 for the first (or only) run. */
  readonly run: number;
  /** Row version: what `update` expects. */
  readonly version: number;
  readonly createMs: number;
  readonly startMs: number | null;
  readonly finishMs: number | null;
  /** Empty: none. */
  readonly errMsg: string;
  readonly startAsked: boolean;
}

/** What a transition changes; what is absent stays. */
export interface WarmUpJobChange extends Partial<WarmUpCounts> {
  /** The event of the lifecycle table; it goes to `job_transition`. Absent: not recorded. */
  readonly event?: string;
  /** One sentence for `job_transition`. */
  readonly detail?: string;
  readonly state?: WarmUpJobState;
  readonly run?: number;
  readonly epoch?: number;
  readonly startMs?: number | null;
  readonly finishMs?: number | null;
  readonly errMsg?: string;
  readonly startAsked?: boolean;
  readonly syncIntervalS?: number;
  readonly tableFilter?: string | null;
}

export interface JobTransition {
  readonly jobId: JobId;
  readonly seq: number;
  readonly atMs: number;
  readonly from: string;
  readonly event: string;
  readonly to: string;
  readonly detail: string;
}

const ACTIVE: readonly WarmUpJobState[] = ['PENDING', 'RUNNING', 'PAUSED'];

interface ListedJobs {
  readonly dataVersion: number;
  readonly limit: number;
  readonly jobs: readonly WarmUpJob[];
}

export class WarmUpJobStore {
  readonly #session: Session;
  readonly #memory: WarmUpJobMemory;
  #listed: ListedJobs | undefined;

  constructor(session: Session) {
    this.#session = session;
    this.#memory = new WarmUpJobMemory(session.bulk);
  }

  /** PENDING, run 1, nothing counted yet; the first transition is `created`. */
  async create(job: NewWarmUpJob, counts: Partial<WarmUpCounts> = {}): Promise<WarmUpJob> {
    return this.#session.write(async (tx) => {
      const row = newJobRow(tx, job, counts);
      await tx.db.insertInto('warm_up_job').values(row).execute();
      await recordTransition(tx, row, 'created', 'PENDING', '');
      return toJob(row);
    });
  }

  async find(jobId: JobId): Promise<WarmUpJob | undefined> {
    const row = await this.#session.db
      .selectFrom('warm_up_job')
      .selectAll()
      .where('job_id', '=', jobId)
      .executeTakeFirst();
    return row === undefined ? undefined : toJob(row);
  }

  /** Jobs that are not final (PENDING, RUNNING, PAUSED), oldest first. */
  async active(): Promise<WarmUpJob[]> {
    return this.#memory.read('WHERE state IN (?, ?, ?) ORDER BY create_ms, job_id', ACTIVE);
  }

  /**
   * Of one mode and source (null: WITH TABLE), those that are not final, oldest first; only those
   * into `dstGroup` when it is given.
   */
  async activeOf(
    syncMode: WarmUpJob['syncMode'],
    srcGroup: string | null,
    dstGroup?: string,
  ): Promise<WarmUpJob[]> {
    const source = srcGroup === null ? [] : [srcGroup];
    const target = dstGroup === undefined ? [] : [dstGroup];
    return this.#memory.read(
      `WHERE sync_mode = ? AND src_group ${srcGroup === null ? 'IS NULL' : '= ?'} ` +
        `AND state IN (?, ?, ?) ${dstGroup === undefined ? '' : 'AND dst_group = ? '}` +
        'ORDER BY create_ms, job_id',
      [syncMode, ...source, ...ACTIVE, ...target],
    );
  }

  /**
   * The newest ones, and all that have not ended, however old they are; newest first. Dashboards ask all the time and jobs change rarely: as long as nobody has
   * committed, the jobs (the same objects) are those of the last time, and after a commit those
   * that it did not change are. Of the 0.17 ms that SHOW WARM UP JOB with 20 rows took, 0.1 ms went
   * into reading the rows and their JSON.
   */
  async list(limit: number = SHOW_JOBS_MAX): Promise<readonly WarmUpJob[]> {
    const known = this.known(limit);
    if (known !== undefined) return known;
    const { bulk, isTransaction } = this.#session;
    // Asked before the rows are read: a commit in between makes the next call read again.
    const dataVersion = isTransaction ? undefined : bulk.dataVersion();
    const jobs = this.#memory.read(
      `WHERE job_id IN (
         SELECT job_id FROM (
           SELECT job_id FROM warm_up_job ORDER BY create_ms DESC, job_id DESC LIMIT ?
         ) UNION SELECT job_id FROM warm_up_job WHERE state IN (?, ?, ?)
       ) ORDER BY create_ms DESC, job_id DESC`,
      [limit, ...ACTIVE],
    );
    if (dataVersion !== undefined) this.#listed = { dataVersion, limit, jobs };
    return jobs;
  }

  /** As `list`, at once; undefined: somebody has committed since. */
  known(limit: number = SHOW_JOBS_MAX): readonly WarmUpJob[] | undefined {
    const { bulk, isTransaction } = this.#session;
    const listed = this.#listed;
    if (isTransaction || listed?.limit !== limit) return undefined;
    return listed.dataVersion === bulk.dataVersion() ? listed.jobs : undefined;
  }

  /**
   * The one door for changes of a job. `expectVersion` is the version of the job the caller
   * decided on; throws `StaleRow` when it has moved on, or is gone.
   */
  async update(jobId: JobId, expectVersion: number, change: WarmUpJobChange): Promise<WarmUpJob> {
    return this.#session.write(async (tx) => {
      const before = await tx.db
        .selectFrom('warm_up_job')
        .selectAll()
        .where('job_id', '=', jobId)
        .executeTakeFirst();
      const what = `warm-up job ${jobId}`;
      if (before === undefined || before.version !== expectVersion) throw new StaleRow(what);
      const after: JobRow = { ...before, ...changedColumns(change), version: expectVersion + 1 };
      const result = await tx.db
        .updateTable('warm_up_job')
        .set(after)
        .where('job_id', '=', jobId)
        .where('state', '=', before.state)
        .where('version', '=', expectVersion)
        .executeTakeFirst();
      expectOne(result.numUpdatedRows, what);
      if (change.event !== undefined) {
        await recordTransition(tx, after, change.event, before.state, change.detail ?? '');
      }
      return toJob(after);
    });
  }

  /** Oldest first. */
  async transitions(jobId: JobId): Promise<JobTransition[]> {
    const rows = await this.#session.db
      .selectFrom('job_transition')
      .selectAll()
      .where('job_id', '=', jobId)
      .orderBy('seq')
      .execute();
    return rows.map((row) => ({
      jobId: id<JobId>(row.job_id),
      seq: row.seq,
      atMs: row.at_ms,
      from: row.from_state,
      event: row.event,
      to: row.to_state,
      detail: row.detail,
    }));
  }

  /** Deletes the job's transitions up to number `uptoSeq`. */
  async expireTransitions(jobId: JobId, uptoSeq: number): Promise<void> {
    const old = await this.#session.db
      .selectFrom('job_transition')
      .select('seq')
      .where('job_id', '=', jobId)
      .where('seq', '<=', uptoSeq)
      .limit(1)
      .execute();
    if (old.length === 0) return;
    await this.#session.write(async (tx) => {
      await tx.db
        .deleteFrom('job_transition')
        .where('job_id', '=', jobId)
        .where('seq', '<=', uptoSeq)
        .execute();
    });
  }

  /** Who holds the slot of which target group. */
  async slots(): Promise<Map<string, JobId>> {
    const rows = await this.#session.db.selectFrom('warm_up_slot').selectAll().execute();
    return new Map(rows.map((row) => [row.dst_group, id<JobId>(row.job_id)]));
  }

  /** Takes the slot, or keeps it when the job has it; false when another job holds it. */
  async takeSlot(dstGroup: string, jobId: JobId): Promise<boolean> {
    return this.#session.write(async (tx) => {
      const holder = await tx.db
        .selectFrom('warm_up_slot')
        .select('job_id')
        .where('dst_group', '=', dstGroup)
        .executeTakeFirst();
      if (holder !== undefined) return holder.job_id === jobId;
      await tx.db
        .insertInto('warm_up_slot')
        .values({ dst_group: dstGroup, job_id: jobId })
        .execute();
      return true;
    });
  }

  /** Frees whatever slot the job holds; no error when it holds none. */
  async releaseSlot(jobId: JobId): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db.deleteFrom('warm_up_slot').where('job_id', '=', jobId).execute();
    });
  }

  /**
   * Deletes at most `limit` final jobs that ended before `beforeMs`, with all that belongs to
   * them; how many. Call again until it says 0: each job is one small transaction.
   */
  async expire(beforeMs: number, limit: number): Promise<number> {
    const rows = await this.#session.db
      .selectFrom('warm_up_job')
      .select('job_id')
      .where('state', 'in', ['FINISHED', 'CANCELLED'])
      .where('finish_ms', '<', beforeMs)
      .orderBy('finish_ms')
      .limit(limit)
      .execute();
    for (const row of rows) await this.#session.write((tx) => deleteJob(tx, row.job_id));
    return rows.length;
  }
}

async function deleteJob(tx: WriteSession, jobId: number): Promise<void> {
  await tx.db.deleteFrom('warm_up_batch_tablet').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('warm_up_batch').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('warm_up_failure').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('warm_up_run').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('job_transition').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('warm_up_slot').where('job_id', '=', jobId).execute();
  await tx.db.deleteFrom('warm_up_job').where('job_id', '=', jobId).execute();
}

/** The row's version is the transition's number: unique, and in order. */
async function recordTransition(
  tx: WriteSession,
  after: JobRow,
  event: string,
  from: string,
  detail: string,
): Promise<void> {
  await tx.db
    .insertInto('job_transition')
    .values({
      job_id: after.job_id,
      seq: after.version,
      at_ms: tx.clock.now(),
      from_state: from,
      event,
      to_state: after.state,
      detail,
    })
    .execute();
}
