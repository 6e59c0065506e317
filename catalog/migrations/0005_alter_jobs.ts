/** Schema change and rollup jobs. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const ALTER_JOBS: Migration = { version: 5, name: 'alter jobs', statements: STATEMENTS };
