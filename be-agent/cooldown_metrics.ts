/** Cooldown at a backend's `/metrics`. */
import type { Registry } from 'prom-client';
import { type CountRow, countersOf, gauge } from '../base/read_metrics.ts';
import type { CooldownCounts } from './cooldown/counts.ts';

// prettier-ignore
const ROWS: readonly CountRow<keyof CooldownCounts>[] = [
  { name: 'cooldown_uploaded_bytes_total', count: 'uploadedBytes', help: 'Bytes of segments that this backend uploaded to resources.' },
  { name: 'cooldown_uploaded_objects_total', count: 'uploadedObjects', help: 'Segments that this backend uploaded to resources.' },
  { name: 'cooldown_reused_objects_total', count: 'reusedObjects', help: 'Segments that were in the resource already, with the same content.' },
  { name: 'cooldown_replaced_objects_total', count: 'replacedObjects', help: 'Damaged objects of resources that nothing referred to and that were written anew.' },
  { name: 'cooldown_verified_bytes_total', count: 'verifiedBytes', help: 'Bytes read back from resources because they tell no checksum.' },
  { name: 'cooldown_rowsets_total', count: 'cooledRowsets', help: 'Rowsets that this backend cooled as a leader.' },
  { name: 'cooldown_published_total', count: 'published', help: 'Lists of cooled rowsets that this backend published.' },
  { name: 'cooldown_claimed_total', count: 'claimed', help: 'Tablets whose cooled data this backend took over as their new leader.' },
  { name: 'cooldown_followed_total', count: 'followed', help: 'Lists of other replicas that this backend took over.' },
  { name: 'cooldown_fenced_total', count: 'fenced', help: 'Times that this backend stepped down because of a higher term.' },
  { name: 'cooldown_failures_total', count: 'failures', help: 'Turns of cooldown that ended with a failure.' },
  { name: 'cooldown_compactions_total', count: 'compactions', help: 'Compactions of cooled rowsets.' },
  { name: 'cooldown_compacted_rowsets_total', count: 'compactedRowsets', help: 'Cooled rowsets that were merged.' },
  { name: 'cooldown_deleted_objects_total', count: 'deletedObjects', help: 'Unused objects that this backend deleted from resources.' },
];

export interface CooldownNumbers {
  readonly counts: CooldownCounts;
  readonly running: (role: 'LEAD' | 'FOLLOW') => number;
}

export function registerCooldownMetrics(metrics: Registry, cooldown: CooldownNumbers): void {
  countersOf(metrics, ROWS, () => cooldown.counts);
  gauge(
    metrics,
    {
      name: 'cooldown_running',
      help: 'Tablets that this backend works on now, by what it is to them.',
      labels: ['role'],
    },
    () => [
      [{ role: 'leader' }, cooldown.running('LEAD')],
      [{ role: 'follower' }, cooldown.running('FOLLOW')],
    ],
  );
}
