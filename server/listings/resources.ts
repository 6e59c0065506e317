/**
 * SHOW RESOURCES: one row per property, in the names of Doris's newest spelling and in their order,
 * which is the order that scripts count on. Secrets never show.
 */
import type { ResourceDef, S3StoreSpec } from '../../base/schema.ts';
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import type { Listing, RowTest } from './listing.ts';
import { MASKED } from './storage_vaults.ts';

export const RESOURCES: Listing<Pick<Services, 'catalog'>> = {
  columns: ['Name', 'ResourceType', 'Item', 'Value'].map(textColumn),
  likeColumns: ['Name'],
  seen:
    (rights): RowTest =>
    (cell) =>
      rights.mayUse('RESOURCE', String(cell('Name'))),
  rows: async ({ catalog }) =>
    (await catalog.resources.list()).flatMap((resource) => {
      const type = resource.store.kind === 's3' ? 's3' : 'local';
      const items = Object.entries({ ...itemsOf(resource), type });
      return items
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([item, value]) => [resource.name, type, item, value]);
    }),
};

function itemsOf(resource: ResourceDef): Readonly<Record<string, string>> {
  const { resourceId, version, store, validityCheck, conditionalWrites } = resource;
  const items = {
    id: String(resourceId),
    version: String(version),
    supports_conditional_writes: conditionalWrites,
  };
  switch (store.kind) {
    case 'file':
      return { ...items, 'local.root.path': store.path };
    case 's3':
      return { ...items, ...s3Items(store), s3_validity_check: String(validityCheck) };
  }
}

/** An access key is a name, as in Doris; the secret key and the token are secrets. */
function s3Items(store: S3StoreSpec): Readonly<Record<string, string>> {
  const { sessionToken, limits } = store;
  return {
    's3.endpoint': store.endpoint,
    's3.region': store.region,
    's3.bucket': store.bucket,
    's3.root.path': store.rootPath,
    's3.access_key': store.accessKey,
    's3.secret_key': MASKED,
    ...(sessionToken === undefined ? {} : { 's3.session_token': MASKED }),
    ...(limits === undefined
      ? {}
      : {
          's3.connection.maximum': String(limits.connectionsMax),
          's3.connection.request.timeout': String(limits.requestTimeoutMs),
          's3.connection.timeout': String(limits.connectTimeoutMs),
        }),
    use_path_style: String(store.usePathStyle),
  };
}
