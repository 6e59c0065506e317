import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type JobId, id } from '../../base/ids.ts';
import { ServerMetrics } from '../../server/server_metrics.ts';
import { ManualClock } from '../manual_clock.ts';
import { ShowFixture } from './executors/fixture.ts';

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
  await show.run('CREATE DATABASE d');
  await show.group('src "1"', [8041]);
  await show.group('dst', [8042]);
});
afterEach(async () => {
  await show.close();
});

const EVENTS = `WARM UP COMPUTE GROUP dst WITH COMPUTE GROUP \`src "1"\`
  PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "load")`;

describe('warm-up metrics of the server', () => {
  it('describe a job while it lives and for ten minutes after', async () => {
    const clock = new ManualClock();
    clock.advance(show.services.clock.now() - clock.now());
    const metrics = new ServerMetrics({ ...show.services, clock });
    const samples = async (prefix: string): Promise<string[]> =>
      (await metrics.text()).split('\n').filter((line) => line.startsWith(prefix));
    const [created] = await show.objects(EVENTS);
    const job = id<JobId>(Number(created?.['JobId']));
    const name = 'doris_fe_file_cache_warm_up_sync_job';
    const labels = String.raw`job_id="${job}",src="src \"1\"",dst="dst"`;
    const state = async (): Promise<string> =>
      /job_state="(\w+)"/.exec((await samples(`${name}_info`)).join())?.[1] ?? 'none';
    expect(['PENDING', 'RUNNING']).toContain(await state());
    expect((await samples(`${name}_info`))[0]).toContain(labels);

    const { syncStats } = show.services;
    const counts = { segNum: 1, segBytes: 1000, idxNum: 1, idxBytes: 24 };
    syncStats.requested(job, counts, 5000);
    syncStats.requested(job, counts, 5300);
    syncStats.finished(job, counts, 5000);
    const sizes = await samples(`${name}_size_bytes`);
    expect(sizes).toHaveLength(6);
    expect(sizes).toContain(`${name}_size_bytes{job_id="${job}",side="src",window="5m"} 2048`);
    expect(sizes).toContain(`${name}_size_bytes{job_id="${job}",side="dst",window="1h"} 1024`);
    syncStats.finished(job, counts, 5300);
    syncStats.requested(job, counts, 6000);
    syncStats.requested(job, counts, 6250);
    expect(await samples(`${name}_trigger_gap_ms`)).toEqual([
      `${name}_trigger_gap_ms{job_id="${job}"} 250`,
    ]);

    await show.run(`CANCEL WARM UP JOB WHERE ID = ${job}`);
    expect(await state()).toBe('CANCELLED');
    const [finish] = await samples('file_cache_warm_up_job_last_finish_time{');
    expect(finish).toContain(labels);
    clock.advance(700_000);
    for (const prefix of [name, 'file_cache_warm_up_job_l']) {
      expect(await samples(prefix)).toEqual([]);
    }
  });

  it('never have a sample twice, however many ask at once', async () => {
    await show.run(EVENTS);
    const metrics = new ServerMetrics(show.services);
    const texts = await Promise.all([metrics.text(), metrics.text(), metrics.text()]);
    for (const text of texts) {
      const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      const names = series.map((line) => line.slice(0, line.lastIndexOf(' ')));
      expect(names.length).toBe(new Set(names).size);
    }
  });
});
