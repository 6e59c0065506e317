/** RENAME TABLE: one transaction, so that tables may change places. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { type Executor, tableNameOf } from './executor.ts';

/** Throws BAD_DB, NO_SUCH_TABLE, TABLE_EXISTS, ALTER_JOB_ACTIVE, NOT_SUPPORTED. */
export const renameTables: Executor<'RenameTables'> = async ({ renames }, context) => {
  const { session, services } = context;
  await services.catalog.transaction(async (tx) => {
    for (const { from, to } of renames) {
      const source = tableNameOf(from, session);
      const target = tableNameOf({ db: to.db ?? source.db, name: to.name }, session);
      for (const { db } of [source, target]) {
        if (!isSystemDatabase(db)) continue;
        throw new SqlError('SYSTEM_DB_ACCESS', { user: session.user, name: db });
      }
      if (source.db !== target.db) {
        throw new SqlError('NOT_SUPPORTED', { what: 'RENAME TABLE into another database' });
      }
      const { tableId } = await tx.tables.get(source.db, source.table);
      await tx.tables.rename(tableId, target.table);
    }
  });
  return OK;
};
