/**
 * Runs of warm-up jobs, and the states and types that lasting jobs add. SQLite cannot change a
 * CHECK: the table of jobs is made anew and filled from the old one.
 */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  `CREATE TABLE warm_up_job_new (
    job_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('CLUSTER', 'TABLE', 'TABLES')),
    src_group TEXT,
    dst_group TEXT NOT NULL,
    sync_mode TEXT NOT NULL CHECK (sync_mode IN ('ONCE', 'PERIODIC', 'EVENT_DRIVEN')),
    sync_interval_s INTEGER,
    sync_event TEXT,
    table_filter TEXT,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'PAUSED', 'FINISHED', 'CANCELLED')),
    force INTEGER NOT NULL CHECK (force IN (0, 1)),
    tables TEXT NOT NULL,
    run INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    create_ms INTEGER NOT NULL,
    start_ms INTEGER,
    finish_ms INTEGER,
    err_msg TEXT NOT NULL,
    all_batch INTEGER NOT NULL,
    finish_batch INTEGER NOT NULL,
    all_bytes INTEGER NOT NULL,
    finish_bytes INTEGER NOT NULL,
    cached_bytes INTEGER NOT NULL,
    all_tablets INTEGER NOT NULL,
    done_tablets INTEGER NOT NULL,
    skipped_tablets INTEGER NOT NULL,
    failed_tablets INTEGER NOT NULL,
    start_asked INTEGER NOT NULL CHECK (start_asked IN (0, 1))
  ) STRICT`,
  `INSERT INTO warm_up_job_new SELECT *, 0 FROM warm_up_job`,
  `DROP TABLE warm_up_job`,
  `ALTER TABLE warm_up_job_new RENAME TO warm_up_job`,
  `CREATE INDEX warm_up_job_by_state ON warm_up_job (state, finish_ms)`,
  `CREATE INDEX warm_up_job_by_time ON warm_up_job (create_ms, job_id)`,
  // who listens to a source; twins of a new job
  `CREATE INDEX warm_up_job_by_source ON warm_up_job (sync_mode, src_group, state)`,
  `CREATE TABLE warm_up_run (
    job_id INTEGER NOT NULL,
    run INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER,
    outcome TEXT NOT NULL
      CHECK (outcome IN ('RUNNING', 'FINISHED', 'FAILED', 'TIMEOUT', 'CANCELLED', 'PAUSED')),
    all_batch INTEGER NOT NULL,
    finish_batch INTEGER NOT NULL,
    all_bytes INTEGER NOT NULL,
    finish_bytes INTEGER NOT NULL,
    cached_bytes INTEGER NOT NULL,
    all_tablets INTEGER NOT NULL,
    done_tablets INTEGER NOT NULL,
    skipped_tablets INTEGER NOT NULL,
    failed_tablets INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job_id, run)
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX warm_up_run_by_time ON warm_up_run (start_ms, job_id, run)`,
  // null: recorded before there were times
  `ALTER TABLE warm_up_failure ADD COLUMN at_ms INTEGER`,
  // jobs of before had one run each
  `INSERT INTO warm_up_run
    SELECT job_id, run, start_ms, finish_ms,
      CASE
        WHEN state IN ('RUNNING', 'FINISHED') THEN state
        WHEN err_msg = 'Timeout' THEN 'TIMEOUT'
        WHEN err_msg = 'user cancel' OR err_msg LIKE 'system cancel%' THEN 'CANCELLED'
        ELSE 'FAILED'
      END,
      all_batch, finish_batch, all_bytes, finish_bytes, cached_bytes,
      all_tablets, done_tablets, skipped_tablets, failed_tablets, err_msg
    FROM warm_up_job WHERE start_ms IS NOT NULL`,
];

export const WARM_UP_RUNS: Migration = { version: 2, name: 'warm-up runs', statements: STATEMENTS };
