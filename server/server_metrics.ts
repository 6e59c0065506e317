/** `/metrics` of the server, by prom-client; values are read when they are asked for. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { Services } from './services.ts';
import { VERSION } from './version.ts';

export interface ServerMetricsDeps {
  readonly services: Services;
  readonly questions: () => number;
}

export class ServerMetrics {
  readonly #registry = new Registry();

  constructor({ services, questions }: ServerMetricsDeps) {
    const registers = [this.#registry];
    const { catalog, registry, connections, warmUps } = services;
    const info = new Gauge({
      name: 'thermocline_info',
      help: 'Always 1; the version is a label.',
      labelNames: ['version'],
      registers,
    });
    info.set({ version: VERSION }, 1);
    const gauge = (name: string, help: string, read: (metric: Gauge) => Promise<void>): void => {
      const metric: Gauge = new Gauge({
        name,
        help,
        registers,
        labelNames: name.includes('warm_up_job') ? ['job_state'] : ['alive'],
        collect: async () => {
          await read(metric);
        },
      });
    };
    gauge('thermocline_backends', 'Backends, by whether they are alive.', async (metric) => {
      const ids = (await catalog.backends.list()).map((backend) => backend.backendId);
      const alive = registry.alive(ids).length;
      metric.set({ alive: 'true' }, alive);
      metric.set({ alive: 'false' }, ids.length - alive);
    });
    gauge('file_cache_warm_up_jobs', 'Warm-up jobs that are not final.', async (metric) => {
      const jobs = await catalog.warmUpJobs.active();
      for (const state of ['PENDING', 'RUNNING']) {
        metric.set({ job_state: state }, jobs.filter((job) => job.state === state).length);
      }
    });
    this.#plain(registers, connections, warmUps, questions);
  }

  #plain(
    registers: Registry[],
    connections: Services['connections'],
    warmUps: Services['warmUps'],
    questions: () => number,
  ): void {
    const connected: Gauge = new Gauge({
      name: 'thermocline_connections',
      help: 'Open MySQL connections, logged in or not.',
      registers,
      collect: () => {
        connected.set(connections.size);
      },
    });
    const asked: Counter = new Counter({
      name: 'thermocline_statements_total',
      help: 'Statements executed.',
      registers,
      collect: () => {
        asked.reset();
        asked.inc(questions());
      },
    });
    const late: Counter = new Counter({
      name: 'file_cache_warm_up_late_events_total',
      help: 'Messages about warm-up jobs that came too late to matter.',
      registers,
      collect: () => {
        late.reset();
        late.inc(warmUps.lateEvents);
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }
}
