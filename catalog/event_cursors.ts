/**
 * How far every target backend of every event-driven job has acknowledged the log of its source,
 * and what it still has to catch up from the catalog itself.
 */
import { id } from '../base/ids.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { TargetState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';

/** Where an event-driven job began. */
export interface EventJobStart {
  readonly jobId: JobId;
  readonly sourceGroup: string;
  /** Transactions up to this one were visible before the job was created. */
  readonly firstTxn: number;
  /** Events up to this one are older than the job. */
  readonly firstSeq: number;
}

export interface EventTarget {
  readonly jobId: JobId;
  readonly backendId: BackendId;
  /** Events up to this one are in the target's cache, superseded, or listed as failed. */
  readonly ackedSeq: number;
  readonly state: TargetState;
  /** CATCHING_UP: rowsets of transactions behind this one up to `catchUpEnd` are still to do. */
  readonly catchUpTxn: number;
  readonly catchUpEnd: number;
}

const ROWSET_OF_KEY = /([0-9a-f]{32})_\d+\.dat$/;

/** States of a job that still wants events. */
const LISTENING = "('PENDING', 'RUNNING', 'PAUSED')";

/** Failed items deleted in one transaction. */
const FORGET_AT_ONCE = 1000;

export interface NotWarm {
  readonly tablets: number;
  /** One of the items with its reason; empty: everything is warm. */
  readonly first: string;
}

export class EventCursorStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** undefined: the job has not begun. */
  start(jobId: JobId): EventJobStart | undefined {
    const [row] = this.#session.bulk.all<[string, number, number]>(
      'SELECT source_group, first_txn, first_seq FROM warm_up_event_job WHERE job_id = ?',
      [jobId],
    );
    if (row === undefined) return undefined;
    return { jobId, sourceGroup: row[0], firstTxn: row[1], firstSeq: row[2] };
  }

  /**
   * Marks where a job that was created at `createMs` begins: behind what was visible then. A second
   * call answers what the first one wrote.
   */
  async begin(jobId: JobId, sourceGroup: string, createMs: number): Promise<EventJobStart> {
    return this.#session.write(async (tx) => {
      const store = new EventCursorStore(tx);
      const known = store.start(jobId);
      if (known !== undefined) return known;
      const [first] = tx.bulk.all<[number | null]>(
        'SELECT min(seq) FROM rowset_event WHERE source_group = ? AND created_ms >= ?',
        [sourceGroup, createMs],
      );
      const [last] = tx.bulk.all<[number]>(
        'SELECT last_seq FROM rowset_event_counter WHERE source_group = ?',
        [sourceGroup],
      );
      const younger = first?.[0] ?? undefined;
      const firstSeq = younger === undefined ? (last?.[0] ?? 0) : younger - 1;
      const [load] = tx.bulk.all<[number | null]>(
        "SELECT min(txn_id) FROM load_txn WHERE state IN ('PREPARE', 'COMMITTING')",
        [],
      );
      // Ids come from one sequence: what began after the job has a higher one than the job.
      const logged = store.firstTxnAfter(sourceGroup, firstSeq);
      const firstTxn = Math.min(jobId, load?.[0] ?? jobId, logged ?? jobId) - 1;
      const row = { job_id: jobId, source_group: sourceGroup, first_txn: firstTxn };
      await tx.db
        .insertInto('warm_up_event_job')
        .values({ ...row, first_seq: firstSeq })
        .execute();
      return { jobId, sourceGroup, firstTxn, firstSeq };
    });
  }

  /** Transactions behind `firstTxn` belong to the job, too. */
  async beginEarlier(jobId: JobId, firstTxn: number): Promise<void> {
    await this.#session.write(async (tx) => {
      tx.bulk.run('UPDATE warm_up_event_job SET first_txn = ? WHERE job_id = ? AND first_txn > ?', [
        firstTxn,
        jobId,
        firstTxn,
      ]);
    });
  }

  targets(jobId: JobId): EventTarget[] {
    const rows = this.#session.bulk.all<[number, number, TargetState, number, number]>(
      `SELECT backend_id, acked_seq, state, catch_up_txn, catch_up_end
       FROM warm_up_target WHERE job_id = ? ORDER BY backend_id`,
      [jobId],
    );
    return rows.map(([backendId, ackedSeq, state, catchUpTxn, catchUpEnd]) => ({
      jobId,
      backendId: id<BackendId>(backendId),
      ackedSeq,
      state,
      catchUpTxn,
      catchUpEnd,
    }));
  }

  /**
   * Writes targets and removes those of `gone`, in one transaction. Targets of jobs that have
   * ended meanwhile stay away.
   */
  async save(targets: readonly EventTarget[], gone: readonly EventTarget[] = []): Promise<void> {
    if (targets.length + gone.length === 0) return;
    await this.#session.write(async (tx) => {
      const store = new EventCursorStore(tx);
      const live = new Map<JobId, boolean>();
      for (const { jobId, backendId } of gone) {
        tx.bulk.run('DELETE FROM warm_up_target WHERE job_id = ? AND backend_id = ?', [
          jobId,
          backendId,
        ]);
      }
      for (const target of targets) {
        const { jobId } = target;
        const isLive = live.get(jobId) ?? store.start(jobId) !== undefined;
        live.set(jobId, isLive);
        if (isLive) put(tx, target);
      }
    });
  }

  /** Forgets a job that ended. */
  async end(jobId: JobId): Promise<void> {
    await this.#session.write(async (tx) => {
      tx.bulk.run('DELETE FROM warm_up_target WHERE job_id = ?', [jobId]);
      tx.bulk.run('DELETE FROM warm_up_event_job WHERE job_id = ?', [jobId]);
    });
  }

  /** A transaction id that no rowset row has yet: all that come later are higher. */
  async newestTxn(): Promise<number> {
    return this.#session.write(async (tx) => tx.ids.next());
  }

  /** The lowest transaction among the events behind `seq`. */
  firstTxnAfter(sourceGroup: string, seq: number): number | undefined {
    const [row] = this.#session.bulk.all<[number | null]>(
      'SELECT min(txn_id) FROM rowset_event WHERE source_group = ? AND seq > ?',
      [sourceGroup, seq],
    );
    return row?.[0] ?? undefined;
  }

  /** Nobody needs the events of the source up to this one; Infinity: nobody needs any. */
  unneededSeq(sourceGroup: string): number {
    const [waiting] = this.#session.bulk.all<[number]>(
      `SELECT count(*) FROM warm_up_job LEFT JOIN warm_up_event_job
         ON warm_up_event_job.job_id = warm_up_job.job_id
       WHERE warm_up_job.sync_mode = 'EVENT_DRIVEN' AND warm_up_job.src_group = ?
         AND warm_up_job.state IN ${LISTENING} AND warm_up_event_job.job_id IS NULL`,
      [sourceGroup],
    );
    if ((waiting?.[0] ?? 0) > 0) return 0;
    const [row] = this.#session.bulk.all<[number | null]>(
      `SELECT min(warm_up_target.acked_seq) FROM warm_up_target
       INNER JOIN warm_up_event_job ON warm_up_event_job.job_id = warm_up_target.job_id
       WHERE warm_up_event_job.source_group = ?`,
      [sourceGroup],
    );
    return row?.[0] ?? Infinity;
  }

  /** Targets of the source that are behind `seq`. */
  laggards(sourceGroup: string, seq: number): EventTarget[] {
    const jobs = this.#session.bulk.all<[number]>(
      'SELECT job_id FROM warm_up_event_job WHERE source_group = ?',
      [sourceGroup],
    );
    return jobs.flatMap(([jobId]) =>
      this.targets(id<JobId>(jobId)).filter((target) => target.ackedSeq < seq),
    );
  }

  /** Failed items of a job: how many, and the first transaction of those that are still there. */
  failed(jobId: JobId): { readonly count: number; readonly firstTxn: number | undefined } {
    const rows = this.#session.bulk.all<[number, string]>(
      'SELECT tablet_id, item FROM warm_up_failure WHERE job_id = ?',
      [jobId],
    );
    let firstTxn = Infinity;
    for (const [tabletId, item] of rows) {
      const rowset = ROWSET_OF_KEY.exec(item)?.[1];
      if (rowset === undefined) continue;
      const [found] = this.#session.bulk.all<[number]>(
        'SELECT txn_id FROM rowset WHERE tablet_id = ? AND rowset_id = ?',
        [tabletId, rowset],
      );
      if (found !== undefined) firstTxn = Math.min(firstTxn, found[0]);
    }
    return { count: rows.length, firstTxn: firstTxn === Infinity ? undefined : firstTxn };
  }

  /** What a job could not warm and still should: what was replaced or dropped since is not of it. */
  notWarm(jobId: JobId): NotWarm {
    const rows = this.#session.bulk.all<[number, string, string]>(
      'SELECT tablet_id, item, reason FROM warm_up_failure WHERE job_id = ? ORDER BY run, seq',
      [jobId],
    );
    const tablets = new Set<number>();
    let first = '';
    for (const [tabletId, item, reason] of rows) {
      if (!this.#isThere(tabletId, item)) continue;
      if (first === '') first = `${item}: ${reason}`;
      tablets.add(tabletId);
    }
    return { tablets: tablets.size, first };
  }

  /** An event-driven job may live for years: failed items of before that are gone since go, too. */
  async forgetGone(jobId: JobId, beforeMs: number): Promise<void> {
    const rows = this.#session.bulk.all<[number, number, number, string]>(
      `SELECT run, seq, tablet_id, item FROM warm_up_failure
       WHERE job_id = ? AND coalesce(at_ms, 0) < ?`,
      [jobId, beforeMs],
    );
    const gone = rows.filter(([, , tabletId, item]) => !this.#isThere(tabletId, item));
    if (gone.length === 0) return;
    await this.#session.write(async (tx) => {
      for (const [run, seq] of gone.slice(0, FORGET_AT_ONCE)) {
        const key = [jobId, run, seq];
        tx.bulk.run('DELETE FROM warm_up_failure WHERE job_id = ? AND run = ? AND seq = ?', key);
      }
    });
  }

  /** Whether what the item is of was neither replaced nor dropped. */
  #isThere(tabletId: number, item: string): boolean {
    const found = this.#session.bulk.all(
      'SELECT rowset_id FROM rowset WHERE tablet_id = ? AND rowset_id = coalesce(?, rowset_id) LIMIT 1',
      [tabletId, ROWSET_OF_KEY.exec(item)?.[1] ?? null],
    );
    return found.length > 0;
  }

  async forgetFailed(jobId: JobId): Promise<void> {
    await this.#session.write(async (tx) => {
      tx.bulk.run('DELETE FROM warm_up_failure WHERE job_id = ?', [jobId]);
    });
  }

  /** Jobs that have begun and ended since, without anybody to say so. */
  orphans(): JobId[] {
    const rows = this.#session.bulk.all<[number]>(
      `SELECT warm_up_event_job.job_id FROM warm_up_event_job
       LEFT JOIN warm_up_job ON warm_up_job.job_id = warm_up_event_job.job_id
       WHERE warm_up_job.state IS NULL OR warm_up_job.state NOT IN ${LISTENING}`,
      [],
    );
    return rows.map(([jobId]) => id<JobId>(jobId));
  }

  /** Sources that have events. */
  sources(): string[] {
    return this.#session.bulk
      .all<[string]>('SELECT source_group FROM rowset_event_counter', [])
      .map(([source]) => source);
  }
}

function put(tx: WriteSession, target: EventTarget): void {
  const { jobId, backendId, ackedSeq, state, catchUpTxn, catchUpEnd } = target;
  const values = [ackedSeq, state, catchUpTxn, catchUpEnd, jobId, backendId];
  const changed = tx.bulk.run(
    `UPDATE warm_up_target SET acked_seq = ?, state = ?, catch_up_txn = ?, catch_up_end = ?
     WHERE job_id = ? AND backend_id = ?`,
    values,
  );
  if (changed > 0) return;
  tx.bulk.run(
    `INSERT INTO warm_up_target (acked_seq, state, catch_up_txn, catch_up_end, job_id, backend_id)
     VALUES (?, ?, ?, ?, ?, ?)`,
    values,
  );
}
