/** What `/metrics` says of replicas of replicated tables, and of their repair. */
import type { Registry } from 'prom-client';
import { counter, gauge } from '../base/read_metrics.ts';
import type { Services } from './services.ts';

const STATES = ['CREATING', 'CLONING', 'DECOMMISSIONING', 'DROPPING'] as const;

export function registerReplicaMetrics(
  metrics: Registry,
  { catalog, replicaRepair }: Pick<Services, 'catalog' | 'replicaRepair'>,
): void {
  gauge(
    metrics,
    {
      name: 'thermocline_replicas',
      help: 'Replicas of replicated tables, by state.',
      labels: ['state'],
    },
    () => {
      const counts = STATES.map((state) => catalog.replicas.countIn(state));
      const others = counts.reduce((sum, count) => sum + count, 0);
      return [
        [{ state: 'NORMAL' }, catalog.replicas.size - others],
        ...STATES.map((state, at): [{ state: string }, number] => [{ state }, counts[at] ?? 0]),
      ];
    },
  );
  gauge(
    metrics,
    {
      name: 'thermocline_replicas_incomplete',
      help: 'Replicas that lack versions of their tablet.',
    },
    () => [[{}, catalog.replicas.missing().length]],
  );
  gauge(
    metrics,
    {
      name: 'thermocline_replica_repair_tablets',
      help: 'Tablets whose replicas are not as they should be, or have not been looked at yet.',
    },
    () => [[{}, replicaRepair.openTablets]],
  );
  gauge(
    metrics,
    { name: 'thermocline_replica_clones_running', help: 'Replicas that are being copied.' },
    () => [[{}, replicaRepair.cloneCounts.running]],
  );
  counter(
    metrics,
    {
      name: 'thermocline_replica_clones_total',
      help: 'Copies of replicas that have ended, by what came of them.',
      labels: ['outcome'],
    },
    () => {
      const { done, failed } = replicaRepair.cloneCounts;
      return [
        [{ outcome: 'succeeded' }, done],
        [{ outcome: 'failed' }, failed],
      ];
    },
  );
  counter(
    metrics,
    {
      name: 'thermocline_replica_rebuilds_total',
      help: 'Tablets without a complete replica that were rebuilt, with or without loss.',
      labels: ['outcome'],
    },
    () => {
      const { whole, lossy } = replicaRepair.rebuildCounts;
      return [
        [{ outcome: 'whole' }, whole],
        [{ outcome: 'lossy' }, lossy],
      ];
    },
  );
}
