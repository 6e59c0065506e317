/**
 * A client that asks one statement again and again over some connections. Its own process, so that
 * it can be pinned to a core: `node bench/query_client.ts '<QueryClientOptions as JSON>'` prints a
 * QueryClientResult as JSON.
 */
import { createConnection } from 'mysql2';
import type { Connection } from 'mysql2';
import { percentile } from './statistics.ts';

export interface QueryClientOptions {
  readonly port: number;
  readonly sql: string;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** How many each answer must have; without it at least one. */
  readonly rows?: number;
}

export interface QueryClientResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function measure(options: QueryClientOptions): Promise<QueryClientResult> {
  const { port, connections, warmUpMs, measureMs } = options;
  const clients = Array.from({ length: connections }, () =>
    createConnection({ host: '127.0.0.1', port, user: 'root' }),
  );
  for (const client of clients) await ask(client, options);
  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + measureMs;
  const latencies: number[] = [];
  await Promise.all(
    clients.map(async (client) => {
      for (let nowMs = performance.now(); nowMs < endMs;) {
        await ask(client, options);
        const doneMs = performance.now();
        if (nowMs >= startMs && doneMs <= endMs) latencies.push(doneMs - nowMs);
        nowMs = doneMs;
      }
    }),
  );
  for (const client of clients) client.destroy();
  return {
    perSecond: (latencies.length * 1000) / measureMs,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
  };
}

async function ask(client: Connection, { sql, rows }: QueryClientOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.query({ sql, rowsAsArray: true }, (error, result) => {
      if (error !== null) reject(error);
      else if (!Array.isArray(result)) reject(new Error('not rows'));
      else if (rows === undefined ? result.length > 0 : result.length === rows) resolve();
      else reject(new Error(`${result.length} rows, not ${rows ?? 'any'}`));
    });
  });
}

const result = await measure(JSON.parse(process.argv[2] ?? '') as QueryClientOptions);
process.stdout.write(`${JSON.stringify(result)}\n`);
