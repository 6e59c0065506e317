/** Metrics whose values are read when they are asked for, by prom-client. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface MetricName {
  readonly name: string;
  readonly help: string;
  /** Names of the labels; none by default. */
  readonly labels?: readonly string[];
}

type Read = () => readonly Sample[] | Promise<readonly Sample[]>;

export function gauge(
  registry: Registry,
  { name, help, labels = [] }: MetricName,
  read: Read,
): void {
  const metric = new Gauge({
    name,
    help,
    registers: [registry],
    labelNames: [...labels],
    collect: async () => {
      const samples = await read();
      // What is not there any more must not stay with its last value.
      metric.reset();
      for (const [of, value] of samples) metric.set(of, value);
    },
  });
}

export function counter(
  registry: Registry,
  { name, help, labels = [] }: MetricName,
  read: Read,
): void {
  const metric = new Counter({
    name,
    help,
    registers: [registry],
    labelNames: [...labels],
    collect: async () => {
      const samples = await read();
      metric.reset();
      for (const [of, value] of samples) metric.inc(of, value);
    },
  });
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
    const { name, help, labelNames } = metric as unknown as {
      readonly name: string;
      readonly help: string;
      readonly labelNames: readonly string[];
    };
    const type =
      metric instanceof Histogram ? 'histogram' : metric instanceof Counter ? 'counter' : 'gauge';
    return { name, help, labels: labelNames, type };
  });
}
