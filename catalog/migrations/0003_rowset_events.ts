/** The outbox of rowset events, and how far each target has acknowledged it. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // Whose backend wrote the rowset; '' for those from before, and of writers unknown.
  `ALTER TABLE rowset ADD COLUMN source_group TEXT NOT NULL DEFAULT ''`,
  `CREATE TABLE rowset_event (
    source_group TEXT NOT NULL,
    seq INTEGER NOT NULL,
    txn_id INTEGER NOT NULL,
    table_id INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('LOAD', 'COMPACTION', 'SCHEMA_CHANGE', 'ROLLUP')),
    rowsets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (source_group, seq)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE rowset_event_counter (
    source_group TEXT NOT NULL PRIMARY KEY,
    last_seq INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  // Where an event-driven job began: a backend that joins later catches up from here.
  `CREATE TABLE warm_up_event_job (
    job_id INTEGER PRIMARY KEY,
    source_group TEXT NOT NULL,
    first_txn INTEGER NOT NULL,
    first_seq INTEGER NOT NULL
  ) STRICT`,
  // LIVE: follows the log behind acked_seq. CATCHING_UP: besides reads the catalog's rowsets of
  // transactions behind catch_up_txn, up to catch_up_end.
  `CREATE TABLE warm_up_target (
    job_id INTEGER NOT NULL,
    backend_id INTEGER NOT NULL,
    acked_seq INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('LIVE', 'CATCHING_UP')),
    catch_up_txn INTEGER NOT NULL,
    catch_up_end INTEGER NOT NULL,
    PRIMARY KEY (job_id, backend_id)
  ) STRICT, WITHOUT ROWID`,
];

export const ROWSET_EVENTS: Migration = {
  version: 3,
  name: 'rowset events',
  statements: STATEMENTS,
};
