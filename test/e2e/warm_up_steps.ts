/** What several end-to-end tests do with a server: loads, counts of requests, jobs and their end. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { type Row, type ServerProcess, until } from './server_process.ts';

const AUTHORIZATION = `Basic ${Buffer.from('root:').toString('base64')}`;
const FINAL = ['FINISHED', 'CANCELLED'];

/** A file of the vega-datasets package. */
export function datasetPath(file: string): string {
  return fileURLToPath(new URL(`../../node_modules/vega-datasets/data/${file}`, import.meta.url));
}

export interface LoadSource {
  readonly path?: string;
  readonly text?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export type LoadAnswer = Record<string, string | number>;

/** The backend that the server sends a load to. */
export async function loadLocation(server: ServerProcess, table: string): Promise<string> {
  const url = `http://127.0.0.1:${server.httpPort}/api/${table.replace('.', '/')}/_stream_load`;
  const asked = await request(url, { method: 'PUT', headers: { authorization: AUTHORIZATION } });
  const text = await asked.body.text();
  if (asked.statusCode !== 307) throw new Error(`${asked.statusCode}: ${text}`);
  return String(asked.headers['location']);
}

/** Stream load into `db.table` as curl --location-trusted does it; the JSON answer. */
export async function streamLoad(
  server: ServerProcess,
  table: string,
  source: LoadSource,
): Promise<LoadAnswer> {
  const location = await loadLocation(server, table);
  const body = source.path === undefined ? (source.text ?? '') : createReadStream(source.path);
  const answer = await request(location, {
    method: 'PUT',
    headers: { authorization: AUTHORIZATION, ...source.headers },
    body,
  });
  return (await answer.body.json()) as LoadAnswer;
}

/** Loads and demands success. */
export async function loadRows(
  server: ServerProcess,
  table: string,
  source: LoadSource,
): Promise<LoadAnswer> {
  const answer = await streamLoad(server, table, source);
  if (answer['Status'] !== 'Success') throw new Error(JSON.stringify(answer));
  return answer;
}

export async function backendsOf(server: ServerProcess, group: string): Promise<Row[]> {
  return await server.sql(`SHOW BACKENDS WHERE ComputeGroup = '${group}'`);
}

/** One sample of a backend's /metrics. */
function sample(text: string, name: string, label: string): number {
  const pattern = new RegExp(`^${name}\\{[^}]*${label}[^}]*\\} ([\\d.e+]+)$`, 'm');
  const value = pattern.exec(text)?.[1];
  if (value === undefined) throw new Error(`no metric ${name} {${label}}`);
  return Number(value);
}

/** Sum of one metric over the running backends of a group. */
export async function groupMetric(
  server: ServerProcess,
  group: string,
  name: string,
  label = '',
): Promise<number> {
  let sum = 0;
  for (const backend of await backendsOf(server, group)) {
    if (String(backend['Alive']) !== 'true') continue;
    const answer = await request(`http://127.0.0.1:${String(backend['HttpPort'])}/metrics`);
    sum += sample(await answer.body.text(), name, label);
  }
  return sum;
}

/** Reads that went to the object store. */
export async function storeReads(server: ServerProcess, group: string): Promise<number> {
  return await groupMetric(server, group, 'object_store_requests_total', 'operation="get"');
}

/**
 * What SHOW says, and CachedBytes, which only the table of information_schema has: asked after it,
 * so that it is the last word on a job that SHOW calls finished.
 */
export async function jobRow(server: ServerProcess, jobId: string): Promise<Row> {
  const table = 'information_schema.warm_up_jobs';
  const shown = await server.row(`SHOW WARM UP JOB WHERE ID = ${jobId}`);
  const cached = await server.row(`SELECT CachedBytes FROM ${table} WHERE JobId = '${jobId}'`);
  return { ...cached, ...shown };
}

/** Creates the job; its id. */
export async function warmUp(server: ServerProcess, statement: string): Promise<string> {
  return String((await server.row(statement))['JobId']);
}

/** Waits for the end of the job; its row then. */
export async function jobEnd(server: ServerProcess, jobId: string): Promise<Row> {
  let row = await jobRow(server, jobId);
  await until(`the end of job ${jobId}`, async () => {
    row = await jobRow(server, jobId);
    return FINAL.includes(String(row['Status']));
  });
  return row;
}

/** The job must end well. */
export async function finished(server: ServerProcess, jobId: string): Promise<Row> {
  const row = await jobEnd(server, jobId);
  if (row['Status'] !== 'FINISHED') throw new Error(`${row['Status']}: ${row['ErrMsg']}`);
  return row;
}

/** Bytes and number of the objects below `data/` of a directory store. */
export async function vaultObjects(dir: string): Promise<{ bytes: number; paths: string[] }> {
  const options = { recursive: true, withFileTypes: true } as const;
  const entries = await readdir(join(dir, 'data'), options).catch((error: unknown) => {
    // The store prunes directories that have become empty.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.dat'))
    .map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), paths };
}

/** n lines of CSV: id, a text that does not compress. */
export function csvLines(from: number, count: number, textChars: number): string {
  const lines: string[] = [];
  let state = from * 2_654_435_761;
  for (let i = from; i < from + count; i += 1) {
    let text = '';
    while (text.length < textChars) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      text += state.toString(36);
    }
    lines.push(`${i},${text.slice(0, textChars)}\n`);
  }
  return lines.join('');
}
