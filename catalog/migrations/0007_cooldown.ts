/** Resources, storage policies, and which tables and partitions have which policy. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  `CREATE TABLE resource (
    resource_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('s3', 'file')),
    version INTEGER NOT NULL,
    properties TEXT NOT NULL,
    credentials TEXT,
    validity_check INTEGER NOT NULL CHECK (validity_check IN (0, 1)),
    conditional_writes TEXT NOT NULL CHECK (conditional_writes IN ('true', 'false', 'unknown')),
    created_ms INTEGER NOT NULL
  ) STRICT`,
  // Exactly one of cooldown_ms (a moment) and ttl_s (since the rows were written).
  `CREATE TABLE storage_policy (
    policy_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    resource_id INTEGER NOT NULL REFERENCES resource (resource_id),
    cooldown_ms INTEGER,
    ttl_s INTEGER,
    created_ms INTEGER NOT NULL,
    CHECK ((cooldown_ms IS NULL) <> (ttl_s IS NULL))
  ) STRICT`,
  `CREATE INDEX storage_policy_by_resource ON storage_policy (resource_id)`,
  // A table's policy is that of partitions to come; those that are there have their own.
  `ALTER TABLE table_def ADD COLUMN storage_policy_id INTEGER`,
  `ALTER TABLE partition_def ADD COLUMN storage_policy_id INTEGER`,
  `CREATE INDEX table_def_by_policy ON table_def (storage_policy_id)`,
  `CREATE INDEX partition_def_by_policy ON partition_def (storage_policy_id, partition_id)`,
];

export const COOLDOWN: Migration = { version: 7, name: 'cooldown', statements: STATEMENTS };
