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
import { noteOf } from './if_exists.ts';

export const createStoragePolicy: Executor<'CreateStoragePolicy'> = async (statement, context) => {
  const { resources, storagePolicies } = context.services.catalog;
  const { name, ifNotExists, properties } = statement;
  if (!context.services.config.get('enable_storage_policy')) throw new SqlError('POLICY_DISABLED');
  const { resource, cooldown } = newPolicy(properties);
  if ((await resources.find(resource)) === undefined) {
    throw new SqlError('POLICY_NO_RESOURCE', { name: resource });
  }
  return await noteOf('POLICY_EXISTS', ifNotExists, context, async () => {
    if (name === DEFAULT_POLICY) throw new SqlError('POLICY_EXISTS', { name });
    await storagePolicies.create(name, resource, cooldown);
    await context.services.cooldown.policies.changed();
    return OK;
  });
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
  return await noteOf('UNKNOWN_POLICY', ifExists, context, async () => {
    const policyId = await storagePolicies.drop(name);
    await context.services.cooldown.policies.changed([policyId]);
    return OK;
  });
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
