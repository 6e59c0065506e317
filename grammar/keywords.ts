/**
 * The words the rules know. A reserved word is a name only in backticks or after a dot; the
 * others are names wherever a name may stand. Words that are in neither list are plain names,
 * also when MySQL reserves them.
 */

// prettier-ignore
export const RESERVED_WORDS = [
  'ADD', 'ALL', 'ALTER', 'AND', 'AS', 'ASC', 'BETWEEN', 'BY', 'CALL', 'CASE', 'CAST', 'COLLATE',
  'COLUMN', 'CREATE', 'CROSS', 'CURRENT_TIMESTAMP', 'CURRENT_USER', 'DATABASE', 'DATABASES', 'DEFAULT', 'DELETE', 'DESC', 'DESCRIBE',
  'DISTINCT', 'DIV', 'DROP', 'ELSE', 'EXISTS', 'EXPLAIN', 'FALSE', 'FOR', 'FROM', 'GRANT', 'GROUP',
  'HAVING', 'IF', 'IN', 'INDEX', 'INSERT', 'INTO', 'IS', 'JOIN', 'KEY', 'KEYS', 'KILL', 'LIKE',
  'LIMIT', 'LOCK', 'MAXVALUE', 'MOD', 'NOT', 'NULL', 'ON', 'OR', 'ORDER', 'PARTITION', 'PRIMARY',
  'REGEXP', 'RENAME', 'REPLACE', 'REVOKE', 'RLIKE', 'SCHEMA', 'SCHEMAS', 'SELECT', 'SET', 'SHOW',
  'TABLE', 'THEN', 'TO', 'TRUE', 'UNION', 'UNIQUE', 'UNLOCK', 'UPDATE', 'USE', 'USING', 'VALUES',
  'WHEN', 'WHERE', 'WITH', 'XOR',
] as const;

// prettier-ignore
export const PLAIN_WORDS = [
  'ACCOUNT', 'ADMIN', 'AFTER', 'AGGREGATE', 'ANALYZE', 'AUTO', 'AUTO_INCREMENT', 'BACKEND',
  'BACKENDS', 'BASE', 'BEGIN', 'BINARY', 'BINLOG', 'BITMAP_UNION', 'BUCKETS', 'CACHE', 'CANCEL', 'CATALOGS',
  'CHANGED', 'CHARACTER', 'CHARSET', 'CHECK', 'CLUSTER', 'CLUSTERS', 'COLLATION', 'COLUMNS', 'COMMENT', 'COMMIT',
  'COMMITTED', 'COMPACT', 'COMPACTION', 'COMPUTE', 'CONFIG', 'CONNECTION', 'CONSISTENT',
  'COOLDOWN', 'COUNT', 'CUMULATIVE', 'DATA', 'DEALLOCATE', 'DECOMMISSION',
  'DISABLE', 'DISTRIBUTED', 'DO', 'DROPP', 'DUPLICATE', 'ENABLE', 'END', 'ENGINE', 'ENGINES', 'ERRORS', 'ESCAPE', 'EVENT', 'EVENTS',
  'EXCLUDE', 'EXECUTE', 'EXTENDED', 'FAILURES', 'FIELDS', 'FIRST', 'FLUSH', 'FORCE', 'FORMAT', 'FRONTEND', 'FRONTENDS',
  'FULL', 'FUNCTION', 'GLOBAL', 'GRANTS', 'GROUPS', 'HASH', 'HELP', 'HLL_UNION', 'HOSTS', 'HOTSPOT',
  'IDENTIFIED', 'IGNORE', 'INCLUDE', 'INDEXES', 'ISOLATION', 'JOB', 'LABEL', 'LEADER', 'LESS', 'LEVEL', 'LIST',
  'LOAD', 'LOCAL', 'LOGS', 'LOW_PRIORITY', 'MASTER', 'MAX', 'MIN', 'MODIFY', 'MUTEX', 'NAMES', 'OFFSET', 'ONLY',
  'OPEN', 'OPTIMIZE', 'OPTION', 'PARTITIONS', 'PASSWORD', 'PAUSE', 'PLUGINS', 'POLICY', 'PREPARE', 'PRIVILEGES',
  'PROC', 'PROCEDURE', 'PROCESSLIST', 'PROFILES', 'PROPERTIES', 'QUERY', 'RANDOM', 'RANGE', 'READ',
  'RELEASE', 'REPAIR', 'REPEATABLE', 'REPLACE_IF_NOT_NULL', 'REPLICA', 'REPLICAS', 'RESOURCE', 'RESOURCES',
  'RESUME', 'RETRY', 'ROLE', 'ROLES', 'ROLLBACK', 'ROLLUP', 'RUNS', 'SAVEPOINT', 'SERIALIZABLE',
  'SESSION', 'SHUTDOWN', 'SIGNED', 'SLAVE', 'SNAPSHOT', 'START', 'STATUS', 'STOP', 'STORAGE', 'STREAM', 'SUM',
  'SYSTEM', 'TABLES', 'TABLET', 'TABLETS', 'TEMPORARY', 'THAN', 'TIMEOUT', 'TRANSACTION', 'TRIGGER', 'TRIGGERS',
  'TRUNCATE', 'TYPE', 'UNCOMMITTED', 'UNKNOWN', 'UNSET', 'UNSIGNED', 'UP', 'USER', 'VALUE', 'VARIABLES', 'VAULT',
  'VAULTS', 'VIEW', 'WAIT', 'WARM', 'WARNINGS', 'WORK', 'WRITE',
] as const;

export type ReservedWord = (typeof RESERVED_WORDS)[number];
export type Keyword = ReservedWord | (typeof PLAIN_WORDS)[number];

const RESERVED: ReadonlySet<string> = new Set(RESERVED_WORDS);

/** Whether a word needs backticks to be a name. */
export function isReserved(word: string): boolean {
  return RESERVED.has(word.toUpperCase());
}
