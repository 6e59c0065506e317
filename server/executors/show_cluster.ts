/** SHOW of catalogs, compute groups, backends, frontends and vaults. */
import { BACKENDS } from '../listings/backends.ts';
import { CATALOGS } from '../listings/catalogs.ts';
import { COMPUTE_GROUPS } from '../listings/compute_groups.ts';
import { FRONTENDS } from '../listings/frontends.ts';
import { STORAGE_VAULTS } from '../listings/storage_vaults.ts';
import { computeGroupRows } from '../schema_source.ts';
import type { Executor } from './executor.ts';
import { filtered, showListing } from './filtered.ts';

export const showBackends: Executor<'ShowBackends'> = async ({ filter }, context) =>
  await showListing(BACKENDS, context.services, filter, context);

export const showComputeGroups: Executor<'ShowComputeGroups'> = async ({ filter }, context) =>
  filtered(COMPUTE_GROUPS, await computeGroupRows(context), filter, context);

export const showFrontends: Executor<'ShowFrontends'> = async ({ filter }, context) =>
  await showListing(FRONTENDS, context, filter, context);

export const showStorageVaults: Executor<'ShowStorageVaults'> = async ({ filter }, context) =>
  await showListing(STORAGE_VAULTS, context.services, filter, context);

export const showCatalogs: Executor<'ShowCatalogs'> = async ({ filter }, context) =>
  await showListing(CATALOGS, undefined, filter, context);
