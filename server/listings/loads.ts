/** Load transactions: `information_schema.loads`, SHOW LOAD, SHOW STREAM LOAD, SHOW TRANSACTION. */
import type { TableId } from '../../base/ids.ts';
import { ANY } from '../../base/privileges.ts';
import type { DatabaseDef } from '../../catalog/databases.ts';
import type { LoadTxn } from '../../catalog/loads.ts';
import { timeText, timeTextOrNull } from '../../base/units.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { Rights } from '../access/rights.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest, ofTable } from './listing.ts';

/** Newest loads listed of each database. */
const LOADS_MAX = 2000;

type LoadServices = Pick<Services, 'catalog'>;

export interface DatabaseLoads {
  readonly services: LoadServices;
  readonly database: DatabaseDef;
}

interface NamedLoad extends LoadTxn {
  readonly databaseName: string;
  /** null: the table was dropped. */
  readonly tableName: string | null;
}

/** Rows without a table in a column of theirs: for who may see all tables of the database. */
const ofDatabase = (rights: Rights, { database }: DatabaseLoads): RowTest => {
  const all = rights.seesTable(database.name, ANY);
  return () => all;
};

async function loadsOf({ catalog }: LoadServices, database: DatabaseDef): Promise<NamedLoad[]> {
  const loads = await catalog.loads.list(database.databaseId, LOADS_MAX);
  const names = new Map<TableId, string | null>();
  for (const { tableId } of loads) {
    if (names.has(tableId)) continue;
    names.set(tableId, (await catalog.tables.byId(tableId))?.name ?? null);
  }
  return loads.map((load) => ({
    ...load,
    databaseName: database.name,
    tableName: names.get(load.tableId) ?? null,
  }));
}

/** All databases; the state is the transaction's. */
export const LOADS: Listing<LoadServices> = {
  columns: [
    bigintColumn('TransactionId'),
    ...['Label', 'Db', 'Table', 'State'].map(textColumn),
    ...['LoadedRows', 'FilteredRows', 'LoadBytes'].map(bigintColumn),
    ...['CreateTime', 'FinishTime', 'ErrorMsg'].map(textColumn),
  ],
  likeColumns: ['Label'],
  seen: ofTable('Db', 'Table'),
  rows: async (services) => {
    const rows: SqlRow[] = [];
    for (const database of await services.catalog.databases.list()) {
      for (const load of await loadsOf(services, database)) rows.push(loadRow(load));
    }
    return rows;
  },
};

function loadRow(load: NamedLoad): SqlRow {
  return [
    BigInt(load.txnId),
    load.label,
    load.databaseName,
    load.tableName,
    load.state,
    BigInt(load.rows),
    BigInt(load.filteredRows),
    BigInt(load.bytes),
    timeText(load.createdMs),
    timeTextOrNull(load.finishedMs),
    load.reason,
  ];
}

/** SHOW LOAD: Doris's columns. There is no ETL step here, and one transaction is one job. */
export const LOAD_JOBS: Listing<DatabaseLoads> = {
  columns: [
    'JobId',
    'Label',
    'State',
    'Progress',
    'Type',
    'EtlInfo',
    'TaskInfo',
    'ErrorMsg',
    'CreateTime',
    'EtlStartTime',
    'EtlFinishTime',
    'LoadStartTime',
    'LoadFinishTime',
    'URL',
    'JobDetails',
    'TransactionId',
  ].map(textColumn),
  likeColumns: ['Label'],
  seen: ofDatabase,
  rows: async ({ services, database }) =>
    (await loadsOf(services, database)).map((load) => [
      String(load.txnId),
      load.label,
      JOB_STATES[load.state],
      load.state === 'VISIBLE' ? '100.00%' : '0.00%',
      null,
      null,
      null,
      load.reason,
      timeText(load.createdMs),
      null,
      null,
      timeText(load.createdMs),
      timeTextOrNull(load.finishedMs),
      null,
      JSON.stringify({
        Table: load.tableName,
        LoadedRows: load.rows,
        FilteredRows: load.filteredRows,
        LoadBytes: load.bytes,
      }),
      String(load.txnId),
    ]),
};

/** A load's state in the words of SHOW LOAD. */
const JOB_STATES: Readonly<Record<LoadTxn['state'], string>> = {
  PREPARE: 'LOADING',
  COMMITTING: 'LOADING',
  VISIBLE: 'FINISHED',
  ABORTED: 'CANCELLED',
};

/** SHOW STREAM LOAD: Doris's columns. INSERT goes the same way, so its loads are here too. */
export const STREAM_LOADS: Listing<DatabaseLoads> = {
  columns: [
    ...['Label', 'Db', 'Table', 'ClientIp', 'Status', 'Message', 'Url'].map(textColumn),
    ...['TotalRows', 'LoadedRows', 'FilteredRows', 'UnselectedRows', 'LoadBytes'].map(bigintColumn),
    ...['StartTime', 'FinishTime'].map(textColumn),
  ],
  likeColumns: ['Label'],
  seen: ofTable('Db', 'Table'),
  rows: async ({ services, database }) =>
    (await loadsOf(services, database)).map((load) => [
      load.label,
      load.databaseName,
      load.tableName,
      null,
      STREAM_STATES[load.state],
      load.reason,
      null,
      BigInt(load.rows + load.filteredRows),
      BigInt(load.rows),
      BigInt(load.filteredRows),
      null,
      BigInt(load.bytes),
      timeText(load.createdMs),
      timeTextOrNull(load.finishedMs),
    ]),
};

const STREAM_STATES: Readonly<Record<LoadTxn['state'], string>> = {
  PREPARE: 'Running',
  COMMITTING: 'Running',
  VISIBLE: 'Success',
  ABORTED: 'Fail',
};

/** SHOW TRANSACTION: Doris's columns. Commit and publish are one step here. */
export const TRANSACTIONS: Listing<DatabaseLoads> = {
  columns: [
    'TransactionId',
    'Label',
    'Coordinator',
    'TransactionStatus',
    'LoadJobSourceType',
    'PrepareTime',
    'PreCommitTime',
    'CommitTime',
    'FinishTime',
    'Reason',
    'ErrorReplicasCount',
    'ListenerId',
    'TimeoutMs',
    'ErrMsg',
  ].map(textColumn),
  likeColumns: ['Label'],
  seen: ofDatabase,
  rows: async ({ services, database }) =>
    (await loadsOf(services, database)).map((load) => [
      String(load.txnId),
      load.label,
      null,
      load.state,
      null,
      timeText(load.createdMs),
      null,
      load.state === 'VISIBLE' ? timeTextOrNull(load.finishedMs) : null,
      timeTextOrNull(load.finishedMs),
      load.reason,
      '0',
      null,
      String(load.timeoutMs),
      load.reason,
    ]),
};
