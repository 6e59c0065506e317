/**
 * Conversations of fifteen real clients, recorded against a MariaDB that presents itself as
 * MySQL 8, said again to this server: the answers must have the same shape.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  type RecordedEntry,
  familyOf,
  isRequired,
  recordedClients,
  recordedEntries,
  withoutComments,
} from '../clients/recorded.ts';
import { type Answer, PASSWORD, Replay } from '../clients/replay.ts';
import { ServerProcess, until } from './server_process.ts';

/** The recorded database, as far as it can be had here. */
const SETUP = [
  'CREATE DATABASE adm',
  'CREATE DATABASE test',
  `CREATE TABLE adm.users (id INT, name VARCHAR(64), email VARCHAR(128), score DOUBLE,
    balance DECIMAL(12,2), created DATETIME) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1`,
  `CREATE TABLE adm.jobs (id BIGINT, user_id INT, kind CHAR(1), payload STRING, blobcol STRING,
    started DATETIME) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1`,
  `CREATE TABLE adm.show20 (Id INT, c2 VARCHAR(64), c3 VARCHAR(64), c4 VARCHAR(64), c5 BIGINT, c6 BIGINT,
    c7 VARCHAR(64), c8 VARCHAR(64), c9 VARCHAR(64), c10 INT, c11 DATETIME, c12 VARCHAR(64))
    DUPLICATE KEY(Id) DISTRIBUTED BY HASH(Id) BUCKETS 1`,
  'CREATE TABLE adm.v_users (id INT, name VARCHAR(64)) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1',
  "INSERT INTO adm.users VALUES (1, 'ann', 'a@x', 1.5, 10.25, '2024-01-02 03:04:05'), (2, 'bob', NULL, NULL, NULL, NULL)",
  "INSERT INTO adm.jobs VALUES (1, 1, 'a', 'p', 'b', '2024-01-02 03:04:05')",
  "INSERT INTO adm.show20 VALUES (1, 'a', 'b', 'c', 1, 2, 'd', 'e', 'f', 3, '2024-01-02 03:04:05', 'g')",
  `CREATE USER bi IDENTIFIED WITH mysql_native_password BY '${PASSWORD}'`,
  'GRANT ALL ON *.* TO bi',
];

interface Exception {
  readonly sql: RegExp;
  readonly why: string;
}

/** Required statements whose answer differs, and may. */
const EXCEPTIONS: readonly Exception[] = [
  {
    sql: /^SELECT @@(session\.)?transaction_(isolation|read_only)$/i,
    why: 'MariaDB calls the column by the older name; MySQL and this server by the one that was asked for',
  },
  {
    sql: /^SHOW CREATE TABLE `v_users`$|FROM information_schema.views /i,
    why: 'there are no views: v_users is a table here',
  },
  {
    sql: /^SHOW VARIABLES LIKE \?$/i,
    why: 'MariaDB takes no placeholder there; this server does, and the columns are the same',
  },
];

/** What has no rows here: only the columns are compared. */
const NO_ROWS_HERE: readonly Exception[] = [
  { sql: /REFERENCED_TABLE_NAME/, why: 'there are no foreign keys' },
  { sql: /INDEX_NAME ?= ?'PRIMARY'/, why: 'tables with DUPLICATE KEY have no primary key' },
  { sql: /^SHOW WARNINGS$/i, why: 'a division by zero gives NULL without a warning' },
  { sql: /^HELP 'show'$/i, why: 'the help tables are empty, as where nobody filled them' },
  { sql: /INFORMATION_SCHEMA.(ROUTINES|PARAMETERS)/, why: 'there are no stored routines' },
];

/** Errors that are right whatever MySQL says: the statement needs what this server has not. */
const NOT_HERE = new Set([1044, 1046, 1049, 1064, 1142, 1146, 1227, 1235, 1305]);

/** What is wrong with an answer; undefined: nothing. `failed`: the login of a Connect. */
function fault(
  entry: RecordedEntry,
  answer: Answer,
  failed: RecordedEntry | undefined,
): string | undefined {
  const err = failed?.err ?? entry.err;
  const expected = typeof err === 'object' ? err.code : err;
  if (answer.errno === 1105) return `1105 ${answer.message}`;
  if (answer.kind === 'none') return undefined;
  if (expected !== undefined) {
    const right = answer.errno === expected || (!isRequired(entry) && NOT_HERE.has(answer.errno));
    return right ? undefined : `${expected} expected, got ${shape(answer)}`;
  }
  if (answer.kind === 'error') {
    if (!isRequired(entry) && NOT_HERE.has(answer.errno)) return undefined;
    return `error ${answer.errno} ${answer.message}`;
  }
  return entry.columns === undefined ? commandFault(entry, answer) : rowsFault(entry, answer);
}

function commandFault(entry: RecordedEntry, answer: Answer): string | undefined {
  if (entry.command === 'Statistics') {
    const form = (entry['text' as keyof RecordedEntry] as string).replaceAll(/[\d.]+/g, 'N');
    const ours = answer.text.replaceAll(/[\d.]+/g, 'N');
    return form === ours ? undefined : `'${answer.text}'`;
  }
  if (entry.command === 'Prepare') {
    const sameParameters = answer.parameters === entry.numParams;
    // MariaDB keeps the columns of some SHOW for the execution.
    const sameColumns = entry.numCols === 0 || answer.columns.length === entry.numCols;
    return sameParameters && sameColumns
      ? undefined
      : `${answer.parameters} parameters and ${answer.columns.length} columns, not ${entry.numParams} and ${entry.numCols}`;
  }
  return answer.kind === 'rows' ? 'rows' : undefined;
}

function rowsFault(
  { columns = [], nrows = 0, command, sql = '' }: RecordedEntry,
  answer: Answer,
): string | undefined {
  const names = columns.map(({ name }) => name).join(', ');
  const ours = answer.columns.map(({ name }) => name).join(', ');
  if (answer.kind !== 'rows') return `${answer.kind} instead of rows`;
  // A client that keeps metadata gets none with a second execution.
  if (columns.length === 0) return undefined;
  if (names !== ours) return `columns ${ours} instead of ${names}`;
  const wrong = columns.filter(({ type }, at) => {
    const found = answer.columns[at]?.type ?? 0;
    const [theirs, family] = [familyOf(type), familyOf(found)];
    const isSame = theirs === family || theirs === 'null' || family === 'null';
    // A sum of integers is a DECIMAL in MySQL; an integer is read as one.
    return !isSame && !(theirs === 'number' && family === 'integer');
  });
  if (wrong.length > 0) {
    const types = wrong.map(({ name, type }) => {
      const found = answer.columns.find((column) => column.name === name)?.type;
      return `${name} ${found} instead of ${type}`;
    });
    return `types: ${types.join(', ')}`;
  }
  const mustHaveRows = command === 'Query' && !NO_ROWS_HERE.some((none) => none.sql.test(sql));
  return mustHaveRows && nrows > 0 && answer.rows.length === 0 ? 'no rows' : undefined;
}

function shape(answer: Answer): string {
  return answer.kind === 'error' ? `${answer.errno} ${answer.message}` : answer.kind;
}

function isLoginError(conn: number): (entry: RecordedEntry) => boolean {
  return (entry) => entry.conn === conn && entry.command === 'AuthError';
}

interface Score {
  readonly required: string;
  readonly others: string;
  readonly faults: readonly string[];
}

async function play(server: ServerProcess, client: string): Promise<Score> {
  const replay = new Replay(server.mysqlPort, async (sql) => {
    await until(sql, async () => {
      const quoted = sql.replaceAll("'", "''");
      const running = `SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = '${quoted}'`;
      return (await server.sql(running)).length > 0;
    });
  });
  const entries = recordedEntries(client);
  const score = { required: 0, requiredRight: 0, others: 0, othersRight: 0 };
  const faults: string[] = [];
  try {
    for (const [at, entry] of entries.entries()) {
      const later = entries.slice(at + 1);
      const failed = entry.command === 'Connect' ? later.find(isLoginError(entry.conn)) : undefined;
      const what = fault(entry, await replay.say(entry, later), failed);
      const sql = withoutComments(entry.sql ?? '').replaceAll(/\s+/g, ' ');
      const excepted = EXCEPTIONS.some((exception) => exception.sql.test(sql));
      const isRight = what === undefined || excepted;
      if (isRequired(entry)) {
        score.required += 1;
        if (isRight) score.requiredRight += 1;
      } else {
        score.others += 1;
        if (isRight) score.othersRight += 1;
      }
      if (!isRight) {
        faults.push(`${entry.seq} ${entry.command} ${sql.slice(0, 200)}: ${what}`);
      }
    }
  } finally {
    replay.close();
  }
  return {
    required: `${score.requiredRight}/${score.required}`,
    others: `${score.othersRight}/${score.others}`,
    faults,
  };
}

describe.each([
  ['as it is set by default', []],
  ['as MySQL 8', ['--set', 'server_version=8.0.36']],
])('the server %s', (_, args) => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start({ args });
    for (const sql of SETUP) await server.sql(sql);
  });
  afterAll(async () => {
    await server.stop();
  });

  it.each(recordedClients())('answers %s', async (client) => {
    const { required, others, faults } = await play(server, client);
    expect(faults).toEqual([]);
    const [right, all] = required.split('/');
    expect(right).toBe(all);
    expect(others).toMatch(/^\d+\/\d+$/);
  });
});
