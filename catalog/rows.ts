/** The columns of every table as Kysely sees them; `migrations/` is where they come from. */
import type { Generated } from 'kysely';
import type { Privilege, ScopeKind } from '../base/privileges.ts';
import type { BackendAdminState, ConditionalWrites } from '../base/schema.ts';

/** CREATING: being written in chunks, invisible. DROPPED: invisible, being purged. */
export type PresenceState = 'CREATING' | 'NORMAL' | 'DROPPED';
/**
 * PREPARE: rows are being written by a backend. COMMITTING: rowset rows are being inserted above
 * the visible versions. VISIBLE and ABORTED are final.
 */
export type LoadState = 'PREPARE' | 'COMMITTING' | 'VISIBLE' | 'ABORTED';
export type WarmUpJobState = 'PENDING' | 'RUNNING' | 'PAUSED' | 'FINISHED' | 'CANCELLED';
/** How a run of a warm-up job ended; PAUSED: its work goes on in a later run. */
export type WarmUpOutcome = 'RUNNING' | 'FINISHED' | 'FAILED' | 'TIMEOUT' | 'CANCELLED' | 'PAUSED';
/** PENDING: no backend has it. SENT: handed out. DONE: every tablet of it was tried. */
export type WarmUpBatchState = 'PENDING' | 'SENT' | 'DONE';
/**
 * CREATING: its backend is told to make it, empty. NORMAL. CLONING: a new one that is filled from
 * another. DECOMMISSIONING: to be dropped when another one has taken its place. DROPPING: its
 * backend is told to drop it; the row goes when it has.
 */
export type ReplicaState = 'CREATING' | 'NORMAL' | 'CLONING' | 'DECOMMISSIONING' | 'DROPPING';
/** What made new rowsets. */
export type RowsetEventKind = 'LOAD' | 'COMPACTION' | 'SCHEMA_CHANGE' | 'ROLLUP';
/** LIVE: follows the log of events. CATCHING_UP: besides reads what the catalog has. */
export type TargetState = 'LIVE' | 'CATCHING_UP';
/**
 * PENDING: the new tablets are being planned. WAITING_TXN: loads that began before the job have to
 * end first. RUNNING: rowsets are being rewritten, then the table is switched. FINISHED: readers
 * see the new indexes. CANCELLED: nothing has changed. The last two are final.
 */
export type AlterState = 'PENDING' | 'WAITING_TXN' | 'RUNNING' | 'FINISHED' | 'CANCELLED';
/**
 * CUMULATIVE: small rowsets. BASE: at least one that is large. FULL: all of the tablet, asked for.
 */
export type CompactionKind = 'CUMULATIVE' | 'BASE' | 'FULL';
/**
 * PENDING: its leads are in the catalog, nobody was told. SEND_CONF: backends are being told.
 * RUNNING: all that are alive were told, and some have not confirmed yet. FINISHED: every replica on
 * a backend that is alive has the term. CANCELLED: given up; leads stay. The last two are final.
 */
export type CooldownJobState = 'PENDING' | 'SEND_CONF' | 'RUNNING' | 'FINISHED' | 'CANCELLED';
type Bit = 0 | 1;

export interface CatalogRows {
  schema_version: { version: number; name: string; applied_ms: number };
  lease: { id: number; epoch: number; seq: number; holder: string; taken_ms: number };
  id_allocator: { name: string; next: number };
  config_override: { name: string; value: string; changed_ms: number };
  account: {
    user_name: string;
    host: string;
    plugin: string;
    auth_string: string;
    created_ms: number;
    locked: Generated<Bit>;
    comment: Generated<string>;
    password_changed_ms: Generated<number | null>;
    queries_per_hour: Generated<number>;
    updates_per_hour: Generated<number>;
    connections_per_hour: Generated<number>;
    user_connections: Generated<number>;
    require_tls: Generated<Bit>;
    password_expired: Generated<Bit>;
    password_lifetime_days: Generated<number | null>;
    failed_login_attempts: Generated<number | null>;
    password_lock_second: Generated<number | null>;
  };
  role: { role_name: string; created_ms: number };
  role_member: { role_name: string; user_name: string; host: string; is_default: Generated<Bit> };
  privilege_grant: {
    grantee_kind: 'USER' | 'ROLE';
    grantee: string;
    /** Empty for a role. */
    host: string;
    scope_kind: ScopeKind;
    scope_db: string;
    scope_name: string;
    privilege: Privilege;
    created_ms: number;
  };
  login_lock: { user_name: string; address: string; until_ms: number };
  compute_group: { compute_group_id: number; name: string; created_ms: number };
  backend: {
    backend_id: number;
    compute_group_id: number;
    kind: 'embedded' | 'remote';
    host: string;
    http_port: number;
    state: BackendAdminState;
    version: number;
    created_ms: number;
    /** Of a remote backend: how often a process has started on its directory, as it says. */
    generation: number;
    /** The process that may speak for it; '' for none yet. */
    process: string;
  };
  cluster: { singleton: number; cluster_id: string };
  vault: {
    vault_id: number;
    name: string;
    kind: 'file' | 's3';
    is_default: Bit;
    properties: string;
    credentials: string | null;
    created_ms: number;
  };
  resource: {
    resource_id: number;
    name: string;
    kind: 's3' | 'file';
    version: number;
    properties: string;
    credentials: string | null;
    validity_check: Bit;
    conditional_writes: ConditionalWrites;
    created_ms: number;
    dropped: Generated<Bit>;
  };
  storage_policy: {
    policy_id: number;
    name: string;
    version: number;
    resource_id: number;
    cooldown_ms: number | null;
    ttl_s: number | null;
    created_ms: number;
  };
  database_def: { database_id: number; name: string; created_ms: number };
  table_def: {
    table_id: number;
    database_id: number;
    name: string;
    state: PresenceState;
    version: number;
    schema_version: number;
    vault_id: number;
    definition: string;
    created_ms: number;
    storage_policy_id: Generated<number | null>;
  };
  table_name: { database_id: number; name: string; table_id: number };
  index_def: {
    table_id: number;
    index_id: number;
    name: string;
    kind: 'BASE' | 'ROLLUP';
    state: Generated<PresenceState>;
    shape: Generated<string | null>;
  };
  partition_def: {
    partition_id: number;
    table_id: number;
    name: string;
    position: number;
    bounds: string;
    buckets: number;
    visible_version: number;
    state: PresenceState;
    version: number;
    storage_policy_id: Generated<number | null>;
    replication_num: Generated<number | null>;
    visible_ms: Generated<number | null>;
  };
  replica: {
    replica_id: number;
    tablet_id: number;
    backend_id: number;
    state: ReplicaState;
    missing_from: number | null;
    missing_to: number | null;
    created_ms: number;
    version: number;
  };
  replica_version: { partition_id: number; version: number; txn_id: number };
  partition_resource: { partition_id: number; resource_id: number };
  dropped_tablet: { tablet_id: number; resource_id: number };
  tablet: {
    tablet_id: number;
    table_id: number;
    partition_id: number;
    index_id: number;
    bucket: number;
    bytes: number;
    row_count: number;
  };
  rowset: {
    tablet_id: number;
    rowset_id: string;
    partition_id: number;
    start_version: number;
    end_version: number;
    row_count: number;
    bytes: number;
    segments: string;
    vault_id: number;
    txn_id: number;
    created_ms: number;
    source_group: string;
  };
  rowset_event: {
    source_group: string;
    seq: number;
    txn_id: number;
    table_id: number;
    table_name: string;
    kind: RowsetEventKind;
    rowsets: number;
    bytes: number;
    created_ms: number;
  };
  rowset_event_counter: { source_group: string; last_seq: number };
  warm_up_event_job: { job_id: number; source_group: string; first_txn: number; first_seq: number };
  warm_up_target: {
    job_id: number;
    backend_id: number;
    acked_seq: number;
    state: TargetState;
    catch_up_txn: number;
    catch_up_end: number;
  };
  garbage: {
    garbage_id: number;
    vault_id: number;
    prefix: string;
    reason: string;
    not_before_ms: number;
    attempts: number;
    last_error: string | null;
  };
  compaction: {
    compaction_id: number;
    tablet_id: number;
    table_id: number;
    vault_id: number;
    rowset_id: string;
    kind: CompactionKind;
    backend_id: number;
    input_rowsets: number;
    input_bytes: number;
    start_ms: number;
  };
  tablet_compaction: {
    tablet_id: number;
    kind: CompactionKind;
    end_ms: number;
    success_ms: number | null;
    error: string;
    compactions: number;
    bytes_read: number;
    bytes_written: number;
  };
  load_txn: {
    txn_id: number;
    database_id: number;
    table_id: number;
    label: string;
    state: LoadState;
    version: number;
    reason: string;
    row_count: number;
    filtered_rows: number;
    bytes: number;
    created_ms: number;
    finished_ms: number | null;
    timeout_ms: number;
  };
  load_label: { database_id: number; label: string; txn_id: number };
  warm_up_job: {
    job_id: number;
    kind: 'CLUSTER' | 'TABLE' | 'TABLES';
    src_group: string | null;
    dst_group: string;
    sync_mode: 'ONCE' | 'PERIODIC' | 'EVENT_DRIVEN';
    sync_interval_s: number | null;
    sync_event: string | null;
    table_filter: string | null;
    state: WarmUpJobState;
    force: Bit;
    tables: string;
    run: number;
    epoch: number;
    version: number;
    create_ms: number;
    start_ms: number | null;
    finish_ms: number | null;
    err_msg: string;
    all_batch: number;
    finish_batch: number;
    all_bytes: number;
    finish_bytes: number;
    cached_bytes: number;
    all_tablets: number;
    done_tablets: number;
    skipped_tablets: number;
    failed_tablets: number;
    start_asked: Bit;
  };
  warm_up_run: {
    job_id: number;
    run: number;
    start_ms: number;
    end_ms: number | null;
    outcome: WarmUpOutcome;
    all_batch: number;
    finish_batch: number;
    all_bytes: number;
    finish_bytes: number;
    cached_bytes: number;
    all_tablets: number;
    done_tablets: number;
    skipped_tablets: number;
    failed_tablets: number;
    reason: string;
  };
  warm_up_batch: {
    job_id: number;
    run: number;
    backend_id: number;
    batch: number;
    state: WarmUpBatchState;
    version: number;
    attempts: number;
    total_bytes: number;
    done_bytes: number;
    cached_bytes: number;
    total_tablets: number;
    done_tablets: number;
    skipped_tablets: number;
    failed_tablets: number;
  };
  warm_up_batch_tablet: {
    job_id: number;
    run: number;
    backend_id: number;
    batch: number;
    chunk: number;
    tablet_ids: Uint8Array;
  };
  warm_up_failure: {
    job_id: number;
    run: number;
    seq: number;
    tablet_id: number;
    item: string;
    reason: string;
    at_ms: number | null;
  };
  warm_up_slot: { dst_group: string; job_id: number };
  job_transition: {
    job_id: number;
    seq: number;
    at_ms: number;
    from_state: string;
    event: string;
    to_state: string;
    detail: string;
  };
  cloud_cache_hotspot: {
    cluster_id: number;
    backend_id: number;
    table_id: number;
    index_id: number;
    partition_id: number;
    insert_day: string;
    cluster_name: string;
    table_name: string;
    index_name: string;
    partition_name: string;
    file_cache_size: number;
    query_per_day: number;
    query_per_week: number;
    last_access_ms: number;
  };
  hotspot_token: { backend_id: number; token: string };
  alter_job: {
    job_id: number;
    kind: 'SCHEMA_CHANGE' | 'ROLLUP';
    database_id: number;
    table_id: number;
    table_name: string;
    state: AlterState;
    version: number;
    columns: string;
    source_group: string;
    txn_id: number;
    schema_version: number;
    timeout_ms: number;
    create_ms: number;
    finish_ms: number | null;
    msg: string;
  };
  alter_index: {
    job_id: number;
    index_id: number;
    origin_index_id: number;
    name: string;
    kind: 'BASE' | 'ROLLUP';
    shape: string | null;
    columns: string;
  };
  alter_write: { rowset_id: string; job_id: number; tablet_id: number };
  tablet_lead: { tablet_id: number; replica_id: number; term: number };
  cooldown_job: {
    job_id: number;
    state: CooldownJobState;
    version: number;
    tablets: number;
    elected: number;
    reason: string;
    create_ms: number;
    start_ms: number | null;
    finish_ms: number | null;
    timeout_ms: number;
    err_msg: string;
  };
  cooldown_job_tablet: { job_id: number; tablet_id: number; replica_id: number; term: number };
}
