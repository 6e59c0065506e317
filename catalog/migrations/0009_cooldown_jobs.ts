/** Who uploads which tablet, and the jobs that tell the backends. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const COOLDOWN_JOBS: Migration = {
  version: 9,
  name: 'cooldown_jobs',
  statements: STATEMENTS,
};
