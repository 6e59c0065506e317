/** Steps that several benches take through a server's front doors: SQL and HTTP. */
import { request } from 'undici';
import type { Connection, RowDataPacket } from 'mysql2/promise';

const AUTHORIZATION = `Basic ${Buffer.from('root:').toString('base64')}`;
const POLL_MS = 50;
const LOAD_TIMEOUT_MS = 120_000;

/** Rows of a statement as records, all values as the client reads them. */
export async function rowsOf(
  client: Connection,
  sql: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const [rows] = await client.query<RowDataPacket[]>(sql);
  return rows;
}

/** HTTP ports of the backends of a compute group. */
export async function backendPorts(client: Connection, group: string): Promise<readonly number[]> {
  const backends = await rowsOf(client, 'SHOW BACKENDS');
  return backends
    .filter(
      ({ Tag }) =>
        (JSON.parse(String(Tag)) as Record<string, unknown>)['compute_group_name'] === group,
    )
    .map(({ HttpPort }) => Number(HttpPort));
}

export interface StreamLoad {
  readonly db: string;
  readonly table: string;
  readonly label: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Straight to a backend, as a client does that keeps the redirection. Throws unless it succeeds. */
export async function streamLoad(port: number, load: StreamLoad): Promise<void> {
  const { db, table, label, headers, body } = load;
  const answer = await request(`http://127.0.0.1:${port}/api/${db}/${table}/_stream_load`, {
    method: 'PUT',
    headers: { ...headers, label, authorization: AUTHORIZATION },
    body,
    headersTimeout: LOAD_TIMEOUT_MS,
  });
  const text = await answer.body.text();
  if (/"Status":\s*"Success"/.test(text)) return;
  throw new Error(`stream load into ${db}.${table}: ${answer.statusCode} ${text}`);
}

/** Empties the block cache of a compute group. */
export async function clearCaches(client: Connection, group: string): Promise<void> {
  for (const port of await backendPorts(client, group)) {
    const answer = await request(`http://127.0.0.1:${port}/api/file_cache?op=clear&sync=true`);
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`clearing the cache: ${text}`);
  }
}

export interface WarmUpTime {
  /** From StartTime to FinishTime of the job. */
  readonly seconds: number;
  readonly bytes: number;
}

/** Starts a job with a WARM UP statement and waits for its end. Throws unless it is FINISHED. */
export async function warmUp(client: Connection, sql: string): Promise<WarmUpTime> {
  const [started] = await rowsOf(client, sql);
  const id = String(started?.['JobId']);
  for (;;) {
    const [job] = await rowsOf(client, `SHOW WARM UP JOB WHERE ID = ${id}`);
    const status = String(job?.['Status']);
    if (status === 'FINISHED') {
      const seconds = (timeMs(job?.['FinishTime']) - timeMs(job?.['StartTime'])) / 1000;
      return { seconds, bytes: Number(job?.['FinishBytes']) };
    }
    if (status !== 'PENDING' && status !== 'RUNNING') {
      throw new Error(`warm-up job ${id} is ${status}: ${String(job?.['ErrMsg'])}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** `2024-01-31 12:00:00.123` */
function timeMs(text: unknown): number {
  return Date.parse(`${String(text).replace(' ', 'T')}Z`);
}

/** The n-th of all pairs a < b of whole numbers from 0 on: (0, 1), (0, 2), (1, 2), (0, 3), ... */
export function partitionPair(n: number): readonly [number, number] {
  const larger = Math.floor((1 + Math.sqrt(1 + 8 * n)) / 2);
  return [n - (larger * (larger - 1)) / 2, larger];
}
