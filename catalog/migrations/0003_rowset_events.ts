/** The outbox of rowset events, and how far each target has acknowledged it. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const ROWSET_EVENTS: Migration = {
  version: 3,
  name: 'rowset events',
  statements: STATEMENTS,
};
