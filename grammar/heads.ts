/**
 * Which rule a statement is parsed by, told by its first words. A table instead of an OR over a
 * hundred alternatives: the lookup is a few map reads, and what could have stood at the place of
 * a misspelt word is the list of keys.
 */
import type { TokenType } from 'chevrotain';
import type { Token } from './lexer.ts';
import type { RuleName } from './statement_parser.ts';
import { T } from './tokens.ts';

// prettier-ignore
const RULES: Readonly<Record<string, RuleName>> = {
  'ADMIN CANCEL REPAIR': 'adminRepairTable', 'ADMIN COOLDOWN': 'adminCooldownTable', 'ADMIN REPAIR': 'adminRepairTable', 'ADMIN SET ALL': 'adminSetConfig', 'ADMIN SET COOLDOWN': 'adminSetCooldownLeader',
  'ADMIN SET FRONTEND': 'adminSetConfig', 'ADMIN SHOW FRONTEND': 'adminShowConfig', 'ADMIN SHOW REPLICA DISTRIBUTION': 'showReplicaDistribution', 'ADMIN SHOW REPLICA STATUS': 'showReplicaStatus',
  'ALTER CLUSTER': 'alterComputeGroup', 'ALTER COMPUTE': 'alterComputeGroup',
  'ALTER RESOURCE': 'alterStored', 'ALTER STORAGE': 'alterStored', 'ALTER SYSTEM ADD': 'addBackend',
  'ALTER SYSTEM DECOMMISSION': 'decommissionBackend', 'ALTER SYSTEM DROP': 'dropBackend', 'ALTER SYSTEM DROPP': 'dropBackend',
  'ALTER SYSTEM KILL': 'driveBackend', 'ALTER SYSTEM RENAME': 'renameComputeGroup', 'ALTER SYSTEM START': 'driveBackend',
  'ALTER SYSTEM STOP': 'driveBackend', 'ALTER TABLE': 'alterTable', 'ALTER USER': 'alterUser', 'ALTER WARM': 'alterWarmUpJob',
  'ANALYZE': 'tableMaintenance', 'BEGIN': 'begin', 'CANCEL ALTER': 'cancelAlterTable', 'CANCEL COOLDOWN': 'cancelCooldownJob', 'CANCEL DECOMMISSION': 'cancelDecommission', 'CANCEL WARM': 'cancelWarmUpJob',
  'CHECK COOLDOWN': 'checkCooldownTable', 'CHECK TABLE': 'tableMaintenance', 'CHECK TABLES': 'tableMaintenance', 'COMMIT': 'commit',
  'CREATE CLUSTER': 'createComputeGroup', 'CREATE COMPUTE': 'createComputeGroup', 'CREATE DATABASE': 'createDatabase',
  'CREATE RESOURCE': 'createStored', 'CREATE EXTERNAL RESOURCE': 'createStored', 'CREATE ROLE': 'createRole', 'CREATE SCHEMA': 'createDatabase', 'CREATE STORAGE': 'createStored',
  'CREATE TABLE': 'createTable', 'CREATE TEMPORARY': 'createTable', 'CREATE USER': 'createUser', 'DEALLOCATE': 'deallocateStatement', 'DESC': 'describe', 'DESCRIBE': 'describe',
  'DO': 'doExprs', 'DROP CLUSTER': 'dropComputeGroup', 'DROP COMPUTE': 'dropComputeGroup', 'DROP DATABASE': 'dropDatabase', 'DROP PREPARE': 'deallocateStatement',
  'DROP RESOURCE': 'dropStored', 'DROP ROLE': 'dropRole', 'DROP SCHEMA': 'dropDatabase', 'DROP STORAGE': 'dropStored',
  'DROP TABLE': 'dropTable', 'DROP USER': 'dropUser', 'EXECUTE': 'executeStatement', 'EXPLAIN': 'describe', 'EXPLAIN WARM': 'explainWarmUp', 'FLUSH': 'flush',
  'GRANT': 'grant', 'HELP': 'help', 'INSERT': 'insertHead', 'KILL': 'kill', 'LOCK': 'lockTables', 'OPTIMIZE': 'tableMaintenance',
  'PAUSE WARM': 'pauseWarmUpJob', 'PREPARE': 'prepareStatement', 'RELEASE': 'releaseSavepoint', 'RESET PERSIST': 'resetPersist', 'RENAME TABLE': 'renameTables', 'RENAME TABLES': 'renameTables', 'RENAME USER': 'renameUser', 'REPAIR': 'tableMaintenance', 'RESUME WARM': 'resumeWarmUpJob',
  'RETRY': 'retryWarmUpJob', 'REVOKE': 'revoke', 'ROLLBACK': 'rollback', 'SAVEPOINT': 'savepoint', 'SET': 'set', 'SET DEFAULT ROLE': 'setDefaultRole', 'SET ROLE': 'setRole',
  'SHOW ALL': 'showGrants', 'SHOW ALTER': 'showAlterTable', 'SHOW BACKENDS': 'showListing', 'SHOW BINARY': 'showReplication',
  'SHOW CACHE': 'showCacheHotspot', 'SHOW CATALOGS': 'showListing', 'SHOW CHARACTER': 'showListing', 'SHOW CHARSET': 'showListing',
  'SHOW CLUSTERS': 'showListing', 'SHOW COLLATION': 'showListing', 'SHOW COLUMNS': 'showColumns', 'SHOW COMPACTION': 'showCompactionStatus',
  'SHOW COMPUTE': 'showListing', 'SHOW CONFIG': 'showListing', 'SHOW COOLDOWN': 'showCooldown', 'SHOW COUNT': 'showWarnings',
  'SHOW CREATE': 'showCreate', 'SHOW CREATE USER': 'showCreateUser', 'SHOW DATA': 'showData', 'SHOW DATA SKEW': 'showDataSkew', 'SHOW DATABASES': 'showListing', 'SHOW ENGINE': 'showEngineStatus',
  'SHOW DYNAMIC': 'showInDatabase', 'SHOW ENGINES': 'showListing', 'SHOW ERRORS': 'showWarnings', 'SHOW EVENTS': 'showInDatabase', 'SHOW EXTENDED COLUMNS': 'showColumns',
  'SHOW EXTENDED FIELDS': 'showColumns', 'SHOW EXTENDED FULL': 'showColumns', 'SHOW EXTENDED INDEX': 'showIndex', 'SHOW EXTENDED INDEXES': 'showIndex', 'SHOW EXTENDED KEYS': 'showIndex', 'SHOW EXTENDED TABLES': 'showInDatabase',
  'SHOW FIELDS': 'showColumns', 'SHOW FRONTENDS': 'showListing', 'SHOW FULL COLUMNS': 'showColumns', 'SHOW FULL FIELDS': 'showColumns',
  'SHOW FULL PROCESSLIST': 'showProcesslist', 'SHOW FULL TABLES': 'showInDatabase', 'SHOW FUNCTION': 'showListing',
  'SHOW GLOBAL': 'showVariables', 'SHOW GRANTS': 'showGrants', 'SHOW INDEX': 'showIndex', 'SHOW INDEXES': 'showIndex',
  'SHOW KEYS': 'showIndex', 'SHOW LOAD': 'showLoads', 'SHOW LOCAL': 'showVariables', 'SHOW MASTER': 'showReplication',
  'SHOW OPEN': 'showInDatabase', 'SHOW PARTITIONS': 'showPartitions', 'SHOW PLUGINS': 'showListing', 'SHOW PRIVILEGES': 'showListing',
  'SHOW PROC': 'showProc', 'SHOW PROCEDURE': 'showListing', 'SHOW PROCESSLIST': 'showProcesslist', 'SHOW PROFILES': 'showProfiles',
  'SHOW REPLICA': 'showReplication', 'SHOW REPLICA DISTRIBUTION': 'showReplicaDistribution', 'SHOW REPLICA STATUS FROM': 'showReplicaStatus', 'SHOW REPLICA STATUS IN': 'showReplicaStatus',
  'SHOW REPLICAS': 'showReplication', 'SHOW RESOURCES': 'showListing', 'SHOW ROLES': 'showListing', 'SHOW SCHEMAS': 'showListing',
  'SHOW SESSION': 'showVariables', 'SHOW SLAVE': 'showReplication', 'SHOW STATUS': 'showVariables', 'SHOW STORAGE ENGINES': 'showListing',
  'SHOW STORAGE POLICY': 'showStoragePolicy', 'SHOW STORAGE VAULT': 'showStorageVaults', 'SHOW STORAGE VAULTS': 'showStorageVaults',
  'SHOW STREAM': 'showLoads', 'SHOW TABLE': 'showInDatabase', 'SHOW TABLES': 'showInDatabase', 'SHOW TABLET': 'showTablet',
  'SHOW TABLETS': 'showTablets', 'SHOW TEMPORARY': 'showPartitions', 'SHOW TRANSACTION': 'showLoads', 'SHOW TRIGGERS': 'showInDatabase',
  'SHOW VARIABLES': 'showVariables', 'SHOW WARM': 'showWarmUpJob', 'SHOW WARNINGS': 'showWarnings', 'SHUTDOWN': 'shutdown',
  'START TRANSACTION': 'startTransaction', 'TRUNCATE': 'truncateTable', 'UNLOCK': 'unlockTables', 'UNSET': 'unsetDefaultStorageVault',
  'USE': 'use', 'WAIT': 'waitForWarmUpJob', 'WARM': 'warmUp',
};

/** Statements of MySQL and Doris that this server does not have: answered with 1235, not 1064. */
// prettier-ignore
const UNSUPPORTED: readonly string[] = [
  'ADMIN CHECK', 'ADMIN CLEAN', 'ADMIN COMPACT', 'ADMIN COPY', 'ADMIN DIAGNOSE', 'ADMIN REBALANCE', 'ADMIN CANCEL',
  'ADMIN SET REPLICA', 'ADMIN SET TABLE', 'ADMIN SHOW TABLET', 'ALTER CATALOG',
  'ALTER COLOCATE', 'ALTER DATABASE', 'ALTER EVENT', 'ALTER FUNCTION', 'ALTER JOB', 'ALTER MATERIALIZED', 'ALTER PROCEDURE',
  'ALTER ROLE', 'ALTER ROUTINE', 'ALTER SCHEMA', 'ALTER SERVER', 'ALTER SQL_BLOCK_RULE', 'ALTER VIEW', 'ALTER WORKLOAD',
  'ALTER SYSTEM MODIFY', 'ALTER SYSTEM SET', 'BACKUP', 'BINLOG', 'CACHE INDEX', 'CALL', 'CANCEL BACKUP',
  'CANCEL EXPORT', 'CANCEL LOAD', 'CANCEL RESTORE', 'CHANGE', 'CHECKSUM', 'CLEAN', 'COPY', 'CREATE AGGREGATE', 'CREATE ALGORITHM',
  'CREATE ALIAS', 'CREATE CATALOG', 'CREATE DEFINER', 'CREATE ENCRYPTKEY', 'CREATE EVENT', 'CREATE EXTERNAL', 'CREATE FILE',
  'CREATE FULLTEXT', 'CREATE FUNCTION', 'CREATE GLOBAL', 'CREATE INDEX', 'CREATE JOB', 'CREATE LOGFILE', 'CREATE MATERIALIZED',
  'CREATE OR', 'CREATE PROCEDURE', 'CREATE REPOSITORY', 'CREATE ROUTINE', 'CREATE ROW', 'CREATE SERVER', 'CREATE SPATIAL', 'CREATE SQL',
  'CREATE SQL_BLOCK_RULE', 'CREATE STAGE', 'CREATE TABLESPACE', 'CREATE TRIGGER', 'CREATE UNIQUE', 'CREATE VIEW', 'CREATE WORKLOAD',
  'DELETE', 'DROP CATALOG', 'DROP ENCRYPTKEY', 'DROP EVENT', 'DROP FILE', 'DROP FUNCTION', 'DROP GLOBAL', 'DROP INDEX', 'DROP JOB',
  'DROP MATERIALIZED', 'DROP PROCEDURE', 'DROP REPOSITORY', 'DROP ROW', 'DROP SERVER', 'DROP SQL_BLOCK_RULE', 'DROP STAGE',
  'DROP STATS', 'DROP TABLESPACE', 'DROP TEMPORARY', 'DROP TRIGGER', 'DROP VIEW', 'DROP WORKLOAD', 'EXECUTE IMMEDIATE', 'EXPLAIN DELETE', 'EXPLAIN INSERT',
  'EXPLAIN REPLACE', 'EXPLAIN UPDATE', 'EXPORT', 'GET', 'HANDLER', 'IMPORT', 'INSERT DELAYED', 'INSERT HIGH_PRIORITY', 'INSERT IGNORE',
  'INSERT LOW_PRIORITY', 'INSERT OVERWRITE', 'INSTALL', 'LOAD', 'LOCK INSTANCE', 'PAUSE JOB', 'PAUSE ROUTINE', 'PURGE', 'RECOVER',
  'REFRESH', 'RENAME', 'REPLACE', 'RESET', 'RESIGNAL', 'RESTORE', 'RESUME JOB', 'RESUME ROUTINE', 'SHOW AUTHORS', 'SHOW BACKUP', 'SHOW BINLOG',
  'SHOW BROKER', 'SHOW BUILD', 'SHOW CATALOG', 'SHOW COLLATIONS', 'SHOW COLUMN', 'SHOW CREATE CATALOG', 'SHOW CREATE MATERIALIZED', 'SHOW CREATE REPOSITORY', 'SHOW CREATE ROUTINE',
  'SHOW DELETE', 'SHOW ENCRYPTKEYS', 'SHOW EXPORT', 'SHOW FILE', 'SHOW FULL BUILTIN', 'SHOW FULL FUNCTIONS', 'SHOW FULL VIEWS',
  'SHOW FUNCTION CODE', 'SHOW FUNCTIONS', 'SHOW LAST', 'SHOW PROCEDURE CODE', 'SHOW PROFILE', 'SHOW QUERY', 'SHOW RELAYLOG',
  'SHOW REPOSITORIES', 'SHOW RESTORE', 'SHOW ROLLUP', 'SHOW ROUTINE', 'SHOW SNAPSHOT', 'SHOW SQL_BLOCK_RULE', 'SHOW STAGES', 'SHOW SYNC', 'SHOW TRASH',
  'SHOW TYPECAST', 'SHOW VIEW', 'SHOW VIEWS', 'SHOW WORKLOAD', 'SIGNAL', 'START REPLICA', 'START SLAVE', 'START GROUP_REPLICATION', 'STOP GROUP_REPLICATION',
  'STOP REPLICA', 'STOP ROUTINE', 'STOP SLAVE', 'SWITCH', 'SYNC', 'TRUNCATE PARTITION', 'UNINSTALL', 'UPDATE', 'XA',
];

/** Words that begin a statement which is not looked up here. */
const QUERY_WORDS = ['SELECT', 'VALUES', 'WITH'];

export type Head =
  | { readonly kind: 'rule'; readonly rule: RuleName }
  | { readonly kind: 'unsupported'; readonly what: string };

interface HeadNode {
  head: Head | undefined;
  readonly next: Map<string, HeadNode>;
}

const ROOT: HeadNode = { head: undefined, next: new Map() };
for (const [words, rule] of Object.entries(RULES)) plant(words, { kind: 'rule', rule });
for (const what of UNSUPPORTED) plant(what, { kind: 'unsupported', what });

function plant(words: string, head: Head): void {
  let node = ROOT;
  for (const word of words.split(' ')) {
    let child = node.next.get(word);
    if (child === undefined) {
      child = { head: undefined, next: new Map() };
      node.next.set(word, child);
    }
    node = child;
  }
  node.head = head;
}

export type HeadLookup =
  | { readonly found: Head }
  /** `at`: index of the token that fits nowhere (the number of tokens: the end). */
  | { readonly found: undefined; readonly at: number; readonly expected: readonly string[] };

/** The rule for these tokens: the longest match of first words. */
export function findHead(tokens: readonly Token[]): HeadLookup {
  let node = ROOT;
  let best: Head | undefined;
  let at = 0;
  for (; at < tokens.length; at += 1) {
    const token = tokens[at];
    const child = token === undefined ? undefined : node.next.get(headWord(token));
    if (child === undefined) break;
    node = child;
    best = node.head ?? best;
  }
  if (best !== undefined) return { found: best };
  const words = [...node.next.keys()].filter((word) => !onlyUnsupported(node.next.get(word)));
  return { found: undefined, at, expected: node === ROOT ? [...words, ...QUERY_WORDS] : words };
}

/** Words that lead nowhere are not proposed. */
function onlyUnsupported(node: HeadNode | undefined): boolean {
  if (node === undefined) return true;
  return node.head?.kind !== 'rule' && [...node.next.values()].every(onlyUnsupported);
}

/** The keyword, or an unquoted word in upper case; something no head has otherwise. */
export function headWord(token: Token): string {
  const type: TokenType = token.tokenType;
  return type === T.Word ? token.image.toUpperCase() : type.name;
}

/** For the documentation. */
export const UNSUPPORTED_HEADS = UNSUPPORTED;
