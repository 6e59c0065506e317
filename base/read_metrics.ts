/** Metrics whose values are read when they are asked for, by prom-client. */
import { Counter, Gauge, type Metric, type Registry } from 'prom-client';
import type { Distribution } from './distribution.ts';

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface MetricName {
  readonly name: string;
  readonly help: string;
  /** Names of the labels; none by default. */
  readonly labels?: readonly string[];
}

type Read = () => readonly Sample[] | Promise<readonly Sample[]>;

export function gauge(registry: Registry, name: MetricName, read: Read): void {
  const metric: Gauge = new Gauge({
    ...configuration(registry, name),
    collect: async () => {
      for (const [of, value] of await fresh(metric, read)) metric.set(of, value);
    },
  });
}

export function counter(registry: Registry, name: MetricName, read: Read): void {
  const metric: Counter = new Counter({
    ...configuration(registry, name),
    collect: async () => {
      for (const [of, value] of await fresh(metric, read)) metric.inc(of, value);
    },
  });
}

function configuration(registry: Registry, { name, help, labels = [] }: MetricName) {
  return { name, help, registers: [registry], labelNames: [...labels] };
}

/** The samples for a metric that has none now: what is not there any more must not stay in it. */
async function fresh(metric: Gauge | Counter, read: Read): Promise<readonly Sample[]> {
  const samples = await read();
  metric.reset();
  return samples;
}

/**
 * A distribution that somebody keeps, whether or not it is ever asked for: prom-client's own
 * histogram would have to be there for each value.
 */
export function histogram(
  registry: Registry,
  { name, help }: Omit<MetricName, 'labels'>,
  distribution: Distribution,
): void {
  const type = 'histogram';
  const get = async (): Promise<unknown> => {
    const { bounds, counts, count, sum } = distribution;
    let below = 0;
    const buckets = bounds.map((le, at) => {
      below += counts[at] ?? 0;
      return { labels: { le }, value: below, metricName: `${name}_bucket` };
    });
    const all = { labels: { le: '+Inf' }, value: count, metricName: `${name}_bucket` };
    const total = { labels: {}, value: sum, metricName: `${name}_sum` };
    const number = { labels: {}, value: count, metricName: `${name}_count` };
    const values = [...buckets, all, total, number];
    return await Promise.resolve({ name, help, type, values, aggregator: 'sum' });
  };
  // The registry asks a metric for its name and its values, and not how it came to them.
  registry.registerMetric({ name, help, type, labelNames: [], get } as unknown as Metric);
}

/** A counter that shows one of somebody's counts. */
export interface CountRow<Key extends string> {
  readonly name: string;
  readonly help: string;
  readonly count: Key;
}

/** Registers a counter per row; like every metric here, `counts` is asked only when the metric is read. */
export function countersOf<Key extends string>(
  registry: Registry,
  rows: readonly CountRow<Key>[],
  counts: () => Readonly<Record<Key, number>>,
): void {
  for (const { name, help, count } of rows) {
    counter(registry, { name, help }, () => [[{}, counts()[count]]]);
  }
}

/** A registered metric, for the docs. */
export interface MetricDoc extends Required<MetricName> {
  readonly type: 'counter' | 'gauge' | 'histogram';
}

/** What is registered, in order of registration; nothing is read. */
export function describe(registry: Registry): readonly MetricDoc[] {
  return registry.getMetricsAsArray().map((metric) => {
    const { name, help, labelNames, type } = metric as unknown as {
      readonly name: string;
      readonly help: string;
      readonly labelNames: readonly string[];
      readonly type: MetricDoc['type'];
    };
    return { name, help, labels: labelNames, type };
  });
}
