/** Who uploads which tablet, and the jobs that tell the backends. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // No row: nobody was ever elected. The term never falls as long as the tablet lives.
  `CREATE TABLE tablet_lead (
    tablet_id INTEGER PRIMARY KEY,
    replica_id INTEGER NOT NULL,
    term INTEGER NOT NULL CHECK (term >= 1)
  ) STRICT`,
  // tablets: how many it has; elected: for how many of them it made a new term.
  `CREATE TABLE cooldown_job (
    job_id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN
      ('PENDING', 'SEND_CONF', 'RUNNING', 'FINISHED', 'CANCELLED')),
    version INTEGER NOT NULL,
    tablets INTEGER NOT NULL,
    elected INTEGER NOT NULL,
    reason TEXT NOT NULL,
    create_ms INTEGER NOT NULL,
    start_ms INTEGER,
    finish_ms INTEGER,
    timeout_ms INTEGER NOT NULL,
    err_msg TEXT NOT NULL
  ) STRICT`,
  `CREATE INDEX cooldown_job_by_state ON cooldown_job (state, finish_ms)`,
  `CREATE TABLE cooldown_job_tablet (
    job_id INTEGER NOT NULL,
    tablet_id INTEGER NOT NULL,
    replica_id INTEGER NOT NULL,
    term INTEGER NOT NULL,
    PRIMARY KEY (job_id, tablet_id)
  ) STRICT, WITHOUT ROWID`,
];

export const COOLDOWN_JOBS: Migration = {
  version: 9,
  name: 'cooldown_jobs',
  statements: STATEMENTS,
};
