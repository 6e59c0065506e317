/** Backends that are processes of their own. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // Which process a remote backend is: with each start on its data directory the number rises.
  `ALTER TABLE backend ADD COLUMN generation INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE backend ADD COLUMN process TEXT NOT NULL DEFAULT ''`,
  // One row: what data directories of backends remember, so that none joins another cluster.
  `CREATE TABLE cluster (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    cluster_id TEXT NOT NULL
  ) STRICT`,
];

export const REMOTE_BACKENDS: Migration = {
  version: 10,
  name: 'remote_backends',
  statements: STATEMENTS,
};
