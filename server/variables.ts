/**
 * The system variables: one record each. SHOW VARIABLES, SET and @@x all read this table. What
 * real clients read or set at login is here; a variable that changes nothing in this server keeps
 * the value it is given, as MySQL does with a variable whose feature is off.
 */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import type { ColumnType, SqlValue } from '../base/values.ts';
import { DEFAULT_MODES, type ScanModes } from '../grammar/lexer.ts';
import { isTimeZone } from './select/time_zones.ts';

export type VariableScope = 'session' | 'global';

interface SpecBase {
  /** Where it exists. */
  readonly scope: 'session' | 'global' | 'both';
  readonly readOnly?: true;
  /** Another name of the variable whose value this one shows. */
  readonly alias?: string;
}
interface IntSpec extends SpecBase {
  readonly type: 'int';
  readonly default: bigint;
  readonly min: bigint;
  readonly max: bigint;
}
interface BoolSpec extends SpecBase {
  readonly type: 'bool';
  readonly default: boolean;
}
interface TextSpec extends SpecBase {
  readonly type: 'text';
  readonly default: string;
  /** Turns what was given into what is kept; undefined: not allowed. */
  readonly check?: (text: string) => string | undefined;
  /** SET x = NULL is allowed and keeps NULL. */
  readonly nullable?: true;
}
type Spec = IntSpec | BoolSpec | TextSpec;
type Kept = bigint | boolean | string | null;

const UINT64_MAX = 2n ** 64n - 1n;
const YEAR_SECONDS = 31_536_000n;

const both = { scope: 'both' } as const;
const global = { scope: 'global' } as const;
const fixed = { scope: 'global', readOnly: true } as const;
const int = (value: bigint, rest: SpecBase, min = 0n, max = UINT64_MAX): IntSpec => ({
  type: 'int',
  default: value,
  min,
  max,
  ...rest,
});
const bool = (value: boolean, rest: SpecBase): BoolSpec => ({
  type: 'bool',
  default: value,
  ...rest,
});
const text = (value: string, rest: SpecBase, check?: TextSpec['check']): TextSpec => ({
  type: 'text',
  default: value,
  ...rest,
  ...(check === undefined ? {} : { check }),
});
const oneOf =
  (...allowed: readonly string[]) =>
  (given: string): string | undefined =>
    allowed.find((value) => value.toLowerCase() === given.toLowerCase());

const CHARSETS = ['utf8mb4', 'utf8mb3', 'utf8', 'latin1', 'ascii', 'binary'];
/** The charsets a client may name; the server itself keeps everything as UTF-8. */
const KNOWN_CHARSETS: ReadonlySet<string> = new Set(CHARSETS);

/** Default collation of each charset, as MySQL 5.7 announces it. */
const DEFAULT_COLLATIONS: Readonly<Record<string, string>> = {
  utf8mb4: 'utf8mb4_general_ci',
  utf8mb3: 'utf8_general_ci',
  utf8: 'utf8_general_ci',
  latin1: 'latin1_swedish_ci',
  ascii: 'ascii_general_ci',
  binary: 'binary',
};

function charset(given: string): string | undefined {
  return oneOf(...CHARSETS)(given);
}

function collation(given: string): string | undefined {
  const name = given.toLowerCase();
  const known = name === 'binary' || CHARSETS.some((set) => name.startsWith(`${set}_`));
  return known ? name : undefined;
}

const ANSI_MODES = [
  'REAL_AS_FLOAT',
  'PIPES_AS_CONCAT',
  'ANSI_QUOTES',
  'IGNORE_SPACE',
  'ONLY_FULL_GROUP_BY',
];
const TRADITIONAL_MODES = [
  'STRICT_TRANS_TABLES',
  'STRICT_ALL_TABLES',
  'NO_ZERO_IN_DATE',
  'NO_ZERO_DATE',
  'ERROR_FOR_DIVISION_BY_ZERO',
  'NO_AUTO_CREATE_USER',
  'NO_ENGINE_SUBSTITUTION',
];
const SQL_MODES = new Set([
  ...ANSI_MODES,
  ...TRADITIONAL_MODES,
  'ALLOW_INVALID_DATES',
  'HIGH_NOT_PRECEDENCE',
  'NO_AUTO_VALUE_ON_ZERO',
  'NO_BACKSLASH_ESCAPES',
  'NO_DIR_IN_CREATE',
  'NO_UNSIGNED_SUBTRACTION',
  'PAD_CHAR_TO_FULL_LENGTH',
  'TIME_TRUNCATE_FRACTIONAL',
  'ANSI',
  'TRADITIONAL',
]);

/** A comma-separated list of mode names; ANSI and TRADITIONAL bring what they stand for. */
function sqlMode(given: string): string | undefined {
  const modes = given
    .toUpperCase()
    .split(',')
    .map((mode) => mode.trim())
    .filter((mode) => mode !== '');
  if (modes.some((mode) => !SQL_MODES.has(mode))) return undefined;
  const all = modes.flatMap((mode) =>
    mode === 'ANSI'
      ? [...ANSI_MODES, mode]
      : mode === 'TRADITIONAL'
        ? [...TRADITIONAL_MODES, mode]
        : [mode],
  );
  return [...new Set(all)].join(',');
}

/** SYSTEM, UTC, GMT, an offset or a name. The server itself runs in UTC. */
function timeZone(given: string): string | undefined {
  if (/^(system|utc|gmt)$/i.test(given)) return given.toUpperCase();
  if (/^[a-z]/i.test(given)) return isTimeZone(given) ? given : undefined;
  const match = /^([+-])(\d{1,2}):(\d\d)$/.exec(given);
  if (match === null || Number(match[2]) > 14 || Number(match[3]) > 59) return undefined;
  return `${match[1]}${(match[2] ?? '').padStart(2, '0')}:${match[3]}`;
}

const ISOLATION = oneOf('READ-UNCOMMITTED', 'READ-COMMITTED', 'REPEATABLE-READ', 'SERIALIZABLE');

// prettier-ignore
const VARIABLES = {
  auto_increment_increment: int(1n, both, 1n, 65_535n), auto_increment_offset: int(1n, both, 1n, 65_535n),
  autocommit: bool(true, both), automatic_sp_privileges: bool(true, global), back_log: int(80n, fixed),
  big_tables: bool(false, both), bind_address: text('*', fixed),
  character_set_client: text('utf8mb4', both, charset), character_set_connection: text('utf8mb4', both, charset),
  character_set_database: text('utf8mb4', both, charset), character_set_filesystem: text('binary', both, charset),
  character_set_results: { ...text('utf8mb4', both, charset), nullable: true } as TextSpec,
  character_set_server: text('utf8mb4', both, charset), character_set_system: text('utf8', fixed), character_sets_dir: text('', fixed),
  collation_connection: text('utf8mb4_general_ci', both, collation), collation_database: text('utf8mb4_general_ci', both, collation),
  collation_server: text('utf8mb4_general_ci', both, collation), completion_type: text('NO_CHAIN', both), connect_timeout: int(10n, global, 2n, YEAR_SECONDS),
  datadir: text('', fixed), default_storage_engine: text('OLAP', both), default_tmp_storage_engine: text('OLAP', both), default_week_format: int(0n, both, 0n, 7n),
  div_precision_increment: int(4n, both, 0n, 30n), event_scheduler: text('OFF', global, oneOf('OFF', 'ON')), explicit_defaults_for_timestamp: bool(true, both),
  exec_mem_limit: int(536_870_912n, both, 134_217_728n, 1_099_511_627_776n),
  foreign_key_checks: bool(true, both), group_concat_max_len: int(1_048_576n, both, 4n), have_openssl: text('YES', fixed), have_query_cache: text('NO', fixed), have_ssl: text('YES', fixed),
  hostname: text('localhost', fixed), init_connect: text('', global), innodb_lock_wait_timeout: int(50n, both), innodb_read_only: bool(false, fixed), innodb_version: text('', fixed), interactive_timeout: int(28_800n, both, 1n, YEAR_SECONDS), join_buffer_size: int(262_144n, both),
  language: text('', fixed), last_insert_id: int(0n, { scope: 'session' }), lc_messages: text('en_US', both), lc_time_names: text('en_US', both), license: text('Apache-2.0', fixed),
  local_infile: bool(false, global), lock_wait_timeout: int(YEAR_SECONDS, both, 1n, YEAR_SECONDS), log_bin: bool(false, fixed), long_query_time: int(10n, both), lower_case_file_system: bool(false, fixed), lower_case_table_names: int(0n, fixed, 0n, 2n),
  max_allowed_packet: int(67_108_864n, both, 1024n, 1_073_741_824n), max_connections: int(1024n, { scope: 'global' }, 1n, 100_000n), max_error_count: int(64n, both, 0n, 65_535n), max_execution_time: int(0n, both), max_join_size: int(UINT64_MAX, both, 1n),
  max_prepared_stmt_count: int(16_382n, global, 0n, 1_048_576n), max_user_connections: int(0n, both, 0n, 100_000n), net_buffer_length: int(16_384n, both, 1024n, 1_048_576n), net_read_timeout: int(30n, both, 1n, YEAR_SECONDS), net_write_timeout: int(60n, both, 1n, YEAR_SECONDS), old_passwords: int(0n, both, 0n, 2n),
  optimizer_switch: text('', both), performance_schema: bool(false, fixed), pid_file: text('', fixed), port: int(9030n, fixed, 0n, 65_535n), profiling: bool(false, both), protocol_version: int(10n, fixed), pseudo_thread_id: int(0n, { scope: 'session' }),
  query_cache_limit: int(1_048_576n, global), query_cache_size: int(0n, global), query_cache_type: text('OFF', both, oneOf('OFF', 'ON', 'DEMAND')), query_timeout: int(900n, both, 1n, 259_200n), read_only: bool(false, global), server_id: int(1n, global),
  session_track_gtids: text('OFF', both, oneOf('OFF')), session_track_schema: bool(true, both), session_track_state_change: bool(false, both),
  session_track_system_variables: text('time_zone,autocommit,character_set_client,character_set_results,character_set_connection', both), session_track_transaction_info: text('OFF', both, oneOf('OFF')),
  show_old_temporals: bool(false, both), skip_networking: bool(false, fixed), socket: text('', fixed), sql_auto_is_null: bool(false, both), sql_big_selects: bool(true, both), sql_log_bin: bool(true, { scope: 'session' }), sql_log_off: bool(false, both), sql_mode: text('STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', both, sqlMode),
  sql_notes: bool(true, both), sql_quote_show_create: bool(true, both), sql_safe_updates: bool(false, both), sql_select_limit: int(UINT64_MAX, both), sql_warnings: bool(false, both), storage_engine: text('OLAP', both), super_read_only: bool(false, global),
  system_time_zone: text('UTC', fixed), table_definition_cache: int(1400n, global), table_open_cache: int(2000n, global), thread_cache_size: int(9n, global), time_zone: text('SYSTEM', both, timeZone), timestamp: int(0n, { scope: 'session' }), tls_version: text('TLSv1.2,TLSv1.3', fixed), tmp_table_size: int(16_777_216n, both), tmpdir: text('', fixed),
  transaction_isolation: text('REPEATABLE-READ', both, ISOLATION), transaction_read_only: bool(false, both), tx_isolation: { ...text('REPEATABLE-READ', both, ISOLATION), alias: 'transaction_isolation' }, tx_read_only: { ...bool(false, both), alias: 'transaction_read_only' },
  admin_port: int(33_062n, fixed), binlog_format: text('ROW', both), default_authentication_plugin: text('caching_sha2_password', fixed), default_collation_for_utf8mb4: text('utf8mb4_general_ci', both, collation),
  default_password_lifetime: int(0n, global, 0n, 65_535n), flush: bool(false, global), general_log: bool(false, global), gtid_executed: text('', fixed), gtid_mode: text('OFF', fixed), gtid_purged: text('', fixed),
  have_compress: text('YES', fixed), have_dynamic_loading: text('NO', fixed), have_geometry: text('NO', fixed), have_profiling: text('NO', fixed), have_statement_timeout: text('YES', fixed), have_symlink: text('DISABLED', fixed),
  information_schema_stats_expiry: int(86_400n, both), innodb_buffer_pool_size: int(0n, fixed), innodb_file_per_table: bool(true, fixed), innodb_flush_log_at_trx_commit: int(1n, global), innodb_stats_on_metadata: bool(false, global), innodb_strict_mode: bool(true, both),
  key_buffer_size: int(0n, global), large_files_support: bool(true, fixed), log_bin_trust_function_creators: bool(false, global), log_error: text('stderr', fixed), log_output: text('FILE', global), max_heap_table_size: int(16_777_216n, both), max_length_for_sort_data: int(4096n, both),
  max_sort_length: int(1024n, both), net_retry_count: int(10n, both), open_files_limit: int(0n, fixed), optimizer_prune_level: int(1n, both), optimizer_search_depth: int(62n, both), optimizer_trace: text('enabled=off,one_line=off', both), partial_revokes: bool(false, global),
  plugin_dir: text('', fixed), profiling_history_size: int(15n, both, 0n, 100n), protocol_compression_algorithms: text('zlib,zstd,uncompressed', fixed), read_buffer_size: int(131_072n, both), read_rnd_buffer_size: int(262_144n, both), require_secure_transport: bool(false, global),
  resultset_metadata: text('FULL', { scope: 'session' }, oneOf('FULL')), secure_file_priv: text('NULL', fixed), server_uuid: text('', fixed), skip_name_resolve: bool(true, fixed), skip_show_database: bool(false, fixed), slow_query_log: bool(false, global), sort_buffer_size: int(262_144n, both),
  sql_generate_invisible_primary_key: bool(false, both), sql_require_primary_key: bool(false, both), ssl_ca: text('', fixed), ssl_capath: text('', fixed), ssl_cert: text('', fixed), ssl_cipher: text('', fixed), ssl_key: text('', fixed), thread_handling: text('one-thread-per-connection', fixed),
  // Of features that are not there, with the values that say so or MySQL's defaults: what monitors and replication readers look at.
  basedir: text('', fixed), binlog_checksum: text('NONE', global, oneOf('NONE')), binlog_expire_logs_seconds: int(0n, global), binlog_row_image: text('FULL', both, oneOf('FULL')), block_encryption_mode: text('aes-128-ecb', both),
  bulk_insert_buffer_size: int(8_388_608n, both), concurrent_insert: text('AUTO', global), cte_max_recursion_depth: int(1000n, both), default_table_encryption: bool(false, both), delay_key_write: text('ON', global), disabled_storage_engines: text('', fixed),
  end_markers_in_json: bool(false, both), enforce_gtid_consistency: text('OFF', fixed), eq_range_index_dive_limit: int(200n, both), expire_logs_days: int(0n, global), general_log_file: text('', global), have_innodb: text('NO', fixed),
  identity: { ...int(0n, { scope: 'session' }), alias: 'last_insert_id' }, innodb_page_size: int(16_384n, fixed), innodb_stats_persistent: bool(false, global), log_queries_not_using_indexes: bool(false, global), log_replica_updates: bool(false, fixed),
  log_slave_updates: { ...bool(false, fixed), alias: 'log_replica_updates' }, log_timestamps: text('UTC', global), low_priority_updates: bool(false, both), mandatory_roles: text('', fixed), max_binlog_size: int(1_073_741_824n, global),
  max_connect_errors: int(100n, global), min_examined_row_limit: int(0n, both), print_identified_with_as_hex: bool(false, both), show_create_table_skip_secondary_engine: bool(false, { scope: 'session' }),
  show_gipk_in_create_table_and_information_schema: bool(true, both), slow_query_log_file: text('', global), sql_buffer_result: bool(false, both), thread_stack: int(1_048_576n, fixed), tls_ciphersuites: text('', fixed),
  updatable_views_with_limit: text('YES', both), windowing_use_high_precision: bool(true, both),
  unique_checks: bool(true, both), version: text('', fixed), version_comment: text('Thermocline', fixed), version_compile_machine: text('', fixed), version_compile_os: text('', fixed), wait_timeout: int(28_800n, both, 1n, YEAR_SECONDS), warning_count: int(0n, { scope: 'session', readOnly: true }), error_count: int(0n, { scope: 'session', readOnly: true }),
} as const satisfies Record<string, Spec>;

export type VariableName = keyof typeof VARIABLES;
export const VARIABLE_NAMES = Object.keys(VARIABLES) as VariableName[];

function specOf(name: string): { readonly name: VariableName; readonly spec: Spec } {
  const key = name.toLowerCase();
  if (Object.hasOwn(VARIABLES, key)) {
    const spec: Spec = VARIABLES[key as VariableName];
    return { name: (spec.alias ?? key) as VariableName, spec };
  }
  const near = nearest(key, VARIABLE_NAMES);
  throw new SqlError(
    'UNKNOWN_VARIABLE',
    { name },
    near === undefined ? {} : { hint: `did you mean '${near}'?` },
  );
}

function wrongValue(name: string, given: SqlValue, allowed: string): SqlError {
  return new SqlError('WRONG_VALUE', {
    name,
    value: given === null ? 'NULL' : String(given),
    allowed,
  });
}

/** What MySQL says of words of a list that has an error of its own. */
function unknownWord(name: string, { check }: TextSpec, given: SqlValue): SqlError {
  const word = given === null ? 'NULL' : String(given);
  if (check === charset) return new SqlError('UNKNOWN_CHARSET', { name: word });
  if (check === collation) return new SqlError('UNKNOWN_COLLATION', { name: word });
  if (check === timeZone) return new SqlError('UNKNOWN_TIME_ZONE', { name: word });
  return wrongValue(name, given, '');
}

/**
 * The value to keep; throws WRONG_VALUE, UNKNOWN_CHARSET, UNKNOWN_COLLATION, UNKNOWN_TIME_ZONE.
 * Whole numbers out of range are clamped, as MySQL does.
 */
function keptValue(name: string, spec: Spec, given: SqlValue): Kept {
  switch (spec.type) {
    case 'bool': {
      const word = String(given).toUpperCase();
      if (word === '1' || word === 'ON' || word === 'TRUE') return true;
      if (word === '0' || word === 'OFF' || word === 'FALSE') return false;
      throw wrongValue(name, given, '; allowed: ON or OFF');
    }
    case 'int': {
      if (given === null || !/^\s*-?\d+\s*$/.test(String(given))) {
        throw wrongValue(name, given, `; allowed: a whole number from ${spec.min} to ${spec.max}`);
      }
      const value = BigInt(String(given).trim());
      return value < spec.min ? spec.min : value > spec.max ? spec.max : value;
    }
    case 'text': {
      if (given === null && spec.nullable === true) return null;
      const kept =
        given === null
          ? undefined
          : spec.check === undefined
            ? String(given)
            : spec.check(String(given));
      if (kept === undefined) throw unknownWord(name, spec, given);
      return kept;
    }
  }
}

function shownText(value: Kept): string {
  if (typeof value === 'boolean') return value ? 'ON' : 'OFF';
  return value === null ? '' : String(value);
}

/** Values of the whole server. */
export class GlobalVariables {
  readonly #values = new Map<VariableName, Kept>();

  /** `initial`: what only the running server knows (version, port, datadir, timeouts ...). */
  constructor(initial: Partial<Record<VariableName, SqlValue>> = {}) {
    for (const [name, value] of Object.entries(initial)) {
      const { name: key, spec } = specOf(name);
      this.#values.set(key, keptValue(key, spec, value));
    }
  }

  read(name: VariableName): Kept {
    return this.#values.get(name) ?? (this.#values.has(name) ? null : VARIABLES[name].default);
  }

  /** Also for read-only ones: configuration changes come in here. */
  write(name: VariableName, value: SqlValue): void {
    this.#values.set(name, keptValue(name, specOf(name).spec, value));
  }

  snapshot(): () => void {
    const values = new Map(this.#values);
    return () => {
      refill(this.#values, values);
    };
  }

  restoreDefault(name: VariableName): void {
    this.#values.delete(name);
  }
}

function refill<Key, Value>(map: Map<Key, Value>, values: ReadonlyMap<Key, Value>): void {
  map.clear();
  for (const [key, value] of values) map.set(key, value);
}

/** Of all user variables of a session together, names included. */
const USER_VARIABLES_BYTES_MAX = 32 * 2 ** 20;
/** What a variable costs besides its name and text. */
const USER_VARIABLE_BYTES = 64;

function sizeOf(name: string, value: SqlValue): number {
  const text = typeof value === 'string' ? Buffer.byteLength(value) : 0;
  return USER_VARIABLE_BYTES + Buffer.byteLength(name) + text;
}

/** Values of one session over those of the server. */
export class SessionVariables {
  readonly #globals: GlobalVariables;
  readonly #values = new Map<VariableName, Kept>();
  readonly #userVariables = new Map<string, SqlValue>();
  #userBytes = 0;
  /** Of sql_mode, which every SELECT looks at three times. */
  #modes: { readonly text: string; readonly words: ReadonlySet<string> } = {
    text: '',
    words: new Set(),
  };

  constructor(globals: GlobalVariables) {
    this.#globals = globals;
  }

  /** @@name: UNKNOWN_VARIABLE, or WRONG_SCOPE for @@session.x of a global and the reverse. */
  get(
    name: string,
    scope?: VariableScope,
  ): { readonly value: SqlValue; readonly type: ColumnType } {
    const { name: key, spec } = specOf(name);
    if (scope !== undefined && spec.scope !== 'both' && spec.scope !== scope) {
      throw new SqlError('WRONG_VARIABLE_SCOPE', { name, scope: spec.scope.toUpperCase() });
    }
    const kept = this.#read(key, scope);
    if (spec.type === 'text')
      return { value: kept === null ? null : String(kept), type: { kind: 'STRING' } };
    return {
      value: typeof kept === 'boolean' ? (kept ? 1n : 0n) : BigInt(kept ?? 0n),
      type: { kind: 'BIGINT' },
    };
  }

  #read(key: VariableName, scope: VariableScope | undefined): Kept {
    if (scope !== 'global' && this.#values.has(key)) return this.#values.get(key) ?? null;
    return this.#globals.read(key);
  }

  /**
   * SET: UNKNOWN_VARIABLE, READ_ONLY_VARIABLE, WRONG_VALUE, WRONG_VARIABLE_SCOPE. `undefined` is
   * DEFAULT: the server's value for the session, the built-in one for the server.
   */
  set(name: string, value: SqlValue | undefined, scope: VariableScope = 'session'): void {
    const { name: key, spec } = specOf(name);
    if (spec.readOnly === true) throw new SqlError('READ_ONLY_VARIABLE', { name });
    if (scope === 'session' && spec.scope === 'global')
      throw new SqlError('GLOBAL_VARIABLE', { name });
    if (scope === 'global' && spec.scope === 'session') {
      throw new SqlError('WRONG_VARIABLE_SCOPE', { name, scope: 'SESSION' });
    }
    if (scope === 'global') {
      if (value === undefined) this.#globals.restoreDefault(key);
      else this.#globals.write(key, value);
    } else if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, keptValue(name, spec, value));
  }

  /** What takes back all that is set from now on, of the session and of the server. */
  snapshot(): () => void {
    const undoGlobals = this.#globals.snapshot();
    const [values, userVariables] = [new Map(this.#values), new Map(this.#userVariables)];
    const userBytes = this.#userBytes;
    return () => {
      undoGlobals();
      refill(this.#values, values);
      refill(this.#userVariables, userVariables);
      this.#userBytes = userBytes;
    };
  }

  /** SET NAMES; `charsetName` undefined is DEFAULT. Throws UNKNOWN_CHARSET, WRONG_VALUE. */
  setNames(charsetName: string | undefined, collationName: string | undefined): void {
    const name = (charsetName ?? 'utf8mb4').toLowerCase();
    if (!KNOWN_CHARSETS.has(name)) throw new SqlError('UNKNOWN_CHARSET', { name });
    for (const variable of [
      'character_set_client',
      'character_set_connection',
      'character_set_results',
    ]) {
      this.set(variable, name);
    }
    this.set(
      'collation_connection',
      collationName ?? DEFAULT_COLLATIONS[name] ?? 'utf8mb4_general_ci',
    );
  }

  /** SHOW [GLOBAL | SESSION] VARIABLES, in order of name. */
  list(scope: VariableScope): readonly (readonly [name: string, value: string])[] {
    return VARIABLE_NAMES.filter(
      (name) => scope === 'session' || VARIABLES[name].scope !== 'session',
    )
      .toSorted()
      .map((name) => [name, shownText(this.#read(specOf(name).name, scope))] as const);
  }

  /** As SHOW VARIABLES writes it; undefined: there is no such variable. */
  shown(name: string): string | undefined {
    if (!Object.hasOwn(VARIABLES, name)) return undefined;
    return shownText(this.#read(specOf(name).name, 'session'));
  }

  userVariable(name: string): SqlValue {
    return this.#userVariables.get(name.toLowerCase()) ?? null;
  }

  /** Throws USER_VARIABLES_FULL. */
  setUserVariable(name: string, value: SqlValue): void {
    const key = name.toLowerCase();
    const before = this.#userVariables.get(key);
    const bytes =
      this.#userBytes + sizeOf(key, value) - (before === undefined ? 0 : sizeOf(key, before));
    if (bytes > USER_VARIABLES_BYTES_MAX) {
      throw new SqlError('USER_VARIABLES_FULL', { limit: USER_VARIABLES_BYTES_MAX });
    }
    this.#userBytes = bytes;
    this.#userVariables.set(key, value);
  }

  /** COM_RESET_CONNECTION: as after login. */
  reset(): void {
    this.#values.clear();
    this.#userVariables.clear();
    this.#userBytes = 0;
  }

  number(name: VariableName): number {
    const { alias }: Spec = VARIABLES[name];
    return Number(this.#read((alias ?? name) as VariableName, undefined) ?? 0);
  }

  /** One that has no other name. */
  text(name: VariableName): string | null {
    const kept = this.#read(name, undefined);
    return kept === null ? null : String(kept);
  }

  sqlModeHas(mode: string): boolean {
    const text = String(this.#read('sql_mode', 'session'));
    if (this.#modes.text !== text) this.#modes = { text, words: new Set(text.split(',')) };
    return this.#modes.words.has(mode);
  }

  /** What it says of quotes. */
  get scanModes(): ScanModes {
    const modes = String(this.#read('sql_mode', 'session'));
    const ansiQuotes = modes.includes('ANSI_QUOTES');
    const noBackslashEscapes = modes.includes('NO_BACKSLASH_ESCAPES');
    return ansiQuotes || noBackslashEscapes ? { ansiQuotes, noBackslashEscapes } : DEFAULT_MODES;
  }

  /** As SET wrote it: SYSTEM, an offset or a name. */
  get timeZone(): string {
    return String(this.#read('time_zone', 'session'));
  }
}
