/** CREATE, ALTER, DROP and SHOW of resources. */
import { SqlError } from '../../base/errors.ts';
import type { ConditionalWrites } from '../../base/schema.ts';
import { OK } from '../../base/values.ts';
import { retryStale } from '../../catalog/stale_row.ts';
import { RESOURCES } from '../listings/resources.ts';
import {
  type ResourceSettings,
  changedResource,
  newResource,
  placeGiven,
} from '../resource_properties.ts';
import { checkStore } from '../store_check.ts';
import type { ExecContext, Executor } from './executor.ts';
import { showListing } from './filtered.ts';
import { noteOf } from './if_exists.ts';

/** Tried out for real before it is stored, unless the statement says not to. */
export const createResource: Executor<'CreateResource'> = async (statement, context) => {
  const { resources } = context.services.catalog;
  const { name, ifNotExists, properties } = statement;
  const settings = newResource(properties);
  return await noteOf('RESOURCE_EXISTS', ifNotExists, context, async () => {
    if ((await resources.find(name)) !== undefined) throw new SqlError('RESOURCE_EXISTS', { name });
    const conditionalWrites = settings.validityCheck
      ? await tryOut(name, settings, context)
      : 'unknown';
    await resources.create(name, { ...settings, conditionalWrites });
    return OK;
  });
};

/** The store is tried out again, with what is new; what fails then changes nothing. */
export const alterResource: Executor<'AlterResource'> = async (statement, context) => {
  const { resources } = context.services.catalog;
  const { name, properties } = statement;
  await retryStale(async () => {
    const before = await resources.get(name);
    const settings = changedResource(before, properties);
    const place = placeGiven(properties);
    // Before the store is tried out, and once more in the transaction.
    if (place !== undefined && (await resources.policiesOf(before.resourceId)).length > 0) {
      throw new SqlError('RESOURCE_FIXED', { name: place });
    }
    const known = place === undefined ? before.conditionalWrites : 'unknown';
    const conditionalWrites = settings.validityCheck
      ? await tryOut(name, settings, context)
      : known;
    await resources.alter(before, { ...settings, conditionalWrites }, place);
  });
  await context.services.cooldown.policies.changed();
  return OK;
};

/** Throws RESOURCE_CHECK_FAILED; warns of what works only with less safety. */
async function tryOut(
  name: string,
  { store }: ResourceSettings,
  { services, session }: ExecContext,
): Promise<ConditionalWrites> {
  const report = await checkStore(name, store, 'RESOURCE_CHECK_FAILED', services);
  const lacking = [
    ...(report.conditionalCreate ? [] : ['If-None-Match']),
    ...(report.compareAndSet ? [] : ['If-Match']),
  ];
  if (lacking.length === 0) return 'true';
  const message =
    `Resource(${name}): the store has no conditional writes (${lacking.join(', ')}); ` +
    'who may write is told by leases and terms alone';
  session.warn({ level: 'Warning', code: 1105, message });
  return 'false';
}

export const dropResource: Executor<'DropResource'> = async (statement, context) => {
  const { resources } = context.services.catalog;
  const { name, ifExists } = statement;
  return await noteOf('UNKNOWN_RESOURCE', ifExists, context, async () => {
    await resources.drop(name);
    return OK;
  });
};

export const showResources: Executor<'ShowResources'> = async ({ filter }, context) =>
  await showListing(RESOURCES, context.services, filter, context);
