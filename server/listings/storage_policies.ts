/** SHOW STORAGE POLICY: Doris's columns. A time that is not set is -1. */
import type { CooldownTime } from '../../base/schema.ts';
import { timeText } from '../../base/units.ts';
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, nobody } from './listing.ts';

const UNSET = '-1';

export const STORAGE_POLICIES: Listing<Pick<Services, 'catalog'>> = {
  columns: [
    'PolicyName',
    'Id',
    'Version',
    'Type',
    'StorageResource',
    'CooldownDatetime',
    'CooldownTtl',
  ].map(textColumn),
  likeColumns: ['PolicyName'],
  seen: nobody,
  rows: async ({ catalog }) =>
    (await catalog.storagePolicies.list()).map((policy) => [
      policy.name,
      String(policy.policyId),
      String(policy.version),
      'STORAGE',
      policy.resourceName,
      ...timeCells(policy.cooldown),
    ]),
};

function timeCells(cooldown: CooldownTime): readonly [datetime: string, ttl: string] {
  switch (cooldown.kind) {
    case 'datetime':
      return [timeText(cooldown.atMs).slice(0, 19), UNSET];
    case 'ttl':
      return [UNSET, String(cooldown.seconds)];
  }
}
