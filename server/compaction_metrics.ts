/** Compactions and garbage at the server's `/metrics`. */
import type { Registry } from 'prom-client';
import { counter, gauge } from '../base/read_metrics.ts';
import type { Services } from './services.ts';

export function registerCompactionMetrics(
  metrics: Registry,
  { catalog, compactions, holds }: Pick<Services, 'catalog' | 'compactions' | 'holds'>,
): void {
  gauge(
    metrics,
    {
      name: 'thermocline_compactions',
      help: 'Compactions that run, and tablets that wait for one.',
      labels: ['state'],
    },
    () => {
      const { running, waiting } = compactions.counters();
      return [
        [{ state: 'running' }, running],
        [{ state: 'waiting' }, waiting],
      ];
    },
  );
  counter(
    metrics,
    {
      name: 'thermocline_compactions_total',
      help: 'Compactions that ended; superseded: what they merged was gone by then.',
      labels: ['outcome'],
    },
    () => {
      const { succeeded, failed, superseded } = compactions.counters();
      return [
        [{ outcome: 'succeeded' }, succeeded],
        [{ outcome: 'failed' }, failed],
        [{ outcome: 'superseded' }, superseded],
      ];
    },
  );
  counter(
    metrics,
    {
      name: 'thermocline_compaction_bytes_total',
      help: 'Bytes of rowsets that compactions merged, and of those that they made.',
      labels: ['direction'],
    },
    () => {
      const { readBytes, writtenBytes } = compactions.counters();
      return [
        [{ direction: 'read' }, readBytes],
        [{ direction: 'written' }, writtenBytes],
      ];
    },
  );
  gauge(
    metrics,
    { name: 'thermocline_garbage_items', help: 'Rowsets and tablets whose objects are to go.' },
    async () => [[{}, await catalog.garbage.count()]],
  );
  gauge(
    metrics,
    {
      name: 'thermocline_snapshot_holds',
      help: 'Reads, batches and rewrites for which replaced objects are kept.',
    },
    () => [[{}, holds.size]],
  );
}
