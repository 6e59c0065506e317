/** Cooldown at the server's `/metrics`: jobs, tablets, reports. Tablets are counted when asked. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import { type Sample, counter, gauge } from '../base/read_metrics.ts';
import type { CooldownState } from '../base/replica.ts';
import type { Services } from './services.ts';

type Deps = Pick<Services, 'catalog' | 'cooldown' | 'board'>;

const JOB_STATES = ['PENDING', 'SEND_CONF', 'RUNNING', 'FINISHED', 'CANCELLED'] as const;
const TABLET_STATES: readonly CooldownState[] = [
  'NONE',
  'HOT',
  'WAITING',
  'COOLING',
  'COOLED',
  'FAILED',
];

/** Tablets that are counted before others have a turn. */
const TABLETS_PER_TURN = 2000;

export function registerCooldownMetrics(registry: Registry, deps: Deps): void {
  jobMetrics(registry, deps);
  tabletMetrics(registry, deps);
  reportMetrics(registry, deps);
}

function jobMetrics(registry: Registry, { catalog, cooldown }: Deps): void {
  gauge(
    registry,
    {
      name: 'thermocline_cooldown_jobs',
      help: 'Cooldown jobs that the catalog has, by state.',
      labels: ['state'],
    },
    () => {
      const counts = catalog.cooldown.counts();
      return JOB_STATES.map((state): Sample => [{ state }, counts.get(state) ?? 0]);
    },
  );
  counter(
    registry,
    {
      name: 'thermocline_cooldown_elections_total',
      help: 'Tablets that got a new cooldown leader since the server started.',
    },
    () => [[{}, cooldown.scheduler.counts.elections]],
  );
  counter(
    registry,
    {
      name: 'thermocline_cooldown_confs_sent_total',
      help: 'Cooldown leaders of tablets that backends were told.',
    },
    () => [[{}, cooldown.scheduler.push.sent]],
  );
  counter(
    registry,
    {
      name: 'thermocline_cooldown_impossible_terms_total',
      help: 'Replicas that knew a cooldown term which the catalog did not have, or had given to another replica. Must be 0.',
    },
    () => [[{}, cooldown.scheduler.counts.impossibleTerms]],
  );
}

function tabletMetrics(registry: Registry, { catalog, board }: Deps): void {
  gauge(
    registry,
    {
      name: 'thermocline_cooldown_tablets',
      help: 'Tablets that have a cooldown leader, by what it has reported; unknown: nothing yet.',
      labels: ['state'],
    },
    async () => {
      const { states } = await leaderSums({ catalog, board });
      return [...TABLET_STATES, 'unknown'].map((state): Sample => [
        { state },
        states.get(state) ?? 0,
      ]);
    },
  );
  gauge(
    registry,
    {
      name: 'thermocline_cooldown_remote_bytes',
      help: 'Bytes of cooled rowsets that leaders have reported: each once, as they lie in resources.',
    },
    async () => [[{}, (await leaderSums({ catalog, board })).bytes]],
  );
}

/** What the leaders of all tablets have reported. */
async function leaderSums({ catalog, board }: Pick<Deps, 'catalog' | 'board'>) {
  const states = new Map<string, number>();
  let bytes = 0;
  let seen = 0;
  for (const tabletId of catalog.cooldown.ledTablets()) {
    const lead = catalog.cooldown.lead(tabletId);
    const replica = lead && catalog.replicas.get(tabletId, lead.replicaId);
    const report = replica && board.get(replica.backendId, tabletId, replica.replicaId);
    const state = report?.cooldownState ?? 'unknown';
    states.set(state, (states.get(state) ?? 0) + 1);
    bytes += report?.remoteBytes ?? 0;
    seen += 1;
    if (seen % TABLETS_PER_TURN === 0) await nextTurn();
  }
  return { states, bytes };
}

function reportMetrics(registry: Registry, { board, cooldown }: Deps): void {
  gauge(
    registry,
    { name: 'thermocline_reported_replicas', help: 'Replicas that backends have reported.' },
    () => [[{}, board.size]],
  );
  counter(
    registry,
    {
      name: 'thermocline_tablet_reports_total',
      help: 'Reports of replicas that were received to their end; refused: of an earlier life of a backend, or too late.',
      labels: ['kind'],
    },
    () => {
      const { full, changes, refused } = cooldown.reports.counts;
      return [
        [{ kind: 'full' }, full],
        [{ kind: 'changes' }, changes],
        [{ kind: 'refused' }, refused],
      ];
    },
  );
  counter(
    registry,
    {
      name: 'thermocline_tablet_report_wrong_sums_total',
      help: 'Partitions that backends were asked to report again, because sums differed.',
    },
    () => [[{}, cooldown.reports.counts.wrongSums]],
  );
}
