/** Replicas at a backend's `/metrics`. */
import type { Registry } from 'prom-client';
import { type CountRow, type Sample, counter, countersOf, gauge } from '../base/read_metrics.ts';
import type { ReplicaCounts } from './replica/replica_counts.ts';
import type { ReplicaState } from './replica/replica_store.ts';

// prettier-ignore
const ROWS: readonly CountRow<keyof ReplicaCounts>[] = [
  { name: 'replica_load_bytes_total', count: 'loadBytes', help: 'Bytes of segments that loads wrote to this backend.' },
  { name: 'replica_load_segments_total', count: 'loadSegments', help: 'Segments that loads wrote to this backend.' },
  { name: 'replica_prepared_rowsets_total', count: 'preparedRowsets', help: 'Rowsets that loads prepared on this backend.' },
  { name: 'replica_clone_bytes_total', count: 'cloneBytes', help: 'Bytes of segments that were copied from other backends.' },
  { name: 'replica_damages_total', count: 'damages', help: 'Replicas that were found damaged: a local segment is missing or has another checksum.' },
];

export interface ReplicaNumbers {
  readonly counts: ReplicaCounts;
  readonly store: { readonly list: () => readonly ReplicaState[] };
}

export function registerReplicaMetrics(metrics: Registry, replicas: ReplicaNumbers): void {
  countersOf(metrics, ROWS, () => replicas.counts);
  outcomes(metrics, replicas);
  gauge(
    metrics,
    {
      name: 'replicas',
      help: 'Replicas on this backend: whole, with a gap in their versions, or damaged.',
      labels: ['state'],
    },
    () => byState(replicas.store.list()),
  );
  gauge(
    metrics,
    {
      name: 'replica_data_bytes',
      help: 'Bytes of rowsets of the replicas, by where they lie.',
      labels: ['place'],
    },
    () => byPlace(replicas.store.list()),
  );
}

function outcomes(metrics: Registry, replicas: ReplicaNumbers): void {
  counter(
    metrics,
    {
      name: 'replica_clones_total',
      help: 'Copies of replicas from other backends.',
      labels: ['outcome'],
    },
    () => [
      [{ outcome: 'succeeded' }, replicas.counts.clones],
      [{ outcome: 'failed' }, replicas.counts.failedClones],
    ],
  );
  counter(
    metrics,
    {
      name: 'replica_reports_total',
      help: 'Reports about replicas to the server.',
      labels: ['outcome'],
    },
    () => [
      [{ outcome: 'succeeded' }, replicas.counts.reports],
      [{ outcome: 'failed' }, replicas.counts.failedReports],
    ],
  );
}

function byState(replicas: readonly ReplicaState[]): Sample[] {
  let [whole, gap, bad] = [0, 0, 0];
  for (const { isBad, rowsets, version } of replicas) {
    if (isBad) bad += 1;
    else if (rowsets.at(-1)?.endVersion === version) whole += 1;
    else gap += 1;
  }
  return [
    [{ state: 'whole' }, whole],
    [{ state: 'gap' }, gap],
    [{ state: 'bad' }, bad],
  ];
}

function byPlace(replicas: readonly ReplicaState[]): Sample[] {
  let [local, remote] = [0, 0];
  for (const { rowsets } of replicas) {
    for (const { place, bytes } of rowsets) {
      if (place.kind === 'local') local += bytes;
      else remote += bytes;
    }
  }
  return [
    [{ place: 'local' }, local],
    [{ place: 'remote' }, remote],
  ];
}
