/** Schema change and rollup jobs: SHOW ALTER TABLE COLUMN, ... ROLLUP, information_schema. */
import { timeText, timeTextOrNull } from '../../base/units.ts';
import { type SqlRow, type SqlValue, bigintColumn, textColumn } from '../../base/values.ts';
import type { AlterIndex, AlterJob, AlterKind } from '../../catalog/alter_jobs.ts';
import type { DatabaseDef } from '../../catalog/databases.ts';
import type { Rights } from '../access/rights.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest, ofTable } from './listing.ts';

type AlterServices = Pick<Services, 'catalog' | 'alters'>;

export interface DatabaseAlters {
  readonly services: AlterServices;
  readonly database: DatabaseDef;
}

/** Of a listing whose rows name a table and no database. */
const ofNamedTable =
  (rights: Rights, { database }: DatabaseAlters): RowTest =>
  (cell) =>
    rights.seesTable(database.name, String(cell('TableName')));

/** What Doris shows when there is nothing to show. */
const NOTHING = 'N/A';

/** Rowsets rewritten of those found, while it runs. */
function progressText({ alters }: AlterServices, { jobId, state }: AlterJob): string {
  const progress = state === 'RUNNING' ? alters.progress(jobId) : undefined;
  return progress === undefined ? NOTHING : `${progress.done}/${progress.found}`;
}

/** Only the table's name when the job began is known for ever. */
async function tableNameOf({ catalog }: AlterServices, job: AlterJob): Promise<string> {
  return (await catalog.tables.byId(job.tableId))?.name ?? job.tableName;
}

async function rowsOf(
  services: AlterServices,
  kind: AlterKind,
  database: DatabaseDef,
  row: (job: AlterJob, index: AlterIndex, table: string) => SqlRow,
): Promise<SqlRow[]> {
  const rows: SqlRow[] = [];
  for (const job of await services.catalog.alterJobs.list(kind, database.databaseId)) {
    const table = await tableNameOf(services, job);
    rows.push(...job.indexes.map((index) => row(job, index, table)));
  }
  return rows;
}

const seconds = (ms: number): bigint => BigInt(Math.round(ms / 1000));

/** Version of the table's definition that the job makes. */
const schemaVersion = ({ schemaVersion: before }: AlterJob): string => String(before + 1);

/** One row for every index that a job rewrites, in Doris's columns. */
export const ALTER_COLUMNS: Listing<DatabaseAlters> = {
  columns: [
    bigintColumn('JobId'),
    ...['TableName', 'CreateTime', 'FinishTime', 'IndexName'].map(textColumn),
    ...['IndexId', 'OriginIndexId'].map(bigintColumn),
    textColumn('SchemaVersion'),
    bigintColumn('TransactionId'),
    ...['State', 'Msg', 'Progress'].map(textColumn),
    bigintColumn('Timeout'),
  ],
  likeColumns: ['TableName'],
  seen: ofNamedTable,
  rows: async ({ services, database }) =>
    rowsOf(services, 'SCHEMA_CHANGE', database, (job, index, table) => [
      BigInt(job.jobId),
      table,
      timeText(job.createMs),
      timeTextOrNull(job.finishMs),
      index.name,
      BigInt(index.indexId),
      BigInt(index.originIndexId),
      schemaVersion(job),
      BigInt(job.txnId),
      job.state,
      job.msg,
      progressText(services, job),
      seconds(job.timeoutMs),
    ]),
};

/** Rollup jobs, in Doris's columns. */
export const ALTER_ROLLUPS: Listing<DatabaseAlters> = {
  columns: [
    bigintColumn('JobId'),
    ...['TableName', 'CreateTime', 'FinishTime', 'BaseIndexName', 'RollupIndexName'].map(
      textColumn,
    ),
    ...['RollupId', 'TransactionId'].map(bigintColumn),
    ...['State', 'Msg', 'Progress'].map(textColumn),
    bigintColumn('Timeout'),
  ],
  likeColumns: ['TableName'],
  seen: ofNamedTable,
  rows: async ({ services, database }) =>
    rowsOf(services, 'ROLLUP', database, (job, index, table) => [
      BigInt(job.jobId),
      table,
      timeText(job.createMs),
      timeTextOrNull(job.finishMs),
      table,
      index.name,
      BigInt(index.indexId),
      BigInt(job.txnId),
      job.state,
      job.msg,
      progressText(services, job),
      seconds(job.timeoutMs),
    ]),
};

/** Both kinds, of all databases. */
export const ALTER_JOBS: Listing<AlterServices> = {
  columns: [
    bigintColumn('JobId'),
    ...['Type', 'DbName', 'TableName', 'IndexName'].map(textColumn),
    ...['IndexId', 'OriginIndexId'].map(bigintColumn),
    textColumn('SchemaVersion'),
    bigintColumn('TransactionId'),
    ...['State', 'Msg', 'Progress', 'CreateTime', 'FinishTime', 'ComputeGroup'].map(textColumn),
    bigintColumn('Timeout'),
  ],
  likeColumns: ['TableName'],
  seen: ofTable('DbName', 'TableName'),
  rows: async (services) => {
    const rows: SqlRow[] = [];
    for (const database of await services.catalog.databases.list()) {
      for (const kind of ['SCHEMA_CHANGE', 'ROLLUP'] as const) {
        rows.push(
          ...(await rowsOf(services, kind, database, (job, index, table): SqlValue[] => [
            BigInt(job.jobId),
            job.kind,
            database.name,
            table,
            index.name,
            BigInt(index.indexId),
            BigInt(index.originIndexId),
            schemaVersion(job),
            BigInt(job.txnId),
            job.state,
            job.msg,
            progressText(services, job),
            timeText(job.createMs),
            timeTextOrNull(job.finishMs),
            job.sourceGroup,
            seconds(job.timeoutMs),
          ])),
        );
      }
    }
    return rows;
  },
};
