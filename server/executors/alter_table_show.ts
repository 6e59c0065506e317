/** SHOW ALTER TABLE COLUMN and SHOW ALTER TABLE ROLLUP. */
import { ALTER_COLUMNS, ALTER_ROLLUPS } from '../listings/alter_jobs.ts';
import { type Executor, databaseOf } from './executor.ts';
import { showListing } from './filtered.ts';

/** Throws NO_DB, BAD_DB. */
export const showAlterTable: Executor<'ShowAlterTable'> = async ({ what, db, filter }, context) => {
  const { services, session } = context;
  const database = await services.catalog.databases.get(databaseOf(db, session));
  const listing = what === 'COLUMN' ? ALTER_COLUMNS : ALTER_ROLLUPS;
  return await showListing(listing, { services, database }, filter, context);
};
