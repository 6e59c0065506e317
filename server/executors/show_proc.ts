/** SHOW PROC: the places of Doris's tree of internals that scripts look at. */
import { SqlError } from '../../base/errors.ts';
import { type RowsResult, type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { BACKENDS } from '../listings/backends.ts';
import { FRONTENDS } from '../listings/frontends.ts';
import { RESOURCES } from '../listings/resources.ts';
import { seenRows } from '../listings/listing.ts';
import { type ExecContext, type Executor, rightsOf } from './executor.ts';

const PLACES = ['backends', 'dbs', 'frontends', 'resources'];

/** Only who may do everything gets here. Throws BAD_PROC_PATH, BAD_DB. */
export const showProc: Executor<'ShowProc'> = async ({ path }, context) => {
  const [place = '', id, ...rest] = path.split('/').filter((part) => part !== '');
  const { services } = context;
  if (!path.startsWith('/') || rest.length > 0 || (id !== undefined && place !== 'dbs')) {
    throw badPath(path);
  }
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
      return id === undefined ? await databases(context) : await tables(id, path, context);
  }
  throw badPath(path);
};

function list(columns: RowsResult['columns'], rows: readonly SqlRow[]): RowsResult {
  return { kind: 'rows', columns, rows };
}

function badPath(path: string): SqlError {
  const allowed = ["'/'", ...PLACES.map((name) => `'/${name}'`), "'/dbs/<id>'"].join(', ');
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

async function tables(id: string, path: string, { services }: ExecContext): Promise<RowsResult> {
  const { catalog } = services;
  const database = (await catalog.databases.list()).find((one) => String(one.databaseId) === id);
  if (database === undefined) throw badPath(path);
  const rows: SqlRow[] = [];
  for (const { tableId } of await catalog.tables.list(database.databaseId)) {
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
