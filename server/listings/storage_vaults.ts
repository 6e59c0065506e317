/** SHOW STORAGE VAULT: Doris's columns. Credentials never show. */
import type { VaultSpec } from '../../base/schema.ts';
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest } from './listing.ts';

/** What stands in place of a secret. */
export const MASKED = '******';

export const STORAGE_VAULTS: Listing<Services> = {
  columns: ['Name', 'Id', 'Properties', 'IsDefault'].map(textColumn),
  likeColumns: ['Name'],
  seen:
    (rights): RowTest =>
    (cell) =>
      rights.mayUse('STORAGE_VAULT', String(cell('Name'))),
  rows: async ({ catalog }) =>
    (await catalog.vaults.list()).map(({ spec, isDefault }) => [
      spec.name,
      String(spec.vaultId),
      Object.entries(vaultProperties(spec))
        .map(([key, value]) => `"${key}" = "${value}"`)
        .join(', '),
      String(isDefault),
    ]),
};

function vaultProperties(spec: VaultSpec): Record<string, string> {
  switch (spec.kind) {
    case 'file':
      return { type: 'file', path: spec.path };
    case 's3':
      return {
        type: 's3',
        's3.endpoint': spec.endpoint,
        's3.region': spec.region,
        's3.bucket': spec.bucket,
        's3.root.path': spec.rootPath,
        's3.access_key': MASKED,
        's3.secret_key': MASKED,
        use_path_style: String(spec.usePathStyle),
      };
  }
}
