import { describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { type WantedJob, judgeWanted } from '../../jobs/warm_up_conflicts.ts';

const ONCE: WantedJob = {
  kind: 'CLUSTER',
  srcGroup: 'a',
  dstGroup: 'b',
  syncMode: 'ONCE',
  tableFilter: null,
  force: false,
  tables: [],
};
const PERIODIC: WantedJob = { ...ONCE, syncMode: 'PERIODIC' };
const EVENTS: WantedJob = { ...ONCE, syncMode: 'EVENT_DRIVEN' };
const FILTER = '{"include":["d.*"]}';
const FILTERED: WantedJob = { ...EVENTS, kind: 'TABLES', tableFilter: FILTER };
const TABLE: WantedJob = {
  ...ONCE,
  kind: 'TABLE',
  srcGroup: null,
  tables: [
    { db: 'd', table: 't' },
    { db: 'd', table: 'u', partition: 'p' },
  ],
};

type State = 'PENDING' | 'RUNNING' | 'PAUSED';

/** free, the id of the existing job, or the error's text. */
function verdict(wanted: WantedJob, there: WantedJob, state: State = 'PENDING'): string | number {
  const found = judgeWanted(wanted, [{ ...there, jobId: id<JobId>(17), state }]);
  if (found.kind === 'refused') return found.error.message;
  return found.kind === 'free' ? 'free' : found.jobId;
}

describe('a wanted job beside those that are there', () => {
  const twin = (rest: string): string =>
    `WarmUpJob src='a', dst='b', syncMode=${rest} already has a runnable job`;
  const conflict = (level: string, other: string, filter: string): string =>
    `Cannot create ${level} load-event warm up job from source compute group 'a' to destination ` +
    `compute group 'b': conflicting ${other} load-event warm up job 17 already exists for the same ` +
    `source and destination${filter}. Cancel existing load-event warm up job 17 before creating ` +
    'this job.';

  it.each<readonly [string, WantedJob, WantedJob, string | number]>([
    ['the same periodic pair', PERIODIC, PERIODIC, twin('PERIODIC')],
    [
      'periodic, the other way round',
      PERIODIC,
      { ...PERIODIC, srcGroup: 'b', dstGroup: 'a' },
      'free',
    ],
    ['periodic from another source', PERIODIC, { ...PERIODIC, srcGroup: 'c' }, 'free'],
    ['periodic to another target', PERIODIC, { ...PERIODIC, dstGroup: 'c' }, 'free'],
    ['the same event-driven pair', EVENTS, EVENTS, twin('EVENT_DRIVEN')],
    ['events from another source', EVENTS, { ...EVENTS, srcGroup: 'c' }, 'free'],
    ['the same rules', FILTERED, FILTERED, twin(`EVENT_DRIVEN, tableFilter=${FILTER}`)],
    ['other rules', FILTERED, { ...FILTERED, tableFilter: '{"include":["d.t"]}' }, 'free'],
    ['rules beside all tables', FILTERED, EVENTS, conflict('table-level', 'cluster-level', '')],
    [
      'all tables beside rules',
      EVENTS,
      FILTERED,
      conflict('cluster-level', 'table-level', ` with table filter ${FILTER}`),
    ],
    ['rules beside all tables of another target', FILTERED, { ...EVENTS, dstGroup: 'c' }, 'free'],
    ['events beside periodic', EVENTS, PERIODIC, 'free'],
    ['once beside periodic', ONCE, PERIODIC, 'free'],
    ['periodic beside once', PERIODIC, ONCE, 'free'],
    ['the same once', ONCE, ONCE, 17],
    ['once with FORCE', { ...ONCE, force: true }, ONCE, 'free'],
    ['the same tables', TABLE, TABLE, 17],
    [
      'the same tables in another order',
      TABLE,
      { ...TABLE, tables: TABLE.tables.toReversed() },
      17,
    ],
    ['a table named twice', { ...TABLE, tables: [...TABLE.tables, ...TABLE.tables] }, TABLE, 17],
    ['fewer tables', { ...TABLE, tables: TABLE.tables.slice(1) }, TABLE, 'free'],
    ['the same tables to another target', { ...TABLE, dstGroup: 'c' }, TABLE, 'free'],
  ])('%s', (_, wanted, there, expected) => {
    expect(verdict(wanted, there)).toBe(expected);
  });

  it.each<readonly [State, string | number]>([
    ['PENDING', 17],
    ['RUNNING', 'free'],
    ['PAUSED', 'free'],
  ])('a %s one-time job stands in for its twin only while it has not begun', (state, expected) => {
    expect(verdict(ONCE, ONCE, state)).toBe(expected);
  });

  it.each<State>(['PENDING', 'RUNNING', 'PAUSED'])('a %s lasting job refuses its twin', (state) => {
    expect(verdict(PERIODIC, PERIODIC, state)).toBe(twin('PERIODIC'));
    expect(verdict(EVENTS, EVENTS, state)).toBe(twin('EVENT_DRIVEN'));
  });

  it('alone is free', () => {
    for (const wanted of [ONCE, PERIODIC, EVENTS, FILTERED, TABLE]) {
      expect(judgeWanted(wanted, [])).toEqual({ kind: 'free' });
    }
  });
});
