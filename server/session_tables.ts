/**
 * Tables of information_schema that need more than the services: the session that asks, or a walk
 * over all its tables. Each says what a SHOW statement says.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TableDef } from '../base/schema.ts';
import { type SqlRow, textColumn } from '../base/values.ts';
import { ALL_GRANTS_COLUMNS, ROLES_COLUMNS, grantRows, roleRows } from './executors/show_grants.ts';
import { type ExecContext, computeGroupOf, rightsOf } from './executors/executor.ts';
import { type VirtualTable, listingTable } from './information_schema/virtual_table.ts';
import { CATALOGS } from './listings/catalogs.ts';
import { FRONTENDS } from './listings/frontends.ts';
import type { Listing } from './listings/listing.ts';
import { PARTITIONS } from './listings/partitions.ts';
import { PRIVILEGES } from './listings/privileges.ts';
import { TABLETS } from './listings/tablets.ts';

interface Source {
  readonly context: ExecContext;
}

/** Tables whose rows are made before the event loop gets its turn. */
const TABLES_PER_TURN = 20;

/** A listing of one table, for all that the user sees, with their names in front. */
function ofAllTables<ListingSource>(
  name: string,
  { columns }: Pick<Listing<ListingSource>, 'columns'>,
  rowsOf: (context: ExecContext, table: TableDef) => Promise<readonly SqlRow[]>,
): VirtualTable<Source> {
  async function* batches({ context }: Source): AsyncGenerator<readonly SqlRow[]> {
    const { catalog } = context.services;
    const rights = rightsOf(context);
    for (const [at, { tableId }] of (await catalog.tables.list()).entries()) {
      if (at % TABLES_PER_TURN === TABLES_PER_TURN - 1) await nextTurn();
      const table = await catalog.tables.byId(tableId);
      if (table === undefined || !rights.seesTable(table.databaseName, table.name)) continue;
      const rows = await rowsOf(context, table);
      yield rows.map((row) => [table.databaseName, table.name, ...row]);
    }
  }
  const named = [textColumn('DbName'), textColumn('TableName'), ...columns];
  const all = async (source: Source): Promise<readonly SqlRow[]> => {
    const rows: SqlRow[] = [];
    for await (const batch of batches(source)) rows.push(...batch);
    return rows;
  };
  return { ...listingTable(name, { columns: named, rows: all }), batches };
}

async function groupOf(context: ExecContext): Promise<string | undefined> {
  const groups = await context.services.catalog.computeGroups.list();
  return groups.length === 0 ? undefined : await computeGroupOf(context);
}

export const SESSION_TABLES: readonly VirtualTable<Source>[] = [
  listingTable('frontends', {
    columns: FRONTENDS.columns,
    rows: ({ context }: Source) => {
      const rights = rightsOf(context);
      const isSeen = rights.hasGlobal('NODE') || rights.isAdmin;
      return isSeen ? FRONTENDS.rows(context) : [];
    },
  }),
  listingTable('catalogs', CATALOGS),
  listingTable('privileges', PRIVILEGES),
  listingTable('roles', {
    columns: ROLES_COLUMNS,
    rows: ({ context }: Source) => roleRows(context),
  }),
  listingTable('grants', {
    columns: ALL_GRANTS_COLUMNS,
    rows: ({ context }: Source) => grantRows(context),
  }),
  ofAllTables('table_partitions', PARTITIONS, async ({ services }, table) =>
    PARTITIONS.rows({ services, table }),
  ),
  // Which backend serves a tablet of a replicated table is in cooldown_tablets and SHOW TABLETS.
  ofAllTables('tablets', TABLETS, async (context, table) => {
    const { services } = context;
    const computeGroup = table.replication === undefined ? await groupOf(context) : undefined;
    return TABLETS.rows({ services, table, partitions: table.partitions, computeGroup });
  }),
];
