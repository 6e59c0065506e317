/**
 * The config table: every key once, with type, default, range, mutability and help (the idea is
 * Doris's ConfigBase). `docs/config.md`, SHOW CONFIG, ADMIN SHOW FRONTEND CONFIG, the checks of
 * `--set`, THERMOCLINE_<KEY>, the file and ADMIN SET all read it. Keys that Doris has keep Doris's
 * names and defaults.
 */
import { SqlError } from './errors.ts';
import { nearest } from './near_miss.ts';
import { parseBytes } from './units.ts';

interface KeyBase {
  readonly mutable: boolean;
  /** One sentence, with the unit. */
  readonly help: string;
  /** Whether the agents get it too, with every heartbeat's answer. */
  readonly agent?: true;
  /** Never shown. */
  readonly secret?: true;
}
interface IntKey extends KeyBase {
  readonly type: 'int';
  readonly default: number;
  readonly min: number;
  readonly max: number;
}
/** Accepts `512MB` as well as a number of bytes. */
interface BytesKey extends KeyBase {
  readonly type: 'bytes';
  readonly default: number;
  readonly min: number;
  readonly max: number;
}
interface BoolKey extends KeyBase {
  readonly type: 'bool';
  readonly default: boolean;
}
interface TextKey extends KeyBase {
  readonly type: 'text';
  readonly default: string;
  readonly pattern: RegExp;
  readonly allowed: string;
}
type ConfigKeySpec = IntKey | BytesKey | BoolKey | TextKey;

const MUTABLE = { mutable: true } as const;
const FIXED = { mutable: false } as const;
const TIB = 2 ** 40;
const INT_MAX = 2 ** 31 - 1;

// prettier-ignore
export const CONFIG = {
  // front door
  mysql_tls: { type: 'bool', default: true, ...MUTABLE, help: 'Whether MySQL clients are offered TLS (1.2 or newer).' },
  ssl_cert: { type: 'text', default: '', mutable: false, pattern: /^[^\0]*$/, allowed: 'a path', help: 'File with the TLS certificate (PEM, with its chain). Empty: one is made at its first use, self-signed, in tls/ of the data directory. A changed file is read again without a restart.' },
  ssl_key: { type: 'text', default: '', mutable: false, pattern: /^[^\0]*$/, allowed: 'a path', help: 'File with the private key of ssl_cert (PEM).' },
  require_secure_transport: { type: 'bool', default: false, ...MUTABLE, help: 'Refuse MySQL logins without TLS (error 3159).' },
  socket: { type: 'text', default: '', ...FIXED, pattern: /^[^\0]*$/, allowed: 'a path', help: 'Path of a unix socket that MySQL clients of this machine may use beside TCP. Empty: none.' },
  socket_mode: { type: 'text', default: '0660', ...FIXED, pattern: /^0?[0-7]{3}$/, allowed: 'three octal digits such as 0660', help: 'Mode of the file of `socket`: who may connect through it.' },
  proxy_protocol_networks: { type: 'text', default: '', ...MUTABLE, pattern: /^(\*|localhost|[\da-fA-F.:]+(\/\d{1,3})?)?(\s*,\s*(\*|localhost|[\da-fA-F.:]+(\/\d{1,3})?))*$/, allowed: 'networks such as 10.0.0.0/8, ::1, localhost or *', help: 'From where MySQL connections may begin with a PROXY protocol header (version 2), whose address then counts as the client\'s. Empty: from nowhere.' },
  max_prepared_stmt_count: { type: 'int', default: 16_382, min: 0, max: 1_048_576, ...MUTABLE, help: 'Most prepared statements of all connections together; one more gets error 1461. 0: none.' },
  max_connections: { type: 'int', default: 1024, min: 1, max: 100_000, ...MUTABLE, help: 'Most MySQL connections at once; one more gets error 1040. One place more is kept for root.' },
  max_user_connections: { type: 'int', default: 0, min: 0, max: 100_000, ...MUTABLE, help: 'Most MySQL connections of one user at once, except root; one more gets error 1203. 0: as many as max_connections.' },
  handshake_timeout_ms: { type: 'int', default: 10_000, min: 10, max: INT_MAX, ...MUTABLE, help: 'Milliseconds a client may take from connecting to being logged in.' },
  wait_timeout: { type: 'int', default: 28_800, min: 1, max: 31_536_000, ...MUTABLE, help: 'Seconds a logged-in connection may be idle; default of the session variable of this name.' },
  net_write_timeout_ms: { type: 'int', default: 60_000, min: 10, max: INT_MAX, ...MUTABLE, help: 'Milliseconds a client may leave a result unread before it is disconnected.' },
  max_allowed_packet: { type: 'bytes', default: 64 * 2 ** 20, min: 1024, max: 2 ** 30, ...MUTABLE, help: 'Largest MySQL packet accepted, bytes, over all its 16 MiB pieces.' },
  max_statement_bytes: { type: 'bytes', default: 2 ** 20, min: 1024, max: 2 ** 26, ...MUTABLE, help: 'Longest statement the parser reads, bytes; INSERT ... VALUES may be as long as max_allowed_packet.' },
  server_version: { type: 'text', default: '5.7.99-thermocline', pattern: /^(?!.*mariadb)\d+\.\d+\.\d+[\w.-]{0,40}$/i, allowed: 'a version such as 5.7.99-thermocline or 8.0.36, without the word MariaDB', ...FIXED, help: 'The version the server announces to MySQL clients.' },
  shutdown_grace_ms: { type: 'int', default: 10_000, min: 0, max: INT_MAX, ...MUTABLE, help: 'Milliseconds that running statements and requests get to finish at shutdown.' },
  log_level: { type: 'text', default: 'info', pattern: /^(debug|info|warn|error|silent)$/, allowed: 'debug, info, warn, error or silent', ...FIXED, help: 'Least important log lines written to stderr (JSON lines).' },

  // users
  initial_root_password: { type: 'text', default: '', pattern: /^[^\0]{0,256}$/, allowed: 'a password in clear, or its hash (*...) as mysql_native_password has it', ...FIXED, secret: true, help: 'Password of root, set at the start while root has none.' },
  allow_empty_root_password: { type: 'bool', default: false, ...FIXED, help: 'Listen on other addresses than those of this machine although root has no password. Root without a password is accepted from this machine only, all the same.' },
  http_bearer_token: { type: 'text', default: '', pattern: /^([\x21-\x7e]{16,256})?$/, allowed: '16 to 256 printable ASCII characters, or nothing', ...MUTABLE, agent: true, secret: true, help: 'Token (Authorization: Bearer ...) with which scrapers and operators read the metrics and use /api/file_cache without a user. Empty: there is none.' },
  http_open_metrics: { type: 'bool', default: false, ...MUTABLE, agent: true, help: 'Everybody may read /metrics. Otherwise from other machines only with the token, or as a user with NODE or ADMIN.' },
  failed_login_attempts: { type: 'int', default: 10, min: 0, max: 1_000_000, ...MUTABLE, help: 'Failed logins in a row of a user from an address after which further ones are refused for failed_login_lock_second; 0: never.' },
  failed_login_lock_second: { type: 'int', default: 60, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds for which logins of a user from an address are refused after failed_login_attempts failures.' },
  default_password_lifetime: { type: 'int', default: 0, min: 0, max: 65_535, ...MUTABLE, help: 'Days after which a password must be changed, for accounts without PASSWORD EXPIRE of their own; 0: never.' },
  disconnect_on_expired_password: { type: 'bool', default: true, ...MUTABLE, help: 'Refuse the login with an expired password of a client that does not say that it can change it (error 1862); false: let it in to change it.' },
  validate_password_length: { type: 'int', default: 0, min: 0, max: 256, ...MUTABLE, help: 'Fewest characters of a new password (error 1819); 0: any, also none.' },
  validate_password_mixed_case_count: { type: 'int', default: 0, min: 0, max: 256, ...MUTABLE, help: 'Fewest lower case letters, and fewest upper case letters, of a new password.' },
  validate_password_number_count: { type: 'int', default: 0, min: 0, max: 256, ...MUTABLE, help: 'Fewest digits of a new password.' },
  validate_password_special_char_count: { type: 'int', default: 0, min: 0, max: 256, ...MUTABLE, help: 'Fewest characters of a new password that are neither letters nor digits.' },
  validate_password_check_user_name: { type: 'bool', default: false, ...MUTABLE, help: 'Refuse a password that is the name of the user, forwards or backwards.' },

  // audit log
  enable_audit_log: { type: 'bool', default: true, ...MUTABLE, help: 'Keep statements and logins in information_schema.audit_log and in log/audit.jsonl of the data directory.' },
  audit_log_memory_rows: { type: 'int', default: 1000, min: 0, max: 100_000, ...MUTABLE, help: 'Newest entries in information_schema.audit_log.' },
  audit_log_max_bytes: { type: 'bytes', default: 64 * 2 ** 20, min: 1024, max: TIB, ...MUTABLE, help: 'Bytes after which log/audit.jsonl is renamed to audit.jsonl.1 and begun anew.' },
  audit_log_roll_num: { type: 'int', default: 10, min: 0, max: 1000, ...MUTABLE, help: 'Older files of the audit log that are kept.' },

  // loads and reads
  streaming_load_max_bytes: { type: 'bytes', default: 10 * 2 ** 30, min: 1, max: TIB, ...MUTABLE, agent: true, help: 'Largest body of one stream load, bytes.' },
  segment_max_bytes: { type: 'bytes', default: 64 * 2 ** 20, min: 2 ** 16, max: 2 ** 30, ...MUTABLE, agent: true, help: 'Raw bytes of rows collected before a segment is written.' },
  replica_write_lag_ms: { type: 'int', default: 10_000, min: 10, max: INT_MAX, ...MUTABLE, agent: true, help: 'Milliseconds that a load waits for the replicas that have not written yet when a majority has; then it goes on without them, and they are repaired later.' },
  report_tablet_interval_seconds: { type: 'int', default: 60, min: 1, max: 86_400, ...MUTABLE, agent: true, help: 'Seconds between reports of a backend about its replicas, at most; what changes is reported within a second or a few.' },
  load_memory_bytes: { type: 'bytes', default: 128 * 2 ** 20, min: 2 ** 20, max: TIB, ...MUTABLE, agent: true, help: 'Raw bytes of rows one load holds in memory over all its tablets; past it the largest are written.' },
  stream_load_default_timeout_second: { type: 'int', default: 259_200, min: 1, max: 604_800, ...MUTABLE, help: 'Seconds after which an unfinished load is aborted.' },
  label_keep_max_second: { type: 'int', default: 259_200, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds for which the label of a finished load is remembered.' },
  dynamic_partition_enable: { type: 'bool', default: true, ...MUTABLE, help: 'Whether partitions of tables with dynamic_partition properties are made and dropped as time goes by.' },
  dynamic_partition_check_interval_seconds: { type: 'int', default: 600, min: 1, max: 86_400, ...MUTABLE, help: 'Seconds between two looks at tables with dynamic partitions.' },
  max_dynamic_partition_num: { type: 'int', default: 500, min: 1, max: 4096, ...MUTABLE, help: 'Partitions that dynamic_partition properties of one table may ask for, history included.' },
  disable_auto_compaction: { type: 'bool', default: false, ...MUTABLE, help: 'No compaction begins by itself; ALTER TABLE ... COMPACT still works. One table: its property of this name.' },
  cumulative_compaction_min_deltas: { type: 'int', default: 5, min: 2, max: 1000, ...MUTABLE, help: 'Neighbouring small rowsets of a tablet that are merged at least; also the factor between two tiers of size.' },
  cumulative_compaction_quiet_second: { type: 'int', default: 120, min: 0, max: 86_400, ...MUTABLE, help: 'A tablet is compacted by itself only when nothing was loaded into it for this long, seconds, or when it has 20 rowsets. 0: at once.' },
  file_cache_follow_compaction: { type: 'bool', default: true, ...MUTABLE, help: 'Whether a compute group that has most of the rowsets cached which a compaction merges gets the result into its cache, too.' },
  cumulative_compaction_max_deltas: { type: 'int', default: 1000, min: 2, max: 100_000, ...MUTABLE, help: 'Most rowsets merged by one compaction; more than 900 are 900.' },
  compaction_promotion_size_mbytes: { type: 'int', default: 1024, min: 1, max: 1_048_576, ...MUTABLE, help: 'MiB from which on a rowset is large: merging such ones is a base compaction.' },
  base_compaction_min_rowset_num: { type: 'int', default: 5, min: 2, max: 1000, ...MUTABLE, help: 'Neighbouring rowsets that a base compaction merges at least.' },
  max_concurrent_compactions: { type: 'int', default: 2, min: 1, max: 1000, ...MUTABLE, help: 'Compactions that run at once, over all backends.' },
  compaction_timeout_ms: { type: 'int', default: 3_600_000, min: 100, max: INT_MAX, ...MUTABLE, help: 'Milliseconds after which a compaction is given up.' },
  garbage_grace_ms: { type: 'int', default: 60_000, min: 0, max: INT_MAX, ...MUTABLE, help: 'Milliseconds that objects of replaced rowsets stay at least, and for which a server that has just started deletes none: backends may still read for the server before it.' },
  exec_mem_limit: { type: 'bytes', default: 512 * 2 ** 20, min: 128 * 2 ** 20, max: TIB, ...MUTABLE, help: 'Bytes of memory that the process of one SELECT may take, its 100 MiB at rest included; one that takes more is stopped (error 3170). Default of the session variable of this name.' },
  query_memory_bytes: { type: 'bytes', default: 128 * 2 ** 20, min: 2 ** 20, max: TIB, ...MUTABLE, help: 'Bytes one SELECT may hold in memory before SQLite spills to a temporary file.' },
  query_timeout: { type: 'int', default: 900, min: 1, max: 259_200, ...MUTABLE, help: 'Seconds after which a SELECT is stopped; default of the session variable of this name.' },

  // changes of tables
  alter_table_timeout_second: { type: 'int', default: 2_592_000, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds after which a schema change or rollup job is cancelled, from its creation.' },
  history_job_keep_max_second: { type: 'int', default: 604_800, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds for which finished and cancelled schema change, rollup and cooldown jobs are kept.' },

  // backends
  heartbeat_interval_ms: { type: 'int', default: 1000, min: 50, max: 60_000, ...MUTABLE, agent: true, help: 'Milliseconds between two heartbeats of a backend.' },
  max_backend_heartbeat_failure_tolerance_count: { type: 'int', default: 5, min: 1, max: 100, ...MUTABLE, help: 'Missed heartbeats after which a backend counts as dead.' },
  tablet_repair_delay_seconds: { type: 'int', default: 300, min: 0, max: INT_MAX, ...MUTABLE, help: 'Seconds for which a backend must be dead before replicas of replicated tables are made elsewhere in its place.' },
  tablet_schedule_interval_ms: { type: 'int', default: 1000, min: 10, max: 3_600_000, ...MUTABLE, help: 'Milliseconds between two rounds in which replicas are added, copied and removed.' },
  recover_with_empty_tablet: { type: 'bool', default: false, ...MUTABLE, help: 'Whether ADMIN REPAIR TABLE makes tablets anew, empty, of which no replica has anything and nothing is cooled. Their data is lost.' },
  max_concurrent_replica_clones: { type: 'int', default: 64, min: 0, max: 10_000, ...MUTABLE, help: 'Replicas that are copied from one backend to another at once, over all backends; 0: none.' },
  replica_clone_slots_per_backend: { type: 'int', default: 4, min: 1, max: 1000, ...MUTABLE, help: 'Replicas that are copied to or from one backend at once.' },
  max_clone_task_timeout_sec: { type: 'int', default: 7200, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds after which the copy of a replica is given up and begun anew.' },
  file_cache_capacity_bytes: { type: 'bytes', default: 4 * 2 ** 30, min: 2 ** 20, max: 64 * TIB, ...FIXED, agent: true, help: 'Bytes of disk the block cache of one embedded backend may use; never exceeded.' },
  file_cache_shares: { type: 'text', default: '5/40/5/50', pattern: /^\d{1,3}\/\d{1,3}\/\d{1,3}\/\d{1,3}$/, allowed: 'four percentages DISPOSABLE/NORMAL/INDEX/TTL that add up to 100', ...FIXED, agent: true, help: 'Shares of the cache queues DISPOSABLE/NORMAL/INDEX/TTL in percent.' },
  file_cache_download_concurrency: { type: 'int', default: 8, min: 1, max: 256, ...MUTABLE, agent: true, help: 'Range downloads of one backend running at once for warm-up.' },
  file_cache_download_range_bytes: { type: 'bytes', default: 8 * 2 ** 20, min: 2 ** 20, max: 64 * 2 ** 20, ...MUTABLE, agent: true, help: 'Longest range asked of the object store at once; missing neighbours are joined up to it.' },
  file_cache_warmup_download_rate_limit_bytes_per_second: { type: 'bytes', default: 100 * 2 ** 20, min: -1, max: TIB, ...MUTABLE, agent: true, help: 'Bytes per second that the warm-ups of one backend may download; 0 or -1: no limit. Queries are never slowed down.' },
  file_cache_warm_up_spare_queried_second: { type: 'int', default: 600, min: 0, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds for which a block that a query read is not evicted for blocks of a warm-up without FORCE; 0: it may be at once.' },
  object_store_retries: { type: 'int', default: 4, min: 0, max: 20, ...MUTABLE, agent: true, help: 'Times a transient object store error is retried, with doubling pauses from 50 ms.' },
  object_store_timeout_ms: { type: 'int', default: 30_000, min: 10, max: INT_MAX, ...MUTABLE, agent: true, help: 'Milliseconds without progress after which an object store request is given up.' },

  // cooldown on backends (Doris's names and defaults where it has them)
  enable_storage_policy: { type: 'bool', default: true, ...MUTABLE, help: 'Whether storage policies can be created and given to tables. What has one keeps it.' },
  cooldown_single_remote_file: { type: 'bool', default: true, ...FIXED, help: 'Whether one replica of a tablet uploads for all of them: always, the key is there for its name.' },
  push_cooldown_conf_timeout_second: { type: 'int', default: 600, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds after which a cooldown job that some backend has not confirmed is cancelled.' },
  cooldown_leader_dead_seconds: { type: 'int', default: 60, min: 1, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds for which a backend must be dead before another replica uploads what its replicas did.' },
  cooldown_thread_num: { type: 'int', default: 5, min: 1, max: 256, ...MUTABLE, agent: true, help: 'Segments that one backend uploads at once to resources of storage policies, and tablets it works on at once.' },
  generate_cooldown_task_interval_sec: { type: 'int', default: 20, min: 1, max: 86_400, ...MUTABLE, agent: true, help: 'Seconds between two looks of a backend for data that is to be cooled down, or that another replica has.' },
  cooldown_upload_rate_limit_bytes_per_second: { type: 'bytes', default: 0, min: 0, max: TIB, ...MUTABLE, agent: true, help: 'Bytes per second that one backend uploads for cooldown and for compactions of cooled data; 0: no limit.' },
  cold_data_compaction_interval_sec: { type: 'int', default: 1800, min: 1, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds between two looks of a backend for tablets whose cooled rowsets are to be merged.' },
  cold_data_compaction_thread_num: { type: 'int', default: 2, min: 0, max: 64, ...MUTABLE, agent: true, help: 'Tablets whose cooled rowsets one backend merges at once. 0: none.' },
  cold_data_compaction_score_threshold: { type: 'int', default: 4, min: 2, max: 100_000, ...MUTABLE, agent: true, help: 'Cooled rowsets of a tablet that are merged at least.' },
  remove_unused_remote_files_interval_sec: { type: 'int', default: 21_600, min: 1, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds between two looks of a backend for objects of cooled tablets that nothing refers to.' },
  confirm_unused_remote_files_interval_sec: { type: 'int', default: 60, min: 1, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds after which the server is asked again whether unused objects may be deleted, when it has not agreed.' },
  cooldown_garbage_grace_seconds: { type: 'int', default: 3600, min: 0, max: INT_MAX, ...MUTABLE, agent: true, help: 'Seconds that an unused object of a cooled tablet stays in its resource at least.' },

  // warm-up (Doris's names and defaults, reference/warm-up 1.9)
  max_active_cloud_warm_up_job: { type: 'int', default: 10, min: 1, max: 1000, ...MUTABLE, help: 'Warm-up jobs that execute a step at once.' },
  cloud_warm_up_timeout_second: { type: 'int', default: 2_592_000, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds after which a run of a warm-up job is ended, from its start.' },
  cloud_warm_up_job_scheduler_interval_millisecond: { type: 'int', default: 1000, min: 10, max: 60_000, ...MUTABLE, help: 'Milliseconds between two scheduler ticks.' },
  cloud_warm_up_job_max_bytes_per_batch: { type: 'bytes', default: 20 * 2 ** 30, min: 1, max: 64 * TIB, ...MUTABLE, help: 'Bytes of tablets in one batch of a warm-up job.' },
  cloud_warm_up_force_all_partitions: { type: 'bool', default: false, ...MUTABLE, help: 'WARM UP ... WITH COMPUTE GROUP warms all tablets instead of the hot partitions.' },
  warm_up_event_backlog_max: { type: 'int', default: 100_000, min: 100, max: 100_000_000, ...MUTABLE, help: 'Rowset events kept for a target of an event-driven warm-up job that is down or paused; one that is further behind catches up from the catalog instead.' },
  file_cache_fill_on_load: { type: 'bool', default: true, ...MUTABLE, help: 'New rowsets of a compute group are brought into the caches of its own serving backends after the commit, in the background.' },
  warm_up_lease_ms: { type: 'int', default: 30_000, min: 100, max: INT_MAX, ...MUTABLE, help: 'Milliseconds after which a backend drops a warm-up batch that the server does not ask for.' },
  warm_up_rowset_slow_log_ms: { type: 'int', default: 1000, min: 0, max: INT_MAX, ...MUTABLE, agent: true, help: 'Milliseconds from the commit of a new rowset to its last block in a target cache, after which it is counted and logged as slow.' },
  history_cloud_warm_up_job_keep_max_second: { type: 'int', default: 604_800, min: 1, max: INT_MAX, ...MUTABLE, help: 'Seconds for which finished and cancelled warm-up jobs are kept.' },
  cloud_warm_up_table_filter_refresh_interval_ms: { type: 'int', default: 60_000, min: 10, max: INT_MAX, ...MUTABLE, help: 'Milliseconds between two evaluations of the ON TABLES filters of warm-up jobs; tables that come, go or get another name are seen at once.' },
  cloud_warm_up_matched_tables_display_limit: { type: 'int', default: 100, min: 1, max: 100_000, ...MUTABLE, help: 'Most names in the column MatchedTables of SHOW WARM UP JOB; then it says how many more there are.' },
  fetch_cluster_cache_hotspot_interval_ms: { type: 'int', default: 3_600_000, min: 100, max: INT_MAX, ...MUTABLE, help: 'Milliseconds between two collections of access counts from the backends.' },
  enable_fetch_cluster_cache_hotspot: { type: 'bool', default: true, ...MUTABLE, help: 'Collect access counts from the backends.' },
} as const satisfies Record<string, ConfigKeySpec>;

export type ConfigKey = keyof typeof CONFIG;
type ValueOf<Spec extends ConfigKeySpec> = Spec['type'] extends 'bool'
  ? boolean
  : Spec['type'] extends 'text'
    ? string
    : number;
export type ConfigValue<Key extends ConfigKey> = ValueOf<(typeof CONFIG)[Key]>;

export const CONFIG_KEYS = Object.keys(CONFIG) as ConfigKey[];

export function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(CONFIG, name);
}

/** Whether its value may not be shown. */
export function isSecret(key: ConfigKey): boolean {
  const spec: ConfigKeySpec = CONFIG[key];
  return spec.secret === true;
}

/** What values a key takes, for messages and docs. */
export function allowedText(key: ConfigKey): string {
  const spec: ConfigKeySpec = CONFIG[key];
  switch (spec.type) {
    case 'int':
      return `a whole number from ${spec.min} to ${spec.max}`;
    case 'bytes':
      return `a size from ${spec.min} to ${spec.max} bytes, such as 1048576 or 1GB`;
    case 'bool':
      return 'true or false';
    case 'text':
      return spec.allowed;
  }
}

/** Text → value; throws BAD_CONFIG naming the key and what is allowed. */
export function parseConfigValue<Key extends ConfigKey>(key: Key, text: string): ConfigValue<Key> {
  const value = parseSpec(CONFIG[key], text.trim());
  if (value === undefined) {
    const shown = isSecret(key) ? '******' : text;
    throw new SqlError('BAD_CONFIG', { name: key, value: shown, allowed: allowedText(key) });
  }
  return value as ConfigValue<Key>;
}

function parseSpec(spec: ConfigKeySpec, text: string): number | boolean | string | undefined {
  switch (spec.type) {
    case 'bool':
      return /^(true|1|on)$/i.test(text) ? true : /^(false|0|off)$/i.test(text) ? false : undefined;
    case 'text':
      return spec.pattern.test(text) ? text : undefined;
    case 'int':
    case 'bytes': {
      const value = /^-?\d{1,16}$/.test(text)
        ? Number(text)
        : spec.type === 'bytes'
          ? parseBytes(text)
          : NaN;
      return value !== undefined && value >= spec.min && value <= spec.max ? value : undefined;
    }
  }
}

/** Whether backends have a copy of it. */
export function isAgentKey(key: ConfigKey): boolean {
  return (CONFIG[key] as ConfigKeySpec).agent === true;
}

/** Current values. One instance per process, handed to whoever needs a setting. */
export class Config {
  readonly #values = new Map<ConfigKey, number | boolean | string>();
  readonly #listeners = new Set<(key: ConfigKey) => void>();

  /** `overrides`: text values by key, checked; unknown keys throw UNKNOWN_CONFIG. */
  constructor(overrides: Readonly<Record<string, string>> = {}) {
    for (const [name, text] of Object.entries(overrides)) {
      if (!isConfigKey(name)) throw unknownConfig(name);
      this.#values.set(name, parseConfigValue(name, text));
    }
  }

  get<Key extends ConfigKey>(key: Key): ConfigValue<Key> {
    return (this.#values.get(key) ?? CONFIG[key].default) as ConfigValue<Key>;
  }

  /** Whether it was set, or has its default. */
  isSet(key: ConfigKey): boolean {
    return this.#values.has(key);
  }

  /** Changes a mutable key while running; throws UNKNOWN_CONFIG, CONFIG_NOT_MUTABLE, BAD_CONFIG. */
  setLive(name: string, text: string): void {
    if (!isConfigKey(name)) throw unknownConfig(name);
    if (!CONFIG[name].mutable) throw new SqlError('CONFIG_NOT_MUTABLE', { name });
    this.#values.set(name, parseConfigValue(name, text));
    for (const listener of this.#listeners) listener(name);
  }

  /**
   * Sets whatever the server says, mutable or not: for an agent's copy. Who listens hears of what
   * is another value now, when all are set.
   */
  replace(values: Readonly<Record<string, string>>): void {
    const changed: ConfigKey[] = [];
    for (const [name, text] of Object.entries(values)) {
      if (!isConfigKey(name)) continue;
      const before = this.get(name);
      this.#values.set(name, parseConfigValue(name, text));
      if (this.get(name) !== before) changed.push(name);
    }
    for (const name of changed) for (const listener of this.#listeners) listener(name);
  }

  /** Calls `listener` with each key that is set while running. */
  onChange(listener: (key: ConfigKey) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The value as text, as `--set` would take it. */
  text(key: ConfigKey): string {
    return String(this.get(key));
  }

  /** What agents need to know. */
  agentValues(): Record<string, string> {
    const keys = CONFIG_KEYS.filter(isAgentKey);
    return Object.fromEntries(keys.map((key) => [key, this.text(key)]));
  }
}

function unknownConfig(name: string): SqlError {
  const near = nearest(name, CONFIG_KEYS);
  return new SqlError('UNKNOWN_CONFIG', {
    name,
    hint: near === undefined ? '' : `; did you mean '${near}'?`,
  });
}
