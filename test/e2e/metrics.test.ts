/** What /metrics says of a real server and its backends, and the limits that it tells of. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { type Row, ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  finished,
  groupMetric,
  jobRow,
  loadRows,
  vaultObjects,
  warmUp,
} from './warm_up_steps.ts';

/** A slow machine is no dead backend. */
const PATIENT = ['--set', 'max_backend_heartbeat_failure_tolerance_count=50'];

const CSV = { column_separator: ',' };
const RATE = 'file_cache_warmup_download_rate_limit_bytes_per_second';
const PLANNED = 'file_cache_once_or_periodic_warm_up';
const EVENT = 'file_cache_event_driven_warm_up';

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: { readonly name: string; readonly labels: string; readonly value: number }[];
}

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({
    args: [
      '--set',
      'heartbeat_interval_ms=100',
      ...PATIENT,
      '--set',
      'disable_auto_compaction=true',
    ],
  });
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 8',
  );
  await loadRows(server, 'd.t', { text: csvLines(0, 3000, 1000), headers: CSV });
});
afterAll(async () => {
  await server.stop();
});

/** The text format, strictly: HELP, TYPE and then the samples of one family after the other. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') helps.set(name, rest);
    else if (keyword === 'TYPE') {
      expect(families.has(name)).toBe(false);
      families.set(name, { type: rest, help: helps.get(name) ?? '', samples: [] });
    } else {
      const sample = /^([a-z_]\w*)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (-?[\d.e+]+)$/i.exec(
        line,
      );
      if (sample === null) throw new Error(`no sample: ${line}`);
      const [, full = '', labels = '', value = ''] = sample;
      const family = families.get(full) ?? families.get(full.replace(/_(bucket|sum|count)$/, ''));
      if (family === undefined) throw new Error(`a sample without HELP and TYPE: ${line}`);
      family.samples.push({ name: full, labels, value: Number(value) });
    }
  }
  return families;
}

async function get(port: unknown, path: string): Promise<string> {
  const answer = await request(`http://127.0.0.1:${String(port)}${path}`);
  expect(answer.statusCode).toBe(200);
  return await answer.body.text();
}

async function serverMetric(name: string, label: string): Promise<number | undefined> {
  const families = parse(await get(server.httpPort, '/metrics'));
  return families.get(name)?.samples.find(({ labels }) => labels.includes(label))?.value;
}

const onTarget = async (name: string): Promise<number> =>
  await groupMetric(server, 'read_group', name);

describe('/metrics', () => {
  it('of the server and of a backend are families with HELP, TYPE and samples', async () => {
    const [backend] = await backendsOf(server, 'read_group');
    for (const port of [server.httpPort, backend?.['HttpPort']]) {
      const families = parse(await get(port, '/metrics'));
      expect(families.size).toBeGreaterThan(10);
      for (const [name, { type, help }] of families) {
        expect([name, help.length > 10]).toEqual([name, true]);
        expect(['counter', 'gauge', 'histogram']).toContain(type);
      }
    }
  });

  it('says of a ONCE job what SHOW says', async () => {
    const hits = await onTarget('file_cache_hits_total');
    const job = await finished(
      server,
      await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t'),
    );
    const { bytes, paths } = await vaultObjects(`${server.dataDir}/vault`);
    const size =
      (await onTarget(`${PLANNED}_finished_segment_size`)) +
      (await onTarget(`${PLANNED}_finished_index_size`));
    expect([size, Number(job['FinishBytes'])]).toEqual([bytes, bytes]);
    expect(await onTarget('file_cache_warm_up_bytes_total')).toBe(bytes);
    for (const stage of ['submitted', 'finished']) {
      expect(await onTarget(`${PLANNED}_${stage}_segment_num`)).toBe(paths.length);
      expect(await onTarget(`${PLANNED}_${stage}_tablet_num`)).toBe(8);
    }
    expect(await onTarget('file_cache_warm_up_rowset_complete_num')).toBe(8);
    expect(await onTarget('file_cache_warm_up_job_num')).toBe(0);
    for (const name of ['requested_tablets', 'finished_tablets']) {
      expect(await serverMetric(`file_cache_warm_up_job_${name}`, 'dst="read_group"')).toBe(8);
    }
    expect(await serverMetric('file_cache_warm_up_job_exec_count', 'dst="read_group"')).toBe(1);
    const label = `job_id="${String(job['JobId'])}"`;
    const endMs = await serverMetric('file_cache_warm_up_job_last_finish_time', label);
    expect(new Date(endMs ?? 0).toISOString().replace('T', ' ').slice(0, 23)).toBe(
      job['FinishTime'],
    );
    // A warm-up is no query.
    expect(await onTarget('file_cache_hits_total')).toBe(hits);
    expect(await onTarget('file_cache_misses_total')).toBe(0);
  });

  it('says of an event-driven job what its SyncStats say', async () => {
    const id = await warmUp(
      server,
      `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group
       PROPERTIES("sync_mode" = "event_driven", "sync_event" = "load")`,
    );
    await until('the job runs', async () => (await jobRow(server, id))['Status'] === 'RUNNING');
    await server.sql('USE @write_group');
    await loadRows(server, 'd.t', { text: csvLines(3000, 100, 100), headers: CSV });
    await server.sql(`WAIT FOR WARM UP JOB ${id} TIMEOUT 30`);
    const stats = JSON.parse(String((await jobRow(server, id))['SyncStats'])) as Row;
    const num = Number(stats['seg_num'].finish_5m);
    expect(num).toBeGreaterThan(0);
    expect(stats['seg_num'].gap_1h).toBe(0);
    expect(stats['trigger_gap_ms']).toBe(0);
    // More may have arrived than is counted: rowsets go to a stand-in, too, while a home is away.
    expect(await onTarget(`${EVENT}_finished_segment_num`)).toBe(num);
    expect(await onTarget('file_cache_warm_up_rowset_latency_count')).toBe(num);
    let seen = 0;
    for (const backend of await backendsOf(server, 'read_group')) {
      const text = await get(backend['HttpPort'], '/api/warmup_event_driven_stats');
      const { data } = JSON.parse(text) as { readonly data: readonly Row[] };
      for (const entry of data) {
        expect(entry['job_id']).toBe(Number(id));
        seen += Number(entry['finish'].seg.num['5m']);
      }
    }
    expect(seen).toBe(num);
    const labels = `job_id="${id}",side="dst",window="5m"`;
    const name = 'doris_fe_file_cache_warm_up_sync_job';
    expect(await serverMetric(`${name}_size_bytes`, labels)).toBeGreaterThan(0);
    expect(await serverMetric(`${name}_trigger_gap_ms`, `job_id="${id}"`)).toBe(0);
    const info = `job_type="CLUSTER",sync_mode="EVENT_DRIVEN",sync_event="LOAD",job_state="RUNNING"`;
    expect(await serverMetric(`${name}_info`, info)).toBe(1);
    await server.sql(`CANCEL WARM UP JOB WHERE ID = ${id}`);
    expect(await serverMetric(`${name}_info`, 'job_state="CANCELLED"')).toBe(1);
  });

  it('shows a rate limit at work, which may be changed while a download runs', async () => {
    for (const backend of await backendsOf(server, 'read_group')) {
      await get(backend['HttpPort'], '/api/file_cache?op=clear&sync=true');
    }
    await server.sql(`ADMIN SET FRONTEND CONFIG ("${RATE}" = "1000")`);
    await until(
      'the backends know',
      async () => (await onTarget('file_cache_warm_up_rate_limit_bytes_per_second')) === 2000,
    );
    const id = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    await until(
      'the job says what holds it up',
      async () => (await jobRow(server, id))['WaitReason'] === 'throttled',
    );
    expect(await onTarget('file_cache_warm_up_throttled')).toBeGreaterThan(0);
    await server.sql('USE @read_group');
    expect(await server.row('SELECT COUNT(DISTINCT name) AS n FROM d.t')).toEqual({ n: 3100 });
    await server.sql(`ADMIN SET FRONTEND CONFIG ("${RATE}" = "-1")`);
    await finished(server, id);
  });
});
