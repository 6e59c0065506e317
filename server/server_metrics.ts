/** `/metrics` of the server, by prom-client; values are read when they are asked for. */
import { Registry } from 'prom-client';
import { type Sample, counter, gauge } from '../base/read_metrics.ts';
import type { Services } from './services.ts';
import { VERSION } from './version.ts';

export class ServerMetrics {
  readonly #registry = new Registry();

  constructor({ catalog, registry, connections, statements, warmUps }: Services) {
    const metrics = this.#registry;
    gauge(
      metrics,
      {
        name: 'thermocline_info',
        help: 'Always 1; the version is a label.',
        labels: ['version'],
      },
      () => [[{ version: VERSION }, 1]],
    );
    gauge(
      metrics,
      {
        name: 'thermocline_backends',
        help: 'Backends, by whether they are alive.',
        labels: ['alive'],
      },
      async () => {
        const ids = (await catalog.backends.list()).map((backend) => backend.backendId);
        const alive = registry.alive(ids).length;
        return [
          [{ alive: 'true' }, alive],
          [{ alive: 'false' }, ids.length - alive],
        ];
      },
    );
    gauge(
      metrics,
      {
        name: 'file_cache_warm_up_jobs',
        help: 'Warm-up jobs that are not final.',
        labels: ['job_state'],
      },
      async () => {
        const jobs = await catalog.warmUpJobs.active();
        return ['PENDING', 'RUNNING'].map((state): Sample => {
          const count = jobs.filter((job) => job.state === state).length;
          return [{ job_state: state }, count];
        });
      },
    );
    gauge(
      metrics,
      { name: 'thermocline_connections', help: 'Open MySQL connections, logged in or not.' },
      () => [[{}, connections.size]],
    );
    counter(metrics, { name: 'thermocline_statements_total', help: 'Statements executed.' }, () => [
      [{}, statements()],
    ]);
    counter(
      metrics,
      {
        name: 'file_cache_warm_up_late_events_total',
        help: 'Messages about warm-up jobs that came too late to matter.',
      },
      () => [[{}, warmUps.lateEvents]],
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }
}
