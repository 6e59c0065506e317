/**
 * Nothing: what is being copied, added or taken away is told by the rows of the replicas themselves.
 * The step only has its number.
 */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [];

export const REPLICA_REPAIR: Migration = {
  version: 11,
  name: 'replica_repair',
  statements: STATEMENTS,
};
