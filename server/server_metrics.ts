/** `/metrics` of the server, by prom-client; values are read when they are asked for. */
import { Registry } from 'prom-client';
import { type MetricDoc, counter, describe, gauge } from '../base/read_metrics.ts';
import { registerCompactionMetrics } from './compaction_metrics.ts';
import { registerCooldownMetrics } from './cooldown_metrics.ts';
import { registerReplicaMetrics } from './replica_metrics.ts';
import type { Services } from './services.ts';
import { VERSION } from './version.ts';
import { registerWarmUpMetrics } from './warm_up_metrics.ts';

/** One value of a metric. */
export interface MetricSample {
  readonly name: string;
  /** As Prometheus writes them: `a="b",c="d"`. */
  readonly labels: string;
  readonly value: number;
  readonly kind: string;
  readonly help: string;
}

export class ServerMetrics {
  readonly #registry = new Registry();

  constructor(services: Services) {
    const { catalog, registry, connections, statements } = services;
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
    registerWarmUpMetrics(metrics, services);
    registerCompactionMetrics(metrics, services);
    registerCooldownMetrics(metrics, services);
    registerReplicaMetrics(metrics, services);
    gauge(
      metrics,
      { name: 'thermocline_connections', help: 'Open MySQL connections, logged in or not.' },
      () => [[{}, connections.size]],
    );
    counter(metrics, { name: 'thermocline_statements_total', help: 'Statements executed.' }, () => [
      [{}, statements.total],
    ]);
  }

  /** What is registered, for docs/metrics.md. */
  described(): readonly MetricDoc[] {
    return describe(this.#registry);
  }

  async samples(): Promise<readonly MetricSample[]> {
    const metrics = await this.#registry.getMetricsAsJSON();
    return metrics.flatMap(({ name, type, help, values }) =>
      values.map((sample) => ({
        name: 'metricName' in sample ? String(sample.metricName) : name,
        labels: Object.entries(sample.labels)
          .map(([label, value]) => `${label}="${value}"`)
          .join(','),
        value: sample.value,
        kind: String(type),
        help,
      })),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }
}
