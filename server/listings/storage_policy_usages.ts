/** SHOW STORAGE POLICY USING [FOR p]: tables and partitions that have a policy. */
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, nobody } from './listing.ts';

export interface PolicyUsagesSource extends Pick<Services, 'catalog'> {
  /** Absent: all policies. */
  readonly policy?: string | undefined;
}

export const STORAGE_POLICY_USAGES: Listing<PolicyUsagesSource> = {
  columns: ['PolicyName', 'Database', 'Table', 'Partitions'].map(textColumn),
  likeColumns: ['PolicyName'],
  seen: nobody,
  rows: async ({ catalog, policy: wanted }) =>
    (await catalog.storagePolicies.usages(wanted)).map(
      ({ policy, database, table, partitions }) => [
        policy,
        database,
        table,
        partitions === 'all' ? 'ALL' : partitions.join(','),
      ],
    ),
};
