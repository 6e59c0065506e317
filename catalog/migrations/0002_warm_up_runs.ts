/** Runs of warm-up jobs, and the states and types that lasting jobs add. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const WARM_UP_RUNS: Migration = { version: 2, name: 'warm-up runs', statements: STATEMENTS };
