/** Compactions at a backend's `/metrics`. */
import type { Registry } from 'prom-client';
import { counter, gauge } from '../base/read_metrics.ts';
import type { Compactions } from './data/compactions.ts';

export function registerCompactionMetrics(metrics: Registry, compactions: Compactions): void {
  gauge(
    metrics,
    { name: 'compaction_running', help: 'Compactions that this backend runs now.' },
    () => [[{}, compactions.running]],
  );
  counter(
    metrics,
    {
      name: 'compaction_total',
      help: 'Compactions that this backend ended.',
      labels: ['outcome'],
    },
    () => [
      [{ outcome: 'succeeded' }, compactions.counts.succeeded],
      [{ outcome: 'failed' }, compactions.counts.failed],
    ],
  );
  counter(
    metrics,
    {
      name: 'compaction_bytes_total',
      help: 'Bytes of rowsets that this backend merged, and of those that it made.',
      labels: ['direction'],
    },
    () => [
      [{ direction: 'read' }, compactions.counts.readBytes],
      [{ direction: 'written' }, compactions.counts.writtenBytes],
    ],
  );
}
