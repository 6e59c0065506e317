/** Schema change and rollup jobs, and indexes that are being built or removed. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // CREATING: an alter job fills its tablets, nobody reads them. DROPPED: they are being purged.
  `ALTER TABLE index_def ADD COLUMN state TEXT NOT NULL DEFAULT 'NORMAL'
    CHECK (state IN ('CREATING', 'NORMAL', 'DROPPED'))`,
  // Of a rollup: which columns it has, as JSON.
  `ALTER TABLE index_def ADD COLUMN shape TEXT`,
  `CREATE INDEX index_def_by_state ON index_def (state, table_id)`,
  `CREATE TABLE alter_job (
    job_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('SCHEMA_CHANGE', 'ROLLUP')),
    database_id INTEGER NOT NULL,
    table_id INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    state TEXT NOT NULL
      CHECK (state IN ('PENDING', 'WAITING_TXN', 'RUNNING', 'FINISHED', 'CANCELLED')),
    version INTEGER NOT NULL,
    columns TEXT NOT NULL,
    source_group TEXT NOT NULL,
    txn_id INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    timeout_ms INTEGER NOT NULL,
    create_ms INTEGER NOT NULL,
    finish_ms INTEGER,
    msg TEXT NOT NULL
  ) STRICT`,
  `CREATE INDEX alter_job_by_table ON alter_job (table_id, state)`,
  `CREATE INDEX alter_job_by_state ON alter_job (state, finish_ms)`,
  // The indexes that a job builds, and from which it takes the rows.
  `CREATE TABLE alter_index (
    job_id INTEGER NOT NULL,
    index_id INTEGER NOT NULL,
    origin_index_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('BASE', 'ROLLUP')),
    shape TEXT,
    columns TEXT NOT NULL,
    PRIMARY KEY (job_id, index_id)
  ) STRICT, WITHOUT ROWID`,
  // Rowsets that a backend may be writing: known before the first object of theirs is there.
  `CREATE TABLE alter_write (
    rowset_id TEXT NOT NULL PRIMARY KEY,
    job_id INTEGER NOT NULL,
    tablet_id INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX alter_write_by_job ON alter_write (job_id)`,
];

export const ALTER_JOBS: Migration = { version: 5, name: 'alter jobs', statements: STATEMENTS };
