/** Backends that are processes of their own. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const REMOTE_BACKENDS: Migration = {
  version: 10,
  name: 'remote_backends',
  statements: STATEMENTS,
};
