/** Compactions, and what the removal of replaced rowsets needs. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const COMPACTION: Migration = { version: 4, name: 'compaction', statements: STATEMENTS };
