/** What further clients send, once under each version that the server can announce. */
import { readFileSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { ServerProcess } from './server_process.ts';

const FOLDER = new URL('../clients/statements/', import.meta.url);

interface Sent {
  readonly sql: string;
  readonly errno: number;
  /** Who sends it; default: `bi`, who has all of one database. */
  readonly user?: 'monitor';
  readonly client?: string;
  /** Names of the columns that the client goes by. */
  readonly columns?: readonly string[];
  /** Fewest rows that make sense. */
  readonly rows?: number;
}

const CLIENTS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.jsonl'))
  .map((name) => {
    const lines = readFileSync(new URL(name, FOLDER), 'utf8').trim().split('\n');
    const statements = lines.map((line) => JSON.parse(line) as Sent);
    return { client: name.slice(0, -'.jsonl'.length), statements };
  });

const TABLES = [
  'CREATE DATABASE bi',
  `CREATE TABLE bi.users (id INT NOT NULL, name VARCHAR(64) NOT NULL, email VARCHAR(100), balance DECIMAL(10,2),
    created DATETIME, day DATE, big BIGINT, ok BOOLEAN) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2`,
  `CREATE TABLE bi.orders (id INT NOT NULL, user_id INT, note STRING, price DOUBLE)
    DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2`,
  "INSERT INTO bi.users VALUES (1,'ann','a@x',1.5,'2026-01-02 03:04:05','2026-01-02',5,1), (2,'bob',NULL,NULL,NULL,NULL,NULL,0)",
  "INSERT INTO bi.orders VALUES (1,1,'x',1.25), (2,1,'y',2.5)",
  "CREATE USER bi IDENTIFIED BY 'Pass.1'",
  'GRANT ALL ON bi.* TO bi',
  "CREATE USER monitor IDENTIFIED BY 'Pass.1'",
  'GRANT ALL ON *.* TO monitor',
];

describe.each(['5.7.99-thermocline', '8.0.36'])('as version %s', (version) => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start({ args: ['--set', `server_version=${version}`] });
    for (const statement of TABLES) await server.sql(statement);
  });
  afterAll(async () => {
    await server.stop();
  });

  it.each(CLIENTS)('$client has its statements answered', async ({ statements }) => {
    const options = { password: 'Pass.1', database: 'bi', multipleStatements: true };
    const bi = await server.connect({ ...options, user: 'bi' });
    const monitor = await server.connect({ ...options, user: 'monitor' });
    const wrong: string[] = [];
    for (const sent of statements) {
      const found = await whatIsWrong(sent.user === 'monitor' ? monitor : bi, sent);
      if (found !== undefined) wrong.push(`${found}: ${sent.sql}`);
    }
    expect(statements.length).toBeGreaterThan(9);
    expect(wrong).toEqual([]);
  });
});

async function whatIsWrong(connection: Connection, sent: Sent): Promise<string | undefined> {
  try {
    const [rows, fields] = await connection.query({ sql: sent.sql, rowsAsArray: true });
    if (sent.errno !== 0) return `no error instead of ${sent.errno}`;
    const names = fields?.map(({ name }) => name);
    if (sent.columns !== undefined && names?.join() !== sent.columns.join()) {
      return `columns ${names?.join()} instead of ${sent.columns.join()}`;
    }
    const count = Array.isArray(rows) ? rows.length : 0;
    return count < (sent.rows ?? 0) ? `${count} rows` : undefined;
  } catch (error) {
    const { errno = -1 } = error as { readonly errno?: number };
    return errno === sent.errno ? undefined : `${errno} instead of ${sent.errno}`;
  }
}
