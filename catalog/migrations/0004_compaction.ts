/** Compactions that run, and what became of the last one of each tablet. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // Before a backend writes the first object its rowset is known here: what a crash leaves of it
  // is found, and is garbage.
  `CREATE TABLE compaction (
    compaction_id INTEGER PRIMARY KEY,
    tablet_id INTEGER NOT NULL,
    table_id INTEGER NOT NULL,
    vault_id INTEGER NOT NULL,
    rowset_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('CUMULATIVE', 'BASE', 'FULL')),
    backend_id INTEGER NOT NULL,
    input_rowsets INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    start_ms INTEGER NOT NULL
  ) STRICT`,
  // One compaction of a tablet at a time.
  `CREATE UNIQUE INDEX compaction_by_tablet ON compaction (tablet_id)`,
  `CREATE TABLE tablet_compaction (
    tablet_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    end_ms INTEGER NOT NULL,
    success_ms INTEGER,
    error TEXT NOT NULL,
    compactions INTEGER NOT NULL,
    bytes_read INTEGER NOT NULL,
    bytes_written INTEGER NOT NULL
  ) STRICT`,
];

export const COMPACTION: Migration = { version: 4, name: 'compaction', statements: STATEMENTS };
