/** Schema change and rollup jobs: what they are to build, and how far they are. */
import type { Selectable } from 'kysely';
import type { RewriteColumn } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { DatabaseId, IndexId, JobId, TableId, TxnId } from '../base/ids.ts';
import type { ColumnDef, IndexDef, RollupShape } from '../base/schema.ts';
import { fromJson, toJson } from './json_text.ts';
import type { AlterState, CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { StaleRow, expectOne } from './stale_row.ts';
import { liveTable } from './tables.ts';

/** Longest message kept with a job, characters. */
const MSG_MAX = 2000;

export type AlterKind = 'SCHEMA_CHANGE' | 'ROLLUP';

/** An index that a job builds. */
export interface AlterIndex {
  readonly indexId: IndexId;
  /** Where its rows come from; a schema change replaces it. */
  readonly originIndexId: IndexId;
  readonly name: string;
  readonly kind: IndexDef['kind'];
  /** Of a rollup. */
  readonly shape?: RollupShape;
  /** Columns of its segments, in order. */
  readonly columns: readonly RewriteColumn[];
}

export interface NewAlterJob {
  readonly kind: AlterKind;
  readonly tableId: TableId;
  /** Of the definition that the job was made from; `StaleRow` when the table has another one. */
  readonly schemaVersion: number;
  /** The table's columns after the job. */
  readonly columns: readonly ColumnDef[];
  readonly indexes: readonly Omit<AlterIndex, 'indexId'>[];
  /** Compute group whose backends do the work. */
  readonly sourceGroup: string;
  readonly timeoutMs: number;
}

export interface AlterJob extends Omit<NewAlterJob, 'indexes'> {
  readonly jobId: JobId;
  readonly databaseId: DatabaseId;
  /** When the job was made. */
  readonly tableName: string;
  readonly state: AlterState;
  /** Of the row; guards every change of it. */
  readonly version: number;
  /** Loads with a lower id began before the job. */
  readonly txnId: TxnId;
  readonly createMs: number;
  readonly finishMs: number | null;
  /** Why it was cancelled; else empty. */
  readonly msg: string;
  readonly indexes: readonly AlterIndex[];
}

const ACTIVE: readonly AlterState[] = ['PENDING', 'WAITING_TXN', 'RUNNING'];

type JobRow = CatalogRows['alter_job'];

export class AlterJobStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * PENDING, with the new indexes in the catalog, invisible. Throws BAD_TABLE, ALTER_JOB_ACTIVE,
   * `StaleRow`.
   */
  async create(job: NewAlterJob): Promise<AlterJob> {
    return this.#session.write(async (tx) => {
      const table = await liveTable(tx, job.tableId);
      await expectNoAlterJob(tx, job.tableId);
      if (table.schema_version !== job.schemaVersion) throw new StaleRow(`table ${table.name}`);
      const row: JobRow = {
        job_id: tx.ids.next<JobId>(),
        kind: job.kind,
        database_id: table.database_id,
        table_id: job.tableId,
        table_name: table.name,
        state: 'PENDING',
        version: 1,
        columns: toJson(job.columns),
        source_group: job.sourceGroup,
        txn_id: tx.ids.next<TxnId>(),
        schema_version: job.schemaVersion,
        timeout_ms: job.timeoutMs,
        create_ms: tx.clock.now(),
        finish_ms: null,
        msg: '',
      };
      await tx.db.insertInto('alter_job').values(row).execute();
      const indexes = job.indexes.map((index) => ({ ...index, indexId: tx.ids.next<IndexId>() }));
      for (const index of indexes) await insertIndex(tx, row, index);
      return toJob(row, indexes);
    });
  }

  async find(jobId: JobId): Promise<AlterJob | undefined> {
    const row = await this.#session.db
      .selectFrom('alter_job')
      .selectAll()
      .where('job_id', '=', jobId)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#withIndexes(row);
  }

  /** Jobs that are not final, the oldest first. */
  async active(): Promise<AlterJob[]> {
    const rows = await this.#session.db
      .selectFrom('alter_job')
      .selectAll()
      .where('state', 'in', ACTIVE)
      .orderBy('job_id')
      .execute();
    return Promise.all(rows.map((row) => this.#withIndexes(row)));
  }

  /** The oldest first; of all databases without an id. */
  async list(kind: AlterKind, databaseId?: DatabaseId): Promise<AlterJob[]> {
    let query = this.#session.db.selectFrom('alter_job').selectAll().where('kind', '=', kind);
    if (databaseId !== undefined) query = query.where('database_id', '=', databaseId);
    const rows = await query.orderBy('job_id').execute();
    return Promise.all(rows.map((row) => this.#withIndexes(row)));
  }

  /** The guarded change of a job's state; the job as it is then. Throws `StaleRow`. */
  async move(before: AlterJob, state: AlterState, msg = ''): Promise<AlterJob> {
    return this.#session.write(async (tx) => {
      const isFinal = !ACTIVE.includes(state);
      const columns = {
        state,
        version: before.version + 1,
        msg: msg.slice(0, MSG_MAX),
        finish_ms: isFinal ? tx.clock.now() : null,
      };
      const result = await tx.db
        .updateTable('alter_job')
        .set(columns)
        .where('job_id', '=', before.jobId)
        .where('state', '=', before.state)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(result.numUpdatedRows, `alter job ${before.jobId}`);
      const { version, finish_ms: finishMs } = columns;
      return { ...before, state, version, finishMs, msg: columns.msg };
    });
  }

  /** Whether loads of the table that began before `before` have not ended. */
  hasLoads(tableId: TableId, before: number): boolean {
    const rows = this.#session.bulk.all(
      `SELECT txn_id FROM load_txn WHERE state IN ('PREPARE', 'COMMITTING')
       AND table_id = ? AND txn_id < ? LIMIT 1`,
      [tableId, before],
    );
    return rows.length > 0;
  }

  /** Forgets up to `limit` final jobs that ended before `beforeMs`; how many. */
  async expire(beforeMs: number, limit: number): Promise<number> {
    const rows = this.#session.bulk.all<[number]>(
      `SELECT job_id FROM alter_job WHERE state IN ('FINISHED', 'CANCELLED') AND finish_ms < ?
       LIMIT ?`,
      [beforeMs, limit],
    );
    if (rows.length === 0) return 0;
    await this.#session.write(async (tx) => {
      for (const [jobId] of rows) {
        tx.bulk.run('DELETE FROM alter_index WHERE job_id = ?', [jobId]);
        tx.bulk.run('DELETE FROM alter_job WHERE job_id = ?', [jobId]);
      }
    });
    return rows.length;
  }

  async #withIndexes(row: JobRow): Promise<AlterJob> {
    const rows = await this.#session.db
      .selectFrom('alter_index')
      .selectAll()
      .where('job_id', '=', row.job_id)
      .orderBy('index_id')
      .execute();
    return toJob(row, rows.map(toIndex));
  }
}

/** A table has one alter job at a time. Throws ALTER_JOB_ACTIVE. */
export async function expectNoAlterJob(tx: Session, tableId: TableId): Promise<void> {
  const row = await tx.db
    .selectFrom('alter_job')
    .select(['job_id', 'kind', 'table_name'])
    .where('table_id', '=', tableId)
    .where('state', 'in', ACTIVE)
    .executeTakeFirst();
  if (row === undefined) return;
  throw new SqlError('ALTER_JOB_ACTIVE', {
    table: row.table_name,
    kind: row.kind,
    id: row.job_id,
  });
}

async function insertIndex(tx: WriteSession, job: JobRow, index: AlterIndex): Promise<void> {
  const shape = index.shape === undefined ? null : toJson(index.shape);
  const { name, kind } = index;
  await tx.db
    .insertInto('index_def')
    .values({
      table_id: job.table_id,
      index_id: index.indexId,
      name,
      kind,
      state: 'CREATING',
      shape,
    })
    .execute();
  await tx.db
    .insertInto('alter_index')
    .values({
      job_id: job.job_id,
      index_id: index.indexId,
      origin_index_id: index.originIndexId,
      name,
      kind,
      shape,
      columns: toJson(index.columns),
    })
    .execute();
}

function toIndex(row: Selectable<CatalogRows['alter_index']>): AlterIndex {
  return {
    indexId: id<IndexId>(row.index_id),
    originIndexId: id<IndexId>(row.origin_index_id),
    name: row.name,
    kind: row.kind,
    ...(row.shape === null ? {} : { shape: fromJson<RollupShape>(row.shape) }),
    columns: fromJson<RewriteColumn[]>(row.columns),
  };
}

function toJob(row: JobRow, indexes: readonly AlterIndex[]): AlterJob {
  return {
    jobId: id<JobId>(row.job_id),
    kind: row.kind,
    databaseId: id<DatabaseId>(row.database_id),
    tableId: id<TableId>(row.table_id),
    tableName: row.table_name,
    state: row.state,
    version: row.version,
    schemaVersion: row.schema_version,
    columns: fromJson<ColumnDef[]>(row.columns),
    sourceGroup: row.source_group,
    txnId: id<TxnId>(row.txn_id),
    timeoutMs: row.timeout_ms,
    createMs: row.create_ms,
    finishMs: row.finish_ms,
    msg: row.msg,
    indexes,
  };
}
