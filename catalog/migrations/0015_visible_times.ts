/** When the visible version of a partition became visible; null: before this column was there. */
import type { Migration } from './migration.ts';

export const VISIBLE_TIMES: Migration = {
  version: 15,
  name: 'visible_times',
  statements: ['ALTER TABLE partition_def ADD COLUMN visible_ms INTEGER'],
};
