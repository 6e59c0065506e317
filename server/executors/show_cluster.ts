/** SHOW of catalogs, compute groups, backends, frontends and vaults. */
import { textColumn } from '../../base/values.ts';
import { BACKENDS } from '../listings/backends.ts';
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

const CATALOGS = {
  columns: [
    'CatalogId',
    'CatalogName',
    'Type',
    'IsCurrent',
    'CreateTime',
    'LastUpdateTime',
    'Comment',
  ].map(textColumn),
  likeColumns: ['CatalogName'],
};

/** Doris's one row for itself: there are no other catalogs here. */
export const showCatalogs: Executor<'ShowCatalogs'> = ({ filter }, context) => {
  const internal = ['0', 'internal', 'internal', 'Yes', null, null, 'Internal catalog'];
  return filtered(CATALOGS, [internal], filter, context);
};
