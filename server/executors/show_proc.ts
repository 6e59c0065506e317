/** SHOW PROC: the places of Doris's tree of internals that scripts look at. */
import { SqlError } from '../../base/errors.ts';
import type { DatabaseId } from '../../base/ids.ts';
import { type RowsResult, type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { BACKENDS } from '../listings/backends.ts';
import { FRONTENDS } from '../listings/frontends.ts';
import { RESOURCES } from '../listings/resources.ts';
import { seenRows } from '../listings/listing.ts';
import { type ExecContext, type Executor, rightsOf } from './executor.ts';
import { statistic, unhealthyTablets } from './proc_statistic.ts';
import { procOfTable } from './proc_tables.ts';

const PLACES = ['backends', 'dbs', 'frontends', 'resources', 'statistic'];

/** Only who may do everything gets here. Throws BAD_PROC_PATH, BAD_DB. */
export const showProc: Executor<'ShowProc'> = async ({ path }, context) => {
  const [place = '', id, ...rest] = path.split('/').filter((part) => part !== '');
  const { services } = context;
  const depth = place === 'dbs' ? Infinity : place === 'statistic' ? 2 : 1;
  const isTooDeep = (id === undefined ? 1 : 2 + rest.length) > depth;
  if (!path.startsWith('/') || isTooDeep) throw badPath(path);
  const rights = rightsOf(context);
  switch (place) {
    case '':
      return list(
        [textColumn('name')],
        PLACES.map((name) => [name]),
      );
    case 'backends':
      return list(BACKENDS.columns, await seenRows(BACKENDS, services, rights));
    case 'frontends':
      return list(FRONTENDS.columns, await seenRows(FRONTENDS, context, rights));
    case 'resources':
      return list(RESOURCES.columns, await seenRows(RESOURCES, services, rights));
    case 'dbs':
      return id === undefined
        ? await databases(context)
        : await ofDatabase(id, rest, path, context);
    case 'statistic': {
      if (id === undefined) return await statistic(services);
      const found = await unhealthyTablets(id, services);
      if (found !== undefined) return found;
    }
  }
  throw badPath(path);
};

function list(columns: RowsResult['columns'], rows: readonly SqlRow[]): RowsResult {
  return { kind: 'rows', columns, rows };
}

function badPath(path: string): SqlError {
  const below = ["'/dbs/<id>'", "'/dbs/<id>/<table id>/partitions'", "'/statistic/<database id>'"];
  const allowed = ["'/'", ...PLACES.map((name) => `'/${name}'`), ...below].join(', ');
  return new SqlError('BAD_PROC_PATH', { path, allowed });
}

async function databases({ services }: ExecContext): Promise<RowsResult> {
  const { catalog } = services;
  const rows: SqlRow[] = [];
  for (const { databaseId, name } of await catalog.databases.list()) {
    const count = (await catalog.tables.list(databaseId)).length;
    rows.push([BigInt(databaseId), name, BigInt(count)]);
  }
  return list([bigintColumn('DbId'), textColumn('DbName'), bigintColumn('TableNum')], rows);
}

async function ofDatabase(
  id: string,
  [tableId, ...rest]: readonly string[],
  path: string,
  context: ExecContext,
): Promise<RowsResult> {
  const { catalog } = context.services;
  const database = (await catalog.databases.list()).find((one) => String(one.databaseId) === id);
  if (database === undefined) throw badPath(path);
  if (tableId === undefined) return await tables(database.databaseId, context);
  const known = await catalog.tables.list(database.databaseId);
  const found = known.find((one) => String(one.tableId) === tableId);
  const table = found === undefined ? undefined : await catalog.tables.byId(found.tableId);
  const result = table === undefined ? undefined : await procOfTable(table, rest, context);
  if (result === undefined) throw badPath(path);
  return result;
}

async function tables(databaseId: DatabaseId, { services }: ExecContext): Promise<RowsResult> {
  const { catalog } = services;
  const rows: SqlRow[] = [];
  for (const { tableId } of await catalog.tables.list(databaseId)) {
    const table = await catalog.tables.byId(tableId);
    if (table === undefined) continue;
    rows.push([
      BigInt(tableId),
      table.name,
      BigInt(table.indexes.length),
      table.partitionKind,
      BigInt(table.partitions.length),
      table.keysType,
      table.replication === undefined ? '1' : String(table.replication.replicationNum),
    ]);
  }
  const columns = [
    bigintColumn('TableId'),
    textColumn('TableName'),
    bigintColumn('IndexNum'),
    textColumn('PartitionType'),
    bigintColumn('PartitionNum'),
    textColumn('KeysType'),
    textColumn('ReplicationNum'),
  ];
  return list(columns, rows);
}
