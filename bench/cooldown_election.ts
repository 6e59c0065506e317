/**
 * Elections: a table of 10,000 tablets with two replicas each gets its storage policy, and every
 * tablet a leader whose term all its backends have persisted. From the statement to the last job
 * that is FINISHED, in a whole server with embedded backends; beside it bare commits of SQLite that
 * write as many rows in as large transactions.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { createConnection } from 'mysql2/promise';
import { Config } from '../base/config.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { startOwnServer } from './own_server.ts';
import { rowsOf } from './tables.ts';

const TABLETS = 10_000;
const TABLETS_QUICK = 1000;
const BUCKETS = 100;
const REPLICAS = 2;
const PER_JOB = 100;
const POLL_MS = 20;
const WAIT_MS = 300_000;

export const COOLDOWN_ELECTION: Bench = {
  name: 'cooldown-election',
  about: 'leaders for 10,000 tablets, persisted by every backend',
  run: async (context) => {
    const tablets = context.quick ? TABLETS_QUICK : TABLETS;
    const dataDir = await context.directory();
    const server = await startOwnServer(context, {
      dataDir,
      embedded: new Map([['g', REPLICAS]]),
      config: new Config({ log_level: 'silent' }),
    });
    const client = await createConnection({ port: server.mysql.port, user: 'root' });
    context.defer(async () => {
      await client.end();
    });
    const cold = await context.directory();
    await client.query(
      `CREATE RESOURCE r PROPERTIES ("type" = "local", "local.root.path" = "${cold}")`,
    );
    await client.query(
      'CREATE STORAGE POLICY p PROPERTIES ("storage_resource" = "r", "cooldown_ttl" = "10d")',
    );
    await client.query('CREATE DATABASE bench');
    const createSeconds = await seconds(async () => {
      await client.query(createTable(tablets / BUCKETS));
    });
    context.say(`${tablets} tablets created in ${createSeconds.toFixed(1)} s`);
    const cpu = process.cpuUsage();
    const electSeconds = await seconds(async () => {
      await client.query('ALTER TABLE bench.t SET ("storage_policy" = "p")');
      const deadline = performance.now() + WAIT_MS;
      const finished = async (): Promise<number> => {
        const [row] = await rowsOf(
          client,
          "SELECT COALESCE(SUM(Elected), 0) AS n FROM information_schema.cooldown_jobs WHERE State = 'FINISHED'",
        );
        return Number(row?.['n']);
      };
      while ((await finished()) < tablets) {
        if (performance.now() > deadline) throw new Error('the elections did not end');
        await pause(POLL_MS);
      }
    });
    const { user, system } = process.cpuUsage(cpu);
    const bareSeconds = await bareCommits(context, tablets);
    return figures({
      tablets,
      createSeconds,
      electSeconds,
      bareSeconds,
      cpuMs: (user + system) / 1000,
    });
  },
};

interface Measured {
  readonly tablets: number;
  readonly createSeconds: number;
  readonly electSeconds: number;
  readonly bareSeconds: number;
  readonly cpuMs: number;
}

function figures({ tablets, createSeconds, electSeconds, bareSeconds, cpuMs }: Measured): Figure[] {
  return [
    {
      name: 'elected, pushed, FINISHED',
      value: tablets / electSeconds,
      unit: '1/s',
      note: `${tablets} tablets, ${REPLICAS} replicas each, in ${electSeconds.toFixed(1)} s`,
    },
    {
      name: 'bare commits / elections',
      value: bareSeconds / electSeconds,
      unit: '',
      note: `the same rows by ${PER_JOB} in a transaction, catalog and backends`,
    },
    { name: 'CPU per tablet', value: cpuMs / tablets, unit: 'ms', note: 'server and backends' },
    {
      name: 'CREATE TABLE',
      value: (tablets * REPLICAS) / createSeconds,
      unit: 'replicas/s',
      note: 'durable on every backend when it answers',
    },
  ];
}

function createTable(partitions: number): string {
  const ranges = Array.from(
    { length: partitions },
    (_, at) => `PARTITION p${at} VALUES LESS THAN ("${at + 1}")`,
  );
  return (
    `CREATE TABLE bench.t (a INT, b INT) PARTITION BY RANGE(a) (${ranges.join(', ')}) ` +
    `DISTRIBUTED BY HASH(b) BUCKETS ${BUCKETS} PROPERTIES ("replication_num" = "${REPLICAS}")`
  );
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await work();
  return (performance.now() - from) / 1000;
}

/** Per job: its leads in the catalog, and the same on each backend, each a durable transaction. */
async function bareCommits(context: BenchContext, tablets: number): Promise<number> {
  const database = new Database(join(await context.directory(), 'bare.db'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec(
    'CREATE TABLE lead (tablet_id INTEGER, place INTEGER, replica_id INTEGER, term INTEGER, PRIMARY KEY (tablet_id, place)) WITHOUT ROWID',
  );
  const insert = database.prepare('INSERT INTO lead VALUES (?, ?, ?, ?)');
  const result = await seconds(async () => {
    for (let from = 0; from < tablets; from += PER_JOB) {
      for (let place = 0; place <= REPLICAS; place += 1) {
        database.exec('BEGIN IMMEDIATE');
        for (let at = from; at < from + PER_JOB; at += 1) insert.run(at, place, at + 1, 1);
        database.exec('COMMIT');
      }
    }
    await Promise.resolve();
  });
  database.close();
  return result;
}
