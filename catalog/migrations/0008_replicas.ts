/** Replicated tables: which replicas there are, and which versions a transaction made. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // No reference to the tablet: a replica outlives it until its backend has dropped it.
  // missing_from..missing_to: versions that it did not get; NULL: it has them all.
  `CREATE TABLE replica (
    replica_id INTEGER PRIMARY KEY,
    tablet_id INTEGER NOT NULL,
    backend_id INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
      ('CREATING', 'NORMAL', 'CLONING', 'DECOMMISSIONING', 'DROPPING')),
    missing_from INTEGER,
    missing_to INTEGER,
    created_ms INTEGER NOT NULL,
    version INTEGER NOT NULL,
    CHECK ((missing_from IS NULL) = (missing_to IS NULL))
  ) STRICT`,
  `CREATE INDEX replica_by_tablet ON replica (tablet_id)`,
  `CREATE INDEX replica_by_backend ON replica (backend_id, replica_id)`,
  // Of replicated tables; NULL: the table is shared.
  `ALTER TABLE partition_def ADD COLUMN replication_num INTEGER`,
  // What a backend asks for that has prepared rowsets; outlives the load's label.
  `CREATE TABLE replica_version (
    partition_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    txn_id INTEGER NOT NULL,
    PRIMARY KEY (partition_id, version)
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX replica_version_by_txn ON replica_version (txn_id)`,
  // Resources in which a partition may have cooled data; outlives the policy that said so.
  `CREATE TABLE partition_resource (
    partition_id INTEGER NOT NULL,
    resource_id INTEGER NOT NULL,
    PRIMARY KEY (partition_id, resource_id)
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX partition_resource_by_resource ON partition_resource (resource_id)`,
  // Dropped tablets whose objects are garbage as soon as no backend has a replica of them.
  `CREATE TABLE dropped_tablet (
    tablet_id INTEGER NOT NULL,
    resource_id INTEGER NOT NULL,
    PRIMARY KEY (tablet_id, resource_id)
  ) STRICT, WITHOUT ROWID`,
  // 1: nobody sees it any more; its row stays until the objects of dropped tablets are deleted.
  `ALTER TABLE resource ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0`,
  `CREATE INDEX dropped_tablet_by_resource ON dropped_tablet (resource_id)`,
];

export const REPLICAS: Migration = { version: 8, name: 'replicas', statements: STATEMENTS };
