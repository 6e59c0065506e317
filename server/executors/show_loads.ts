/** SHOW LOAD, SHOW STREAM LOAD, SHOW TRANSACTION: the newest loads of a database. */
import type { RowsResult } from '../../base/values.ts';
import type { ShowFilter } from '../../parser/statement.ts';
import type { Listing } from '../listings/listing.ts';
import { type DatabaseLoads, LOAD_JOBS, STREAM_LOADS, TRANSACTIONS } from '../listings/loads.ts';
import { type ExecContext, type Executor, databaseOf } from './executor.ts';
import { showListing } from './filtered.ts';

/** Throws NO_DB, BAD_DB. */
const showOf =
  (listing: Listing<DatabaseLoads>) =>
  async (
    { db, filter }: { readonly db: string | undefined; readonly filter: ShowFilter },
    context: ExecContext,
  ): Promise<RowsResult> => {
    const { services, session } = context;
    const database = await services.catalog.databases.get(databaseOf(db, session));
    return await showListing(listing, { services, database }, filter, context);
  };

export const showLoad: Executor<'ShowLoad'> = showOf(LOAD_JOBS);
export const showStreamLoad: Executor<'ShowStreamLoad'> = showOf(STREAM_LOADS);
export const showTransaction: Executor<'ShowTransaction'> = showOf(TRANSACTIONS);
