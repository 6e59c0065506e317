/** Replicas that are being copied, added or taken away. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const REPLICA_REPAIR: Migration = {
  version: 11,
  name: 'replica_repair',
  statements: STATEMENTS,
};
