/**
 * Who uploads a tablet's data (replica and term), and the jobs by which the backends are told. What
 * backends hear is in the catalog before: an election and its job are one transaction.
 */
import type { Selectable } from 'kysely';
import { type JobId, type ReplicaId, type TabletId, id } from '../base/ids.ts';
import type { CooldownConf, CooldownLead } from '../base/replica.ts';
import type { LeadIndex } from './lead_index.ts';
import type { CatalogRows, CooldownJobState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';

/** Tablets of a job: a transaction of some 200 rows. */
export const COOLDOWN_JOB_TABLETS_MAX = 100;
const ERR_MSG_MAX = 1000;
const ACTIVE: readonly CooldownJobState[] = ['PENDING', 'SEND_CONF', 'RUNNING'];

/** A tablet gets a leader, if its lead is what it was when that was decided. */
export interface Election {
  readonly tabletId: TabletId;
  /** undefined: it had none. */
  readonly before: CooldownLead | undefined;
  readonly after: CooldownLead;
}

export interface NewCooldownJob {
  /** Together with `pushes` at most COOLDOWN_JOB_TABLETS_MAX. */
  readonly elections: readonly Election[];
  /** Leads that are in the catalog, and that some replica does not have yet. */
  readonly pushes: readonly CooldownConf[];
  /** Why there is such a job, in a few words. */
  readonly reason: string;
  readonly timeoutMs: number;
}

export interface CooldownJob {
  readonly jobId: JobId;
  readonly state: CooldownJobState;
  readonly version: number;
  readonly tablets: number;
  /** Tablets for which it made a new term. */
  readonly elected: number;
  readonly reason: string;
  readonly createMs: number;
  /** When the first backend was told; null: not yet. */
  readonly startMs: number | null;
  readonly finishMs: number | null;
  /** From its creation. */
  readonly timeoutMs: number;
  readonly errMsg: string;
}

export interface CooldownJobWithConfs extends CooldownJob {
  readonly confs: readonly CooldownConf[];
}

type JobRow = Selectable<CatalogRows['cooldown_job']>;

export class CooldownStore {
  readonly #session: Session;
  readonly #leads: LeadIndex;

  constructor(session: Session, leads: LeadIndex) {
    this.#session = session;
    this.#leads = leads;
  }

  /** As it was committed last; undefined: nobody was ever elected. */
  lead(tabletId: TabletId): CooldownLead | undefined {
    return this.#leads.get(tabletId);
  }

  /** Tablets that have a lead. */
  ledTablets(): Iterable<TabletId> {
    return this.#leads.tablets();
  }

  get leads(): number {
    return this.#leads.size;
  }

  /**
   * Elects and makes the job of it, in one transaction. A tablet whose lead has changed meanwhile
   * is left out, and one whose chosen replica has missed a load since; undefined when none is left.
   */
  async create(job: NewCooldownJob): Promise<CooldownJobWithConfs | undefined> {
    const asked = job.elections.length + job.pushes.length;
    if (asked > COOLDOWN_JOB_TABLETS_MAX) throw new RangeError(`a job of ${asked} tablets`);
    return this.#session.write(async (tx) => {
      const elected = job.elections.flatMap((election) =>
        lacksVersions(tx, election.after.replicaId) ? [] : (elect(tx, this.#leads, election) ?? []),
      );
      const pushes = job.pushes.filter((conf) => isLead(tx, conf));
      const confs = [...elected, ...pushes];
      if (confs.length === 0) return undefined;
      const row: JobRow = {
        job_id: tx.ids.next<JobId>(),
        state: 'PENDING',
        version: 1,
        tablets: confs.length,
        elected: elected.length,
        reason: job.reason,
        create_ms: tx.clock.now(),
        start_ms: null,
        finish_ms: null,
        timeout_ms: job.timeoutMs,
        err_msg: '',
      };
      await tx.db.insertInto('cooldown_job').values(row).execute();
      for (const { tabletId, replicaId, term } of confs) {
        tx.bulk.run(
          `INSERT INTO cooldown_job_tablet (job_id, tablet_id, replica_id, term)
           VALUES (?, ?, ?, ?)`,
          [row.job_id, tabletId, replicaId, term],
        );
      }
      return { ...toJob(row), confs };
    });
  }

  /** Elects without a job: who does it tells the replica. False: the lead has changed meanwhile. */
  async elect(election: Election): Promise<boolean> {
    return await this.#session.write(
      async (tx) => await Promise.resolve(elect(tx, this.#leads, election) !== undefined),
    );
  }

  /** The guarded change of a job's state; the job as it is then. Throws `StaleRow`. */
  async move(
    before: CooldownJob,
    event: string,
    state: CooldownJobState,
    errMsg = '',
  ): Promise<CooldownJob> {
    return this.#session.write(async (tx) => {
      const nowMs = tx.clock.now();
      const after: CooldownJob = {
        ...toJob(toRow(before)),
        state,
        version: before.version + 1,
        startMs: before.startMs ?? (state === 'SEND_CONF' ? nowMs : null),
        finishMs: ACTIVE.includes(state) ? null : nowMs,
        errMsg: errMsg.slice(0, ERR_MSG_MAX),
      };
      const { job_id: jobId, ...columns } = toRow(after);
      const { numUpdatedRows } = await tx.db
        .updateTable('cooldown_job')
        .set(columns)
        .where('job_id', '=', jobId)
        .where('state', '=', before.state)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(numUpdatedRows, `cooldown job ${jobId}`);
      await tx.db
        .insertInto('job_transition')
        .values({
          job_id: jobId,
          seq: after.version,
          at_ms: nowMs,
          from_state: before.state,
          event,
          to_state: state,
          detail: after.errMsg,
        })
        .execute();
      return after;
    });
  }

  async find(jobId: JobId): Promise<CooldownJob | undefined> {
    const row = await this.#session.db
      .selectFrom('cooldown_job')
      .selectAll()
      .where('job_id', '=', jobId)
      .executeTakeFirst();
    return row === undefined ? undefined : toJob(row);
  }

  /** The oldest first. */
  async list(): Promise<CooldownJob[]> {
    const query = this.#session.db.selectFrom('cooldown_job').selectAll();
    return (await query.orderBy('job_id').execute()).map(toJob);
  }

  /** Jobs that are not final, the oldest first. */
  async active(): Promise<CooldownJobWithConfs[]> {
    const rows = await this.#session.db
      .selectFrom('cooldown_job')
      .selectAll()
      .where('state', 'in', ACTIVE)
      .orderBy('job_id')
      .execute();
    return rows.map((row) => ({ ...toJob(row), confs: this.confsOf(id<JobId>(row.job_id)) }));
  }

  /** By tablet. */
  confsOf(jobId: JobId): CooldownConf[] {
    return this.#session.bulk
      .all<[number, number, number]>(
        `SELECT tablet_id, replica_id, term FROM cooldown_job_tablet
         WHERE job_id = ? ORDER BY tablet_id`,
        [jobId],
      )
      .map(([tabletId, replicaId, term]) => ({
        tabletId: id<TabletId>(tabletId),
        replicaId: id<ReplicaId>(replicaId),
        term,
      }));
  }

  /** How many jobs there are in each state. */
  counts(): Map<CooldownJobState, number> {
    return new Map(
      this.#session.bulk.all<[CooldownJobState, number]>(
        'SELECT state, count(*) FROM cooldown_job GROUP BY state',
        [],
      ),
    );
  }

  /** Of tablets that are gone; at most ~2,000 at once. */
  async forgetLeads(tablets: readonly TabletId[]): Promise<void> {
    if (tablets.length === 0) return;
    await this.#session.write(async (tx) => {
      for (const tabletId of tablets) {
        tx.bulk.run('DELETE FROM tablet_lead WHERE tablet_id = ?', [tabletId]);
        tx.onCommit(() => {
          this.#leads.delete(tabletId);
        });
      }
    });
  }

  /**
   * Forgets up to `limit` final jobs: those that ended before `beforeMs`, and the oldest ones of
   * more than `keep`. How many.
   */
  async expire(beforeMs: number, keep: number, limit: number): Promise<number> {
    const rows = this.#session.bulk.all<[number]>(
      `SELECT job_id FROM cooldown_job WHERE state IN ('FINISHED', 'CANCELLED')
         AND (finish_ms < ? OR job_id <= (
           SELECT job_id FROM cooldown_job WHERE state IN ('FINISHED', 'CANCELLED')
           ORDER BY job_id DESC LIMIT 1 OFFSET ?))
       ORDER BY job_id LIMIT ?`,
      [beforeMs, keep, limit],
    );
    if (rows.length === 0) return 0;
    await this.#session.write(async (tx) => {
      for (const [jobId] of rows) {
        for (const table of ['cooldown_job_tablet', 'job_transition', 'cooldown_job']) {
          tx.bulk.run(`DELETE FROM ${table} WHERE job_id = ?`, [jobId]);
        }
      }
    });
    return rows.length;
  }
}

/** The compare-and-set on the term: undefined when the lead is not what it was. */
/** By the catalog, which a load that it missed tells before anybody else can. */
function lacksVersions({ bulk }: WriteSession, replicaId: ReplicaId): boolean {
  const sql = 'SELECT 1 FROM replica WHERE replica_id = ? AND missing_from IS NOT NULL';
  return bulk.all(sql, [replicaId]).length > 0;
}

function elect(
  tx: WriteSession,
  leads: LeadIndex,
  { tabletId, before, after }: Election,
): CooldownConf | undefined {
  const { replicaId, term } = after;
  if (term <= (before?.term ?? 0)) throw new RangeError(`term ${term} does not rise`);
  const changed =
    before === undefined
      ? tx.bulk.run(
          `INSERT INTO tablet_lead (tablet_id, replica_id, term)
           SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM tablet_lead WHERE tablet_id = ?)`,
          [tabletId, replicaId, term, tabletId],
        )
      : tx.bulk.run(
          'UPDATE tablet_lead SET replica_id = ?, term = ? WHERE tablet_id = ? AND term = ?',
          [replicaId, term, tabletId, before.term],
        );
  if (changed === 0) return undefined;
  const conf = { tabletId, replicaId, term };
  tx.onCommit(() => {
    leads.set(conf);
  });
  return conf;
}

function isLead(tx: WriteSession, { tabletId, replicaId, term }: CooldownConf): boolean {
  const rows = tx.bulk.all(
    'SELECT 1 FROM tablet_lead WHERE tablet_id = ? AND replica_id = ? AND term = ?',
    [tabletId, replicaId, term],
  );
  return rows.length > 0;
}

/** In the order of their tablets, for loading memory. */
export function leadsAfter(
  { bulk }: Pick<Session, 'bulk'>,
  after: number,
  limit: number,
): CooldownConf[] {
  return bulk
    .all<[number, number, number]>(
      `SELECT tablet_id, replica_id, term FROM tablet_lead
       WHERE tablet_id > ? ORDER BY tablet_id LIMIT ?`,
      [after, limit],
    )
    .map(([tabletId, replicaId, term]) => ({
      tabletId: id<TabletId>(tabletId),
      replicaId: id<ReplicaId>(replicaId),
      term,
    }));
}

function toJob(row: JobRow): CooldownJob {
  return {
    jobId: id<JobId>(row.job_id),
    state: row.state,
    version: row.version,
    tablets: row.tablets,
    elected: row.elected,
    reason: row.reason,
    createMs: row.create_ms,
    startMs: row.start_ms,
    finishMs: row.finish_ms,
    timeoutMs: row.timeout_ms,
    errMsg: row.err_msg,
  };
}

function toRow(job: CooldownJob): JobRow {
  return {
    job_id: job.jobId,
    state: job.state,
    version: job.version,
    tablets: job.tablets,
    elected: job.elected,
    reason: job.reason,
    create_ms: job.createMs,
    start_ms: job.startMs,
    finish_ms: job.finishMs,
    timeout_ms: job.timeoutMs,
    err_msg: job.errMsg,
  };
}
