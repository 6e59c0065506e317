/** ALTER TABLE ... COMPACT and SHOW COMPACTION STATUS. */
import { SqlError } from '../../base/errors.ts';
import type { TableDef } from '../../base/schema.ts';
import type { AlterTableAction } from '../../parser/statement.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { COMPACTION_STATUS, TABLE_COMPACTION_STATUS } from '../listings/compaction_status.ts';
import { type ExecContext, type Executor, tableNameOf } from './executor.ts';
import { showListing } from './filtered.ts';

/**
 * Begins and returns: SHOW COMPACTION STATUS says how far it is. Without a type, small rowsets are
 * merged. Throws UNKNOWN_PARTITION, NOT_SUPPORTED.
 */
export function compactTable(
  table: TableDef,
  { partitions, type = 'CUMULATIVE' }: Extract<AlterTableAction, { readonly kind: 'Compact' }>,
  { services }: ExecContext,
): void {
  if (table.keysType !== 'DUPLICATE') {
    throw new SqlError('NOT_SUPPORTED', { what: `compaction of ${table.keysType} KEY tables` });
  }
  const unknown = partitions.find((name) => table.partitions.every((part) => part.name !== name));
  if (unknown !== undefined) {
    throw new SqlError('UNKNOWN_PARTITION', { partition: unknown, table: table.name });
  }
  const wanted = table.partitions.filter(
    ({ name }) => partitions.length === 0 || partitions.includes(name),
  );
  const tablets = wanted.flatMap(({ partitionId }) =>
    services.catalog.tablets.ofPartition(partitionId).map(({ tabletId }) => tabletId),
  );
  services.compactions.request(table.tableId, tablets, type);
}

/** Throws NO_DB, BAD_DB, NO_SUCH_TABLE; NOT_SUPPORTED for the server's own tables. */
export const showCompactionStatus: Executor<'ShowCompactionStatus'> = async (
  { table: name, filter },
  context,
) => {
  const { services, session } = context;
  if (name === undefined) return await showListing(COMPACTION_STATUS, services, filter, context);
  const { db, table } = tableNameOf(name, session);
  if (isSystemDatabase(db)) {
    throw new SqlError('NOT_SUPPORTED', { what: `SHOW COMPACTION STATUS of ${db}` });
  }
  const found = await services.catalog.tables.get(db, table);
  const source = { services, table: found };
  return await showListing(TABLE_COMPACTION_STATUS, source, filter, context);
};
