/** SHOW CONFIG and ADMIN SHOW FRONTEND CONFIG: Doris's columns and words for the types. */
import { CONFIG, CONFIG_KEYS, isSecret } from '../../base/config.ts';
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, nobody } from './listing.ts';
import { MASKED } from './storage_vaults.ts';

const TYPE_WORDS = { int: 'int', bytes: 'long', bool: 'boolean', text: 'String' } as const;

export const CONFIG_ENTRIES: Listing<Pick<Services, 'config'>> = {
  columns: ['Key', 'Value', 'Type', 'IsMutable', 'MasterOnly', 'Comment'].map(textColumn),
  likeColumns: ['Key'],
  seen: nobody,
  rows: ({ config }) =>
    CONFIG_KEYS.toSorted().map((key) => {
      const { type, mutable, help } = CONFIG[key];
      const isHidden = isSecret(key) && config.text(key) !== '';
      return [
        key,
        isHidden ? MASKED : config.text(key),
        TYPE_WORDS[type],
        String(mutable),
        'false',
        help,
      ];
    }),
};
