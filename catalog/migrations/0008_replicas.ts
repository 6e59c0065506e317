/** Replicated tables: which replicas there are, and which versions a transaction made. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const REPLICAS: Migration = { version: 8, name: 'replicas', statements: STATEMENTS };
