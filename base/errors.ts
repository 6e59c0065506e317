/**
 * The error table. Every error a client can see is one row here: name, MySQL number, SQLSTATE
 * and text. Numbers and states are MySQL's where MySQL has the error, else 1105/HY000
 * (DESIGN 4.12); texts of warm-up errors keep Doris's words (reference/warm-up 1.8).
 * `docs/errors.md` is generated from this table.
 */
interface ErrorRow {
  /** MySQL error number, 1000..65535. */
  readonly errno: number;
  /** Five characters. */
  readonly sqlState: string;
  /** `{name}` places are filled from the arguments. */
  readonly text: string;
}

const row = (errno: number, sqlState: string, text: string): ErrorRow => ({
  errno,
  sqlState,
  text,
});

// prettier-ignore
export const ERRORS = {
  // connection and protocol
  TOO_MANY_CONNECTIONS:    row(1040, '08004', 'Too many connections (limit {limit}, setting max_connections)'),
  TOO_MANY_OF_USER:        row(1203, '42000', "User {user} already has more than 'max_user_connections' active connections (limit {limit})"),
  ACCOUNT_LIMIT:           row(1226, '42000', "User '{user}' has exceeded the '{limit}' resource (current value: {value})"),
  MUST_CHANGE_PASSWORD:    row(1820, 'HY000', 'You must reset your password using ALTER USER statement before executing this statement.'),
  PASSWORD_EXPIRED:        row(1862, 'HY000', 'Your password has expired. To log in you must change it using a client that supports expired passwords.'),
  HANDSHAKE_ERROR:         row(1043, '08S01', 'Bad handshake'),
  ACCESS_DENIED:           row(1045, '28000', "Access denied for user '{user}'@'{host}' (using password: {using})"),
  UNKNOWN_COMMAND:         row(1047, '08S01', 'Unknown command {command}'),
  SERVER_SHUTDOWN:         row(1053, '08S01', 'Server shutdown in progress'),
  NO_SUCH_THREAD:          row(1094, 'HY000', 'Unknown thread id: {id}'),
  NOT_A_CONNECTION:        row(1094, 'HY000', 'Unknown thread id: {id}; it is no connection but {what}, which KILL does not end (to end it: {how})'),
  PACKET_TOO_LARGE:        row(1153, '08S01', "Got a packet bigger than 'max_allowed_packet' bytes (limit {limit})"),
  PACKETS_OUT_OF_ORDER:    row(1156, '08S01', 'Got packets out of order'),
  MALFORMED_PACKET:        row(1835, 'HY000', 'Malformed communication packet: {what}'),
  UNKNOWN_PREPARED:        row(1243, 'HY000', 'Unknown prepared statement handler ({id}) given to {command}'),
  UNSUPPORTED_PREPARED:    row(1295, 'HY000', 'This command is not supported in the prepared statement protocol yet'),
  TOO_MANY_PREPARED:       row(1461, '42000', "Can't create more than max_prepared_stmt_count statements (limit {max})"),
  TOO_MANY_PLACEHOLDERS:   row(1390, 'HY000', 'Prepared statement contains too many placeholders'),
  NO_CURSOR:               row(1421, 'HY000', 'The statement ({id}) has no open cursor.'),
  LOCAL_INFILE:            row(3948, '42000', 'Loading local data is disabled; this must be enabled on both the client and server sides (stream load over HTTP loads files)'),
  WRONG_ARGUMENTS:         row(1210, 'HY000', 'Incorrect arguments to {what}'),
  WRONG_LOCK_NAME:         row(3057, '42000', "Incorrect user-level lock name '{name}'."),
  TOO_MANY_LOCKS:          row(1105, 'HY000', 'This session has {limit} user-level locks already'),
  USER_VARIABLES_FULL:     row(1105, 'HY000', 'The user variables of this session would have more than {limit} bytes'),
  LOCK_DEADLOCK:           row(3058, 'HY000', 'Deadlock found when trying to get user-level lock; try rolling back transaction/releasing locks and restarting lock acquisition.'),
  QUERY_INTERRUPTED:       row(1317, '70100', 'Query execution was interrupted'),
  CONNECTION_KILLED:       row(1927, '70100', 'Connection was killed'),
  IDLE_TIMEOUT:            row(4031, 'HY000', 'The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior.'),
  HANDSHAKE_TIMEOUT:       row(1159, '08S01', 'Got timeout reading communication packets'),
  AUTH_NOT_SUPPORTED:      row(1251, '08004', 'Client does not support authentication protocol requested by server; consider upgrading MySQL client'),
  SECURE_TRANSPORT_REQUIRED: row(3159, 'HY000', 'Connections using insecure transport are prohibited while --require_secure_transport=ON.'),
  UNKNOWN_COLLATION:       row(1273, 'HY000', "Unknown collation: '{name}'"),
  UNKNOWN_TIME_ZONE:       row(1298, 'HY000', "Unknown or incorrect time zone: '{name}'; allowed: SYSTEM, an offset such as +02:00, or a name such as Europe/Berlin"),
  UNKNOWN_CHARSET:         row(1115, '42000', "Unknown character set: '{name}'"),

  // language
  SYNTAX:                  row(1064, '42000', 'You have an error in your SQL syntax; {what}'),
  EMPTY_QUERY:             row(1065, '42000', 'Query was empty'),
  NOT_SUPPORTED:           row(1235, '42000', 'not supported yet: {what}'),
  UNKNOWN_EXPLAIN_FORMAT:  row(1791, 'HY000', "Unknown EXPLAIN format name: '{name}'; allowed: TRADITIONAL, TREE, JSON"),
  BAD_JSON_PATH:           row(3143, '42000', "Invalid JSON path expression '{path}'"),
  JSON_TOO_DEEP:           row(3157, '22032', 'The JSON document exceeds the maximum depth.'),
  BAD_JSON:                row(3141, '22032', 'Invalid JSON text in an argument of a function'),
  IDENT_TOO_LONG:          row(1059, '42000', "Identifier name '{name}' is too long (limit {limit} characters)"),
  INVALID_CHARACTER:       row(1300, 'HY000', "Invalid {charset} character string: '{bytes}'"),
  WRONG_VALUE:             row(1231, '42000', "Variable '{name}' can't be set to the value of '{value}'{allowed}"),
  NOT_PERSISTED:           row(3615, 'HY000', 'Variable {name} does not exist in persisted config file'),
  UNKNOWN_VARIABLE:        row(1193, 'HY000', "Unknown system variable '{name}'"),
  READ_ONLY_VARIABLE:      row(1238, 'HY000', "Variable '{name}' is a read only variable"),
  WRONG_VARIABLE_SCOPE:    row(1238, 'HY000', "Variable '{name}' is a {scope} variable"),
  GLOBAL_VARIABLE:         row(1229, 'HY000', "Variable '{name}' is a GLOBAL variable and should be set with SET GLOBAL"),
  UNKNOWN_PROCEDURE:       row(1305, '42000', 'PROCEDURE {name} does not exist'),
  UNKNOWN_ROUTINE:         row(1305, '42000', '{what} {name} does not exist'),
  UNKNOWN_TRIGGER:         row(1360, 'HY000', 'Trigger does not exist'),
  UNKNOWN_EVENT:           row(1539, 'HY000', "Unknown event '{name}'"),
  NO_VIEW:                 row(1347, 'HY000', "'{name}' is not VIEW"),
  NO_BINARY_LOG:           row(1381, 'HY000', 'You are not using binary logging'),
  UNKNOWN_FUNCTION:        row(1305, '42000', 'FUNCTION {name} does not exist'),
  UNKNOWN_COLUMN:          row(1054, '42S22', "Unknown column '{name}' in '{where}'"),
  AMBIGUOUS_COLUMN:        row(1052, '23000', "Column '{name}' in '{where}' is ambiguous"),
  INVALID_GROUP_FUNC:      row(1111, 'HY000', 'Invalid use of group function'),
  WRONG_PARAM_COUNT:       row(1582, '42000', "Incorrect parameter count in the call to native function '{name}'"),
  TOO_MANY_ROWS:           row(1172, '42000', 'Result consisted of more than one row'),
  UNKNOWN_SCHEMA_TABLE:    row(1109, '42S02', "Unknown table '{name}' in {database}"),
  WRONG_COLUMN_COUNT:      row(1222, '21000', 'The used SELECT statements have a different number of columns'),
  SUBQUERY_ROWS:           row(1242, '21000', 'Subquery returns more than 1 row'),
  OPERAND_COLUMNS:         row(1241, '21000', 'Operand should contain {count} column(s)'),
  NON_UNIQUE_TABLE:        row(1066, '42000', "Not unique table/alias: '{name}'"),
  DERIVED_NEEDS_ALIAS:     row(1248, '42000', 'Every derived table must have its own alias'),
  BIGINT_RANGE:            row(1690, '22003', 'BIGINT value is out of range'),
  BAD_REGEXP:              row(3685, 'HY000', "Illegal argument to a regular expression: '{pattern}'"),
  QUERY_TIMEOUT:           row(3024, 'HY000', 'Query execution was interrupted, maximum statement execution time exceeded'),
  QUERY_MEMORY:            row(3170, 'HY000', "Memory capacity of {bytes} bytes for 'exec_mem_limit' exceeded: the query was stopped"),
  QUERY_FAILED:            row(1105, 'HY000', 'query failed: {why}'),
  STATEMENT_TOO_LONG:      row(1105, 'HY000', 'The statement is longer than {limit} bytes (setting {setting})'),
  NUMBER_TOO_BIG:          row(1064, '42000', 'You have an error in your SQL syntax; the number {value} is greater than {limit}'),
  STATEMENT_TOO_COMPLEX:   row(1064, '42000', 'You have an error in your SQL syntax; the statement is too complex: more than {limit} {what}'),

  // databases, tables, partitions, columns
  NO_DB:                   row(1046, '3D000', 'No database selected'),
  DB_CREATE_EXISTS:        row(1007, 'HY000', "Can't create database '{name}'; database exists"),
  DB_DROP_EXISTS:          row(1008, 'HY000', "Can't drop database '{name}'; database doesn't exist"),
  BAD_DB:                  row(1049, '42000', "Unknown database '{name}'"),
  WRONG_DB_NAME:           row(1102, '42000', "Incorrect database name '{name}'"),
  WRONG_TABLE_NAME:        row(1103, '42000', "Incorrect table name '{name}'"),
  WRONG_COLUMN_NAME:       row(1166, '42000', "Incorrect column name '{name}'"),
  TABLE_EXISTS:            row(1050, '42S01', "Table '{name}' already exists"),
  BAD_TABLE:               row(1051, '42S02', "Unknown table '{name}'"),
  NO_SUCH_TABLE:           row(1146, '42S02', "Table '{name}' doesn't exist"),
  FIELD_SPECIFIED_TWICE:   row(1110, '42000', "Column '{name}' specified twice"),
  DUP_FIELDNAME:           row(1060, '42S21', "Duplicate column name '{name}'"),
  SYSTEM_DB_ACCESS:        row(1044, '42000', "Access denied for user '{user}' to database '{name}'"),
  NO_COLUMNS:              row(1113, '42000', 'A table must have at least 1 column'),
  KEY_COLUMN_MISSING:      row(1072, '42000', "Key column '{name}' doesn't exist in table"),
  INVALID_TABLE:           row(1105, 'HY000', 'Invalid table definition: {what}'),
  UNKNOWN_PROPERTY:        row(1105, 'HY000', "Unknown property '{name}'{allowed}"),
  BAD_PROPERTY:            row(1105, 'HY000', "Invalid value '{value}' for property '{name}'; allowed: {allowed}"),
  MISSING_PROPERTY:        row(1105, 'HY000', "Property '{name}' is required: {why}"),
  DUPLICATE_PROPERTY:      row(1105, 'HY000', "Property '{name}' is given twice"),
  USELESS_PROPERTY:        row(1105, 'HY000', "Property '{name}' means nothing {where}"),
  UNKNOWN_PARTITION:       row(1735, 'HY000', "Unknown partition '{partition}' in table '{table}'"),
  DYNAMIC_PARTITIONS:      row(1105, 'HY000', 'Cannot add/drop partition on a Dynamic Partition Table, Use command `ALTER TABLE {table} SET ("dynamic_partition.enable" = "false")` firstly.'),
  TOO_BIG_PRECISION:       row(1426, '42000', "Too-big precision {digits} specified for '{name}'. Maximum is 6."),
  PARTITION_EXISTS:        row(1517, 'HY000', "Duplicate partition name {name}"),
  NO_PARTITION_FOR_VALUE:  row(1526, 'HY000', 'Table has no partition for value {value}'),
  PARTITION_OVERLAP:       row(1493, 'HY000', 'VALUES LESS THAN value must be strictly increasing for each partition (partition {name})'),

  // changes of tables
  ALTER_JOB_ACTIVE:        row(1105, 'HY000', "Table[{table}]'s state({kind}) is not NORMAL. Do not allow doing ALTER ops: job {id} is running, see SHOW ALTER TABLE"),
  ALTER_NO_JOB:            row(1105, 'HY000', 'Table[{table}] is not under {kind}'),
  ALTER_REFUSED:           row(1105, 'HY000', 'Table {table} cannot be altered: {what}'),
  ALTER_TYPE:              row(1105, 'HY000', "Can not change {from} to {to} for column '{column}'; allowed: {allowed}"),
  CANT_DROP_FIELD:         row(1091, '42000', "Can't DROP '{name}'; check that column/key exists"),
  DUP_KEYNAME:             row(1061, '42000', "Duplicate key name '{name}'"),
  TABLE_CHANGED:           row(1412, 'HY000', 'Table definition has changed, please retry transaction'),

  // rows
  WRONG_VALUE_COUNT:       row(1136, '21S01', "Column count doesn't match value count at row {row}"),
  INSERT_SELECT_SIZE:      row(1105, 'HY000', 'The rows of this INSERT ... SELECT have more than {limit} bytes (setting max_allowed_packet); insert them in parts, or by stream load'),
  BAD_NULL:                row(1048, '23000', "Column '{column}' cannot be null"),
  NO_DEFAULT:              row(1364, 'HY000', "Field '{column}' doesn't have a default value"),
  OUT_OF_RANGE:            row(1264, '22003', "Out of range value for column '{column}' at row {row}"),
  DATA_TOO_LONG:           row(1406, '22001', "Data too long for column '{column}' at row {row}"),
  BAD_VALUE:               row(1366, 'HY000', "Incorrect {type} value: '{value}' for column '{column}' at row {row}"),
  BAD_DATETIME:            row(1292, '22007', "Incorrect {type} value: '{value}' for column '{column}' at row {row}"),

  // loads
  LABEL_EXISTS:            row(1105, 'HY000', "Label '{label}' has already been used, relate to txn {txnId}"),
  BAD_LABEL:               row(1105, 'HY000', "Label format error: '{label}'; allowed: 1 to 128 of letters, digits, '-', '_', '.', ':'"),
  LOAD_TXN_UNKNOWN:        row(1105, 'HY000', 'transaction {txnId} not found or already {state}'),
  LOAD_FAILED:             row(1105, 'HY000', 'load failed: {why}'),
  LOAD_TABLE_ALTERED:      row(1412, 'HY000', 'Table definition has changed, please retry transaction: the table was altered while this load ran; load again, the label is free'),
  LOAD_TOO_MANY_FILTERED:  row(1105, 'HY000', 'too many filtered rows: {filtered} of {total}, allowed ratio {ratio}; first: {first}'),

  // compute groups, backends, vaults
  UNKNOWN_COMPUTE_GROUP:   row(1105, 'HY000', 'Compute group {name} does not exist; existing: {existing}'),
  COMPUTE_GROUP_EXISTS:    row(1105, 'HY000', 'Compute group {name} already exists'),
  COMPUTE_GROUP_HOLDS:     row(1105, 'HY000', 'Compute group {name} has the replicas of table {table}; drop that first'),
  COMPUTE_GROUP_IN_USE:    row(1105, 'HY000', 'Compute group {name} still has {count} backends; drop them first, or use FORCE'),
  NO_ALIVE_BACKEND:        row(1105, 'HY000', 'Compute group {name} has no alive backend'),
  UNKNOWN_BACKEND:         row(1105, 'HY000', 'Backend {name} does not exist'),
  BACKEND_EXISTS:          row(1105, 'HY000', 'Backend {name} already exists'),
  BAD_BACKEND_ADDRESS:     row(1105, 'HY000', "Invalid backend '{text}'; allowed: host:port with a port from 1 to 65535, or embedded when adding one"),
  BACKEND_STATE:           row(1105, 'HY000', 'Backend {name} is {state}: {what}'),
  AGENT_LOST:              row(1105, 'HY000', 'Backend {backend} did not answer {what}: {why}'),
  SERVER_LOST:             row(1105, 'HY000', 'The server did not answer {what}: {why}'),
  UNKNOWN_VAULT:           row(1105, 'HY000', 'Storage vault {name} does not exist'),
  VAULT_EXISTS:            row(1105, 'HY000', 'Storage vault {name} already exists'),
  VAULT_CHECK_FAILED:      row(1105, 'HY000', 'Storage vault {name} cannot be used: {what}'),
  STORE_FAILED:            row(1105, 'HY000', 'object store: {what}'),
  CORRUPT_OBJECT:          row(1105, 'HY000', 'object {key} is damaged: {what}'),

  // replicated tables
  REPLICA_NO_ROOM:         row(1105, 'HY000', 'Failed to find enough backend, please check the replication num: {wanted} replicas wanted, compute group {group} has {enabled} enabled backends'),
  REPLICA_NOT_MADE:        row(1105, 'HY000', 'Failed to create replicas: {tablets} tablets have no majority of them; {why}'),
  REPLICA_NONE_READABLE:   row(1105, 'HY000', 'no replica of tablet {tablet} can be read at version {version}: {replicas}'),
  LOAD_NO_MAJORITY:        row(1105, 'HY000', 'the load is on {prepared} complete replicas of tablet {tablet}, {required} of {replicas} are needed'),

  // replicas on backends
  REPLICA_MISSING:         row(1105, 'HY000', 'backend {backend} has no replica of tablet {tablet}'),
  REPLICA_BEHIND:          row(1105, 'HY000', 'replica {replica} of tablet {tablet} on backend {backend} has version {version} only, {wanted} is wanted'),
  REPLICA_BAD:             row(1105, 'HY000', 'replica {replica} of tablet {tablet} on backend {backend} is damaged: {why}'),
  CONFUSED_REPLICA:        row(1105, 'HY000', 'tablet {tablet} has replica {has} on backend {backend}, not {asked}'),
  CLONE_FAILED:            row(1105, 'HY000', 'the replica of tablet {tablet} could not be copied: {why}'),
  REBUILD_FAILED:          row(1105, 'HY000', 'tablet {tablet} was not rebuilt: {why}'),
  TXN_CONFLICT:            row(1105, 'HY000', 'transaction {txn} has prepared another rowset of tablet {tablet} already'),

  // resources and storage policies (Doris's words, reference/cooldown 5)
  RESOURCE_EXISTS:         row(1105, 'HY000', 'Resource({name}) already exist'),
  UNKNOWN_RESOURCE:        row(1105, 'HY000', 'Resource({name}) does not exist'),
  RESOURCE_NO_TYPE:        row(1105, 'HY000', "Resource type can't be null"),
  RESOURCE_FIXED:          row(1105, 'HY000', 'current not support modify property : {name}'),
  RESOURCE_IN_USE:         row(1105, 'HY000', "{type} resource used by policy, can't drop it."),
  RESOURCE_HAS_DATA:       row(1105, 'HY000', 'cooled data lies in resource {name}: {what}'),
  RESOURCE_CHECK_FAILED:   row(1105, 'HY000', 'Resource({name}) cannot be used: {what}'),
  MISSING_IN_PROPERTIES:   row(1105, 'HY000', 'Missing [{name}] in properties.'),
  POLICY_DISABLED:         row(1105, 'HY000', "storage policy feature is disabled. Enable it by setting 'enable_storage_policy=true'"),
  POLICY_EXISTS:           row(1105, 'HY000', 'the policy {name} already create'),
  UNKNOWN_POLICY:          row(1105, 'HY000', 'Storage policy does not exist. name: {name}'),
  POLICY_NO_RESOURCE:      row(1105, 'HY000', "storage resource doesn't exist: {name}"),
  POLICY_TWO_TIMES:        row(1105, 'HY000', "cooldown_datetime and cooldown_ttl can't be set together."),
  POLICY_NO_TIME:          row(1105, 'HY000', 'cooldown_datetime or cooldown_ttl must be set'),
  POLICY_NEGATIVE_TTL:     row(1105, 'HY000', "cooldownTtl can't be less than 0"),
  POLICY_BAD_TTL:          row(1105, 'HY000', 'getSecByCooldownTtl failed.'),
  POLICY_BAD_DATETIME:     row(1105, 'HY000', 'cooldown_datetime format error: {value}'),
  POLICY_UNKNOWN_PROPERTY: row(1105, 'HY000', 'Unknown Storage policy properties: {names}'),
  POLICY_RESOURCE_FIXED:   row(1105, 'HY000', "not support change storage policy's storage resource, you can change s3 properties by alter resource"),
  POLICY_IN_USE:           row(1105, 'HY000', 'the policy {name} is used by table: {table}'),
  POLICY_DEFAULT_UNSET:    row(1105, 'HY000', 'Use default storage policy, but not give s3 info, please use alter resource to add default storage policy S3 info.'),
  POLICY_MERGE_ON_WRITE:   row(1105, 'HY000', 'Can not create UNIQUE KEY table that enables Merge-On-write with storage policy({name})'),
  POLICY_OTHER_RESOURCE:   row(1105, 'HY000', 'currently do not support change origin storage policy to another one with different resource'),
  COOLDOWN_NO_JOB:         row(1105, 'HY000', 'cooldown job {id} does not exist, or has ended'),
  COOLDOWN_LEADER:         row(1105, 'HY000', 'replica {replica} cannot lead tablet {tablet}: {why}'),
  COOLDOWN_NOTHING:        row(1105, 'HY000', 'nothing of table {table} can be cooled: {why}'),
  POLICY_IS_DUE:           row(1105, 'HY000', 'remote storage cool down time: {due} should later than now: {now}'),

  VAULT_IN_USE:            row(1105, 'HY000', 'Storage vault {name} is still used by {what}'),
  WRONG_NAME:              row(1105, 'HY000', "Incorrect {kind} name '{name}': {why}"),
  USER_EXISTS:             row(1396, 'HY000', "Operation {what} failed for '{user}'@'{host}'"),
  NO_SUCH_GRANT:           row(1141, '42000', "There is no such grant defined for user '{user}' on host '{host}'"),
  PLUGIN_NOT_LOADED:       row(1524, 'HY000', "Plugin '{name}' is not loaded; there are caching_sha2_password and mysql_native_password"),
  BAD_PASSWORD_HASH:       row(1827, 'HY000', "The password hash doesn't have the expected format."),
  PASSWORD_TOO_LONG:       row(1105, 'HY000', 'The password is too long: {bytes} bytes, at most {limit} are allowed'),
  DB_ACCESS_DENIED:        row(1044, '42000', "Access denied for user '{user}'@'{host}' to database '{name}'"),
  TABLE_ACCESS_DENIED:     row(1142, '42000', "{command} command denied to user '{user}'@'{host}' for table '{name}'"),
  PRIVILEGE_NEEDED:        row(1227, '42000', 'Access denied; you need (at least one of) the {privilege} privilege(s) for this operation'),
  NOT_OWNER_OF_THREAD:     row(1095, 'HY000', 'You are not owner of thread {id}'),
  ACCOUNT_LOCKED:          row(3118, 'HY000', "Access denied for user '{user}'@'{host}'. Account is locked."),
  WEAK_PASSWORD:           row(1819, 'HY000', 'Your password does not satisfy the current policy requirements: {what}'),
  BAD_PRIVILEGE:           row(1105, 'HY000', "Privilege '{name}' cannot be given on {scope}; allowed: {allowed}"),
  ROLE_EXISTS:             row(1396, 'HY000', "Operation CREATE ROLE failed for '{role}'@'%'"),
  ROLE_NOT_GRANTED:        row(3530, 'HY000', '`{role}`@`%` is not granted to `{user}`@`{host}`'),
  UNKNOWN_ROLE:            row(3523, 'HY000', 'Unknown authorization ID `{role}`@`%`'),
  ROOT_IS_FIXED:           row(1105, 'HY000', "'root'@'%' may do everything: it cannot be {what}"),
  NO_CREATE_BY_GRANT:      row(1410, '42000', 'You are not allowed to create a user with GRANT: there is no {account}'),
  UNKNOWN_USER:            row(1396, 'HY000', "Operation {what} failed for '{user}'@'{host}': no such user"),

  // catalog and data directory
  CATALOG_LOCKED:          row(1105, 'HY000', 'data directory {dir} is in use by another server ({holder})'),
  CATALOG_NOT_WRITABLE:    row(1105, 'HY000', 'data directory {dir} cannot be written: {what}'),
  CATALOG_NEWER:           row(1105, 'HY000', 'catalog {file} has schema version {found}, this program knows versions up to {known}; start a newer program'),
  CATALOG_LEASE_LOST:      row(1105, 'HY000', 'another server ({holder}) has taken over the catalog (its epoch {theirs}, ours {ours}); this one changes nothing any more'),
  CATALOG_READ_ONLY:       row(1036, 'HY000', 'the catalog is read only: {what}'),
  CATALOG_FULL:            row(1021, 'HY000', 'disk full while writing the catalog; nothing was changed ({what})'),
  CATALOG_BUSY:            row(1205, 'HY000', 'the catalog is locked by another process ({what}); nothing was changed, try again'),
  CATALOG_DAMAGED:         row(1105, 'HY000', 'the catalog is damaged: {what}'),
  CATALOG_IO:              row(1105, 'HY000', 'reading or writing the catalog failed: {what}'),
  CATALOG_CLOSED:          row(1053, '08S01', 'the catalog is closed: the server is shutting down'),
  CATALOG_KEY:             row(1105, 'HY000', 'credentials in the catalog cannot be read with {file}: {what}'),

  // warm-up (Doris's words, reference/warm-up 1.8)
  WARM_UP_DST_UNKNOWN:     row(1105, 'HY000', "The dstClusterName {name} doesn't exist"),
  WARM_UP_SRC_UNKNOWN:     row(1105, 'HY000', "The srcClusterName doesn't exist: {name}"),
  WARM_UP_SAME:            row(1105, 'HY000', 'The dstClusterName: {name} is same with srcClusterName: {name}'),
  WARM_UP_NO_PARTITION:    row(1105, 'HY000', "The partition {name} doesn't exist"),
  WARM_UP_TOO_BIG:         row(1105, 'HY000', 'The cluster {name} cache size is not enough: {needed} needed, {capacity} there; use FORCE to warm up what fits'),
  WARM_UP_NO_INTERVAL:     row(1105, 'HY000', 'No sync_interval_sec is provided'),
  WARM_UP_BAD_INTERVAL:    row(1105, 'HY000', 'Illegal sync_interval_sec: {value}; allowed: a whole number of seconds from 1 to 2147483647'),
  WARM_UP_NO_EVENT:        row(1105, 'HY000', 'No sync_event is provided'),
  WARM_UP_BAD_EVENT:       row(1105, 'HY000', 'Illegal sync_event: {value}; allowed: load'),
  WARM_UP_ONLY_EXCLUDE:    row(1105, 'HY000', 'ON TABLES clause must contain at least one INCLUDE rule'),
  WARM_UP_BAD_PATTERN:     row(1105, 'HY000', "ON TABLES pattern must be in 'db.table' format: '{pattern}'"),
  WARM_UP_MANY_RULES:      row(1105, 'HY000', 'ON TABLES clause has {count} rules, at most {limit} are allowed'),
  WARM_UP_NO_MATCH:        row(1105, 'HY000', 'No tables matched the ON TABLES filter'),
  WARM_UP_ON_TABLES_MODE:  row(1105, 'HY000', 'ON TABLES clause is only supported with event_driven sync_mode'),
  WARM_UP_ON_TABLES_TABLE: row(1105, 'HY000', 'ON TABLES clause cannot be used with WITH TABLE'),
  WARM_UP_WHERE:           row(1105, 'HY000', 'Where clause should looks like one of them: id = 123'),
  WARM_UP_NO_ID:           row(1105, 'HY000', 'Missing job id'),
  WARM_UP_UNKNOWN_JOB:     row(1105, 'HY000', 'job id: {id} does not exist.'),
  WARM_UP_FINAL:           row(1105, 'HY000', 'job can not be cancelled. State: {state}'),
  WARM_UP_TWIN:            row(1105, 'HY000', "WarmUpJob src='{src}', dst='{dst}', syncMode={mode}{filter} already has a runnable job"),
  WARM_UP_CONFLICT:        row(1105, 'HY000', "Cannot create {level} load-event warm up job from source compute group '{src}' to destination compute group '{dst}': conflicting {otherLevel} load-event warm up job {id} already exists for the same source and destination{filter}. Cancel existing load-event warm up job {id} before creating this job."),
  WARM_UP_STATE:           row(1105, 'HY000', 'job {id} can not be {what}. State: {state}'),
  WARM_UP_ALTER:           row(1105, 'HY000', 'job {id} has no {what}: its mode is {mode}'),
  WARM_UP_WAIT_FAILED:     row(6101, 'HY000', 'warm-up job {id} failed: {why}'),
  WARM_UP_WAIT_CANCELLED:  row(6102, 'HY000', 'warm-up job {id} was cancelled: {why}'),
  WARM_UP_WAIT_TIMEOUT:    row(6103, 'HY000', 'warm-up job {id} did not end within {seconds} seconds; it is {state}{why}'),
  BAD_PROC_PATH:           row(1105, 'HY000', "Proc path '{path}' does not exist; allowed: {allowed}"),
  BAD_HOTSPOT_PATH:        row(1105, 'HY000', "Invalid path '{path}'; allowed: '/', '/group' and '/group/db.table'"),

  // config
  UNKNOWN_CONFIG:          row(1105, 'HY000', "Config '{name}' does not exist{hint}"),
  CONFIG_NOT_MUTABLE:      row(1105, 'HY000', "Config '{name}' is not mutable: set it in the configuration file or on the command line and restart"),
  BAD_CONFIG:              row(1105, 'HY000', "Invalid value '{value}' for config '{name}'; allowed: {allowed}"),

  INTERNAL:                row(1105, 'HY000', 'internal error {id}; the log has the details under this id'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorName = keyof typeof ERRORS;
export type ErrorArgs = Readonly<Record<string, string | number | bigint>>;

export interface SqlErrorOptions {
  /** What the reader can do about it; appended to the message in parentheses. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The only error that a client sees; the session turns any other into `INTERNAL`. */
export class SqlError extends Error {
  readonly code: ErrorName;
  readonly errno: number;
  readonly sqlState: string;
  readonly args: ErrorArgs;
  readonly hint: string | undefined;

  constructor(code: ErrorName, args: ErrorArgs = {}, options: SqlErrorOptions = {}) {
    const { errno, sqlState, text } = ERRORS[code];
    const message = fill(text, args) + (options.hint === undefined ? '' : ` (${options.hint})`);
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SqlError';
    this.code = code;
    this.errno = errno;
    this.sqlState = sqlState;
    this.args = args;
    this.hint = options.hint;
  }

  /** Crosses a thread or a socket; `fromWire` makes an equal error on the other side. */
  toWire(): WireError {
    return this.hint === undefined
      ? { code: this.code, args: this.args }
      : { code: this.code, args: this.args, hint: this.hint };
  }

  static fromWire(wire: WireError): SqlError {
    return new SqlError(wire.code, wire.args, wire.hint === undefined ? {} : { hint: wire.hint });
  }
}

export interface WireError {
  readonly code: ErrorName;
  readonly args: ErrorArgs;
  readonly hint?: string;
}

function fill(text: string, args: ErrorArgs): string {
  return text.replaceAll(/\{(\w+)\}/g, (place, key: string) => {
    const value = args[key];
    return value === undefined ? place : String(value);
  });
}
