CREATE TABLE account (
  user_name TEXT NOT NULL,
  host TEXT NOT NULL,
  plugin TEXT NOT NULL,
  auth_string TEXT NOT NULL,
  created_ms INTEGER NOT NULL, locked INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)), comment TEXT NOT NULL DEFAULT '', password_changed_ms INTEGER, queries_per_hour INTEGER NOT NULL DEFAULT 0, updates_per_hour INTEGER NOT NULL DEFAULT 0, connections_per_hour INTEGER NOT NULL DEFAULT 0, user_connections INTEGER NOT NULL DEFAULT 0, require_tls INTEGER NOT NULL DEFAULT 0 CHECK (require_tls IN (0, 1)), password_expired INTEGER NOT NULL DEFAULT 0
  CHECK (password_expired IN (0, 1)), password_lifetime_days INTEGER, failed_login_attempts INTEGER, password_lock_second INTEGER,
  PRIMARY KEY (user_name, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE alter_index (
  job_id INTEGER NOT NULL,
  index_id INTEGER NOT NULL,
  origin_index_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('BASE', 'ROLLUP')),
  shape TEXT,
  columns TEXT NOT NULL,
  PRIMARY KEY (job_id, index_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE alter_job (
  job_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('SCHEMA_CHANGE', 'ROLLUP')),
  database_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  table_name TEXT NOT NULL,
  state TEXT NOT NULL
    CHECK (state IN ('PENDING', 'WAITING_TXN', 'RUNNING', 'FINISHED', 'CANCELLED')),
  version INTEGER NOT NULL,
  columns TEXT NOT NULL,
  source_group TEXT NOT NULL,
  txn_id INTEGER NOT NULL,
  schema_version INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  finish_ms INTEGER,
  msg TEXT NOT NULL
) STRICT;

CREATE TABLE alter_write (
  rowset_id TEXT NOT NULL PRIMARY KEY,
  job_id INTEGER NOT NULL,
  tablet_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE backend (
  backend_id INTEGER PRIMARY KEY,
  compute_group_id INTEGER NOT NULL REFERENCES compute_group (compute_group_id),
  kind TEXT NOT NULL CHECK (kind IN ('embedded', 'remote')),
  host TEXT NOT NULL,
  http_port INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ENABLED', 'STOPPED', 'DECOMMISSIONED')),
  version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL
, generation INTEGER NOT NULL DEFAULT 0, process TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE cloud_cache_hotspot (
  cluster_id INTEGER NOT NULL,
  backend_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  index_id INTEGER NOT NULL,
  partition_id INTEGER NOT NULL,
  insert_day TEXT NOT NULL,
  cluster_name TEXT NOT NULL,
  table_name TEXT NOT NULL,
  index_name TEXT NOT NULL,
  partition_name TEXT NOT NULL,
  file_cache_size INTEGER NOT NULL,
  query_per_day INTEGER NOT NULL,
  query_per_week INTEGER NOT NULL,
  last_access_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster_id, backend_id, table_id, index_id, partition_id, insert_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE cluster (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  cluster_id TEXT NOT NULL
) STRICT;

CREATE TABLE compaction (
  compaction_id INTEGER PRIMARY KEY,
  tablet_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  vault_id INTEGER NOT NULL,
  rowset_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('CUMULATIVE', 'BASE', 'FULL')),
  backend_id INTEGER NOT NULL,
  input_rowsets INTEGER NOT NULL,
  input_bytes INTEGER NOT NULL,
  start_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE compute_group (
  compute_group_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE config_override (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cooldown_job (
  job_id INTEGER PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN
    ('PENDING', 'SEND_CONF', 'RUNNING', 'FINISHED', 'CANCELLED')),
  version INTEGER NOT NULL,
  tablets INTEGER NOT NULL,
  elected INTEGER NOT NULL,
  reason TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  start_ms INTEGER,
  finish_ms INTEGER,
  timeout_ms INTEGER NOT NULL,
  err_msg TEXT NOT NULL
) STRICT;

CREATE TABLE cooldown_job_tablet (
  job_id INTEGER NOT NULL,
  tablet_id INTEGER NOT NULL,
  replica_id INTEGER NOT NULL,
  term INTEGER NOT NULL,
  PRIMARY KEY (job_id, tablet_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE database_def (
  database_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE dropped_tablet (
  tablet_id INTEGER NOT NULL,
  resource_id INTEGER NOT NULL,
  PRIMARY KEY (tablet_id, resource_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE garbage (
  garbage_id INTEGER PRIMARY KEY,
  vault_id INTEGER NOT NULL,
  prefix TEXT NOT NULL,
  reason TEXT NOT NULL,
  not_before_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  last_error TEXT
) STRICT;

CREATE TABLE hotspot_token (
  backend_id INTEGER PRIMARY KEY,
  token TEXT NOT NULL
) STRICT;

CREATE TABLE id_allocator (
  name TEXT NOT NULL PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE index_def (
  table_id INTEGER NOT NULL,
  index_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('BASE', 'ROLLUP')), state TEXT NOT NULL DEFAULT 'NORMAL'
  CHECK (state IN ('CREATING', 'NORMAL', 'DROPPED')), shape TEXT,
  PRIMARY KEY (table_id, index_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_transition (
  job_id INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  event TEXT NOT NULL,
  to_state TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  holder TEXT NOT NULL,
  taken_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE load_label (
  database_id INTEGER NOT NULL,
  label TEXT NOT NULL,
  txn_id INTEGER NOT NULL,
  PRIMARY KEY (database_id, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE load_txn (
  txn_id INTEGER PRIMARY KEY,
  database_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  label TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('PREPARE', 'COMMITTING', 'VISIBLE', 'ABORTED')),
  version INTEGER NOT NULL,
  reason TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  filtered_rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  finished_ms INTEGER,
  timeout_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE login_lock (
  user_name TEXT NOT NULL,
  address TEXT NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (user_name, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE lost_version (
tablet_id INTEGER NOT NULL,
-- The one that was made, or filled, without them.
replica_id INTEGER NOT NULL,
from_version INTEGER NOT NULL,
to_version INTEGER NOT NULL,
-- Up to which the tablet was cooled; null: not at all.
cooled_version INTEGER,
lost_ms INTEGER NOT NULL,
PRIMARY KEY (tablet_id, replica_id, from_version)
);

CREATE TABLE partition_def (
  partition_id INTEGER PRIMARY KEY,
  table_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  bounds TEXT NOT NULL,
  buckets INTEGER NOT NULL,
  visible_version INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('CREATING', 'NORMAL', 'DROPPED')),
  version INTEGER NOT NULL
, storage_policy_id INTEGER, replication_num INTEGER, visible_ms INTEGER) STRICT;

CREATE TABLE partition_resource (
  partition_id INTEGER NOT NULL,
  resource_id INTEGER NOT NULL,
  PRIMARY KEY (partition_id, resource_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE privilege_grant (
  grantee_kind TEXT NOT NULL CHECK (grantee_kind IN ('USER', 'ROLE')),
  grantee TEXT NOT NULL,
  host TEXT NOT NULL,
  scope_kind TEXT NOT NULL
    CHECK (scope_kind IN ('TABLE', 'COMPUTE_GROUP', 'RESOURCE', 'STORAGE_VAULT')),
  scope_db TEXT NOT NULL,
  scope_name TEXT NOT NULL,
  privilege TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (grantee_kind, grantee, host, scope_kind, scope_db, scope_name, privilege)
) STRICT, WITHOUT ROWID;

CREATE TABLE replica (
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
) STRICT;

CREATE TABLE replica_version (
  partition_id INTEGER NOT NULL,
  version INTEGER NOT NULL,
  txn_id INTEGER NOT NULL,
  PRIMARY KEY (partition_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE resource (
  resource_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('s3', 'file')),
  version INTEGER NOT NULL,
  properties TEXT NOT NULL,
  credentials TEXT,
  validity_check INTEGER NOT NULL CHECK (validity_check IN (0, 1)),
  conditional_writes TEXT NOT NULL CHECK (conditional_writes IN ('true', 'false', 'unknown')),
  created_ms INTEGER NOT NULL
, dropped INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE role (
  role_name TEXT NOT NULL PRIMARY KEY,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE role_member (
  role_name TEXT NOT NULL,
  user_name TEXT NOT NULL,
  host TEXT NOT NULL, is_default INTEGER NOT NULL DEFAULT 1
  CHECK (is_default IN (0, 1)),
  PRIMARY KEY (role_name, user_name, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE rowset (
  tablet_id INTEGER NOT NULL,
  rowset_id TEXT NOT NULL,
  partition_id INTEGER NOT NULL,
  start_version INTEGER NOT NULL,
  end_version INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  segments TEXT NOT NULL,
  vault_id INTEGER NOT NULL,
  txn_id INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, source_group TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (tablet_id, rowset_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE rowset_event (
  source_group TEXT NOT NULL,
  seq INTEGER NOT NULL,
  txn_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  table_name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('LOAD', 'COMPACTION', 'SCHEMA_CHANGE', 'ROLLUP')),
  rowsets INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (source_group, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE rowset_event_counter (
  source_group TEXT NOT NULL PRIMARY KEY,
  last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schema_version (
  version INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  applied_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE storage_policy (
  policy_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  resource_id INTEGER NOT NULL REFERENCES resource (resource_id),
  cooldown_ms INTEGER,
  ttl_s INTEGER,
  created_ms INTEGER NOT NULL,
  CHECK ((cooldown_ms IS NULL) <> (ttl_s IS NULL))
) STRICT;

CREATE TABLE table_def (
  table_id INTEGER PRIMARY KEY,
  database_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('CREATING', 'NORMAL', 'DROPPED')),
  version INTEGER NOT NULL,
  schema_version INTEGER NOT NULL,
  vault_id INTEGER NOT NULL REFERENCES vault (vault_id),
  definition TEXT NOT NULL,
  created_ms INTEGER NOT NULL
, storage_policy_id INTEGER) STRICT;

CREATE TABLE table_name (
  database_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  table_id INTEGER NOT NULL,
  PRIMARY KEY (database_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tablet (
  tablet_id INTEGER PRIMARY KEY,
  table_id INTEGER NOT NULL,
  partition_id INTEGER NOT NULL,
  index_id INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  row_count INTEGER NOT NULL
) STRICT;

CREATE TABLE tablet_compaction (
  tablet_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  end_ms INTEGER NOT NULL,
  success_ms INTEGER,
  error TEXT NOT NULL,
  compactions INTEGER NOT NULL,
  bytes_read INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL
) STRICT;

CREATE TABLE tablet_lead (
  tablet_id INTEGER PRIMARY KEY,
  replica_id INTEGER NOT NULL,
  term INTEGER NOT NULL CHECK (term >= 1)
) STRICT;

CREATE TABLE vault (
  vault_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('file', 's3')),
  is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
  properties TEXT NOT NULL,
  credentials TEXT,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE warm_up_batch (
  job_id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  backend_id INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('PENDING', 'SENT', 'DONE')),
  version INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  total_bytes INTEGER NOT NULL,
  done_bytes INTEGER NOT NULL,
  cached_bytes INTEGER NOT NULL,
  total_tablets INTEGER NOT NULL,
  done_tablets INTEGER NOT NULL,
  skipped_tablets INTEGER NOT NULL,
  failed_tablets INTEGER NOT NULL,
  PRIMARY KEY (job_id, run, backend_id, batch)
) STRICT, WITHOUT ROWID;

CREATE TABLE warm_up_batch_tablet (
  job_id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  backend_id INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  tablet_ids BLOB NOT NULL,
  PRIMARY KEY (job_id, run, backend_id, batch, chunk)
) STRICT;

CREATE TABLE warm_up_event_job (
  job_id INTEGER PRIMARY KEY,
  source_group TEXT NOT NULL,
  first_txn INTEGER NOT NULL,
  first_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE warm_up_failure (
  job_id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  tablet_id INTEGER NOT NULL,
  item TEXT NOT NULL,
  reason TEXT NOT NULL, at_ms INTEGER,
  PRIMARY KEY (job_id, run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE "warm_up_job" (
  job_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('CLUSTER', 'TABLE', 'TABLES')),
  src_group TEXT,
  dst_group TEXT NOT NULL,
  sync_mode TEXT NOT NULL CHECK (sync_mode IN ('ONCE', 'PERIODIC', 'EVENT_DRIVEN')),
  sync_interval_s INTEGER,
  sync_event TEXT,
  table_filter TEXT,
  state TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'PAUSED', 'FINISHED', 'CANCELLED')),
  force INTEGER NOT NULL CHECK (force IN (0, 1)),
  tables TEXT NOT NULL,
  run INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  version INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  start_ms INTEGER,
  finish_ms INTEGER,
  err_msg TEXT NOT NULL,
  all_batch INTEGER NOT NULL,
  finish_batch INTEGER NOT NULL,
  all_bytes INTEGER NOT NULL,
  finish_bytes INTEGER NOT NULL,
  cached_bytes INTEGER NOT NULL,
  all_tablets INTEGER NOT NULL,
  done_tablets INTEGER NOT NULL,
  skipped_tablets INTEGER NOT NULL,
  failed_tablets INTEGER NOT NULL,
  start_asked INTEGER NOT NULL CHECK (start_asked IN (0, 1))
) STRICT;

CREATE TABLE warm_up_run (
  job_id INTEGER NOT NULL,
  run INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER,
  outcome TEXT NOT NULL
    CHECK (outcome IN ('RUNNING', 'FINISHED', 'FAILED', 'TIMEOUT', 'CANCELLED', 'PAUSED')),
  all_batch INTEGER NOT NULL,
  finish_batch INTEGER NOT NULL,
  all_bytes INTEGER NOT NULL,
  finish_bytes INTEGER NOT NULL,
  cached_bytes INTEGER NOT NULL,
  all_tablets INTEGER NOT NULL,
  done_tablets INTEGER NOT NULL,
  skipped_tablets INTEGER NOT NULL,
  failed_tablets INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (job_id, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE warm_up_slot (
  dst_group TEXT NOT NULL PRIMARY KEY,
  job_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE warm_up_target (
  job_id INTEGER NOT NULL,
  backend_id INTEGER NOT NULL,
  acked_seq INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('LIVE', 'CATCHING_UP')),
  catch_up_txn INTEGER NOT NULL,
  catch_up_end INTEGER NOT NULL,
  PRIMARY KEY (job_id, backend_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX alter_job_by_state ON alter_job (state, finish_ms);

CREATE INDEX alter_job_by_table ON alter_job (table_id, state);

CREATE INDEX alter_write_by_job ON alter_write (job_id);

CREATE INDEX backend_by_group ON backend (compute_group_id);

CREATE UNIQUE INDEX compaction_by_tablet ON compaction (tablet_id);

CREATE INDEX cooldown_job_by_state ON cooldown_job (state, finish_ms);

CREATE INDEX dropped_tablet_by_resource ON dropped_tablet (resource_id);

CREATE INDEX garbage_by_due ON garbage (not_before_ms, garbage_id);

CREATE INDEX hotspot_by_day ON cloud_cache_hotspot (insert_day);

CREATE INDEX index_def_by_state ON index_def (state, table_id);

CREATE INDEX load_txn_by_database ON load_txn (database_id, created_ms);

CREATE INDEX load_txn_by_state ON load_txn (state, finished_ms);

CREATE INDEX login_lock_by_time ON login_lock (until_ms);

CREATE INDEX partition_def_by_policy ON partition_def (storage_policy_id, partition_id);

CREATE INDEX partition_def_by_state ON partition_def (state, partition_id);

CREATE INDEX partition_def_by_table ON partition_def (table_id, state, position);

CREATE INDEX partition_resource_by_resource ON partition_resource (resource_id);

CREATE INDEX replica_by_backend ON replica (backend_id, replica_id);

CREATE INDEX replica_by_tablet ON replica (tablet_id);

CREATE INDEX replica_version_by_txn ON replica_version (txn_id);

CREATE INDEX rowset_by_txn ON rowset (txn_id);

CREATE INDEX storage_policy_by_resource ON storage_policy (resource_id);

CREATE INDEX table_def_by_database ON table_def (database_id);

CREATE INDEX table_def_by_policy ON table_def (storage_policy_id);

CREATE INDEX table_def_by_state ON table_def (state, table_id);

CREATE INDEX tablet_by_partition ON tablet (partition_id);

CREATE INDEX warm_up_job_by_source ON warm_up_job (sync_mode, src_group, state);

CREATE INDEX warm_up_job_by_state ON warm_up_job (state, finish_ms);

CREATE INDEX warm_up_job_by_time ON warm_up_job (create_ms, job_id);

CREATE INDEX warm_up_run_by_time ON warm_up_run (start_ms, job_id, run);
