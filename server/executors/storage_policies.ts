/** CREATE, ALTER, DROP and SHOW of storage policies. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import { retryStale } from '../../catalog/stale_row.ts';
import { DEFAULT_POLICY } from '../../catalog/storage_policies.ts';
import { STORAGE_POLICIES } from '../listings/storage_policies.ts';
import { STORAGE_POLICY_USAGES } from '../listings/storage_policy_usages.ts';
import { changedPolicy, newPolicy } from '../policy_properties.ts';
import type { Executor } from './executor.ts';
import { showListing } from './filtered.ts';

export const createStoragePolicy: Executor<'CreateStoragePolicy'> = async (statement, context) => {
  const { resources, storagePolicies } = context.services.catalog;
  const { name, ifNotExists, properties } = statement;
  const { resource, cooldown } = newPolicy(properties);
  if ((await resources.find(resource)) === undefined) {
    throw new SqlError('POLICY_NO_RESOURCE', { name: resource });
  }
  if (name === DEFAULT_POLICY || (await storagePolicies.find(name)) !== undefined) {
    const exists = new SqlError('POLICY_EXISTS', { name });
    if (!ifNotExists) throw exists;
    context.session.warn({ level: 'Note', code: exists.errno, message: exists.message });
    return OK;
  }
  await storagePolicies.create(name, resource, cooldown);
  await context.services.cooldown.policies.changed();
  return OK;
};

/** Also while tables have the policy: what has cooled already stays as it is. */
export const alterStoragePolicy: Executor<'AlterStoragePolicy'> = async (statement, context) => {
  const { storagePolicies } = context.services.catalog;
  const { name, properties } = statement;
  await retryStale(async () => {
    const before = await storagePolicies.find(name);
    if (before === undefined && name !== DEFAULT_POLICY) {
      throw new SqlError('UNKNOWN_POLICY', { name });
    }
    const { resource, cooldown } = changedPolicy(before, properties);
    if (before === undefined) await storagePolicies.create(name, resource, cooldown);
    else await storagePolicies.alter(before, cooldown);
  });
  await context.services.cooldown.policies.changed();
  return OK;
};

/** The default policy is without a resource again then. */
export const dropStoragePolicy: Executor<'DropStoragePolicy'> = async (statement, context) => {
  const { storagePolicies } = context.services.catalog;
  const { name, ifExists } = statement;
  const before = await storagePolicies.find(name);
  if (ifExists && before === undefined) {
    const { errno, message } = new SqlError('UNKNOWN_POLICY', { name });
    context.session.warn({ level: 'Note', code: errno, message });
    return OK;
  }
  await storagePolicies.drop(name);
  if (before !== undefined) await context.services.cooldown.policies.changed([before.policyId]);
  return OK;
};

export const showStoragePolicies: Executor<'ShowStoragePolicies'> = async ({ filter }, context) =>
  await showListing(STORAGE_POLICIES, context.services, filter, context);

export const showStoragePolicyUsing: Executor<'ShowStoragePolicyUsing'> = async (
  { policy, filter },
  context,
) => {
  const { services } = context;
  return await showListing(STORAGE_POLICY_USAGES, { ...services, policy }, filter, context);
};
