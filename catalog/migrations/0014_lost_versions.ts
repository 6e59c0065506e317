/** Versions of tablets that were nowhere any more when the tablet was made readable again. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  `CREATE TABLE lost_version (
  tablet_id INTEGER NOT NULL,
  -- The one that was made, or filled, without them.
  replica_id INTEGER NOT NULL,
  from_version INTEGER NOT NULL,
  to_version INTEGER NOT NULL,
  -- Up to which the tablet was cooled; null: not at all.
  cooled_version INTEGER,
  lost_ms INTEGER NOT NULL,
  PRIMARY KEY (tablet_id, replica_id, from_version)
)`,
];

export const LOST_VERSIONS: Migration = {
  version: 14,
  name: 'lost_versions',
  statements: STATEMENTS,
};
