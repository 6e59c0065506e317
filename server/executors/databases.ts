/** CREATE and DROP DATABASE, USE. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import type { Executor } from './executor.ts';
import { noteOf } from './if_exists.ts';
import { readProperties } from '../../parser/properties.ts';

export const createDatabase: Executor<'CreateDatabase'> = async (statement, context) => {
  const { catalog } = context.services;
  const { name, ifNotExists } = statement;
  readProperties(statement.properties, {});
  await noteOf('DB_CREATE_EXISTS', ifNotExists, context, async () => {
    // In any case of letters: a database INFORMATION_SCHEMA would hide the server's own.
    if (isSystemDatabase(name)) throw new SqlError('DB_CREATE_EXISTS', { name });
    await catalog.databases.create(name);
    return OK;
  });
  return { kind: 'ok', affectedRows: 1 };
};

export const dropDatabase: Executor<'DropDatabase'> = async (statement, context) => {
  const { catalog } = context.services;
  const { name, ifExists } = statement;
  const { user } = context.session;
  if (isSystemDatabase(name)) throw new SqlError('SYSTEM_DB_ACCESS', { user, name });
  return await noteOf('DB_DROP_EXISTS', ifExists, context, async () => {
    const known = await catalog.databases.find(name);
    const tables = known === undefined ? [] : await catalog.tables.list(known.databaseId);
    await catalog.databases.drop(name, user);
    if (context.session.database === name) context.session.database = '';
    return { kind: 'ok', affectedRows: tables.length };
  });
};

/** `USE db`, `USE db@group`. */
export const use: Executor<'Use'> = async (statement, { services, session }) => {
  const { db, computeGroup } = statement;
  await expectDatabase(services, db);
  if (computeGroup !== undefined) {
    session.computeGroup = (await services.catalog.computeGroups.get(computeGroup)).name;
  }
  session.database = db;
  return OK;
};

/** `USE @group`. */
export const useComputeGroup: Executor<'UseComputeGroup'> = async ({ name }, context) => {
  const group = await context.services.catalog.computeGroups.get(name);
  context.session.computeGroup = group.name;
  return OK;
};

/** Throws BAD_DB. */
export async function expectDatabase(
  { catalog }: Parameters<typeof use>[1]['services'],
  name: string,
): Promise<void> {
  if (isSystemDatabase(name) || (await catalog.databases.find(name)) !== undefined) return;
  throw new SqlError('BAD_DB', { name });
}
