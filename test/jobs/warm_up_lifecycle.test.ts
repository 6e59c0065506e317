import { describe, expect, it } from '@jest/globals';
import type { Lifecycle } from '../../jobs/lifecycle.ts';
import {
  WARM_UP_EVENT_DRIVEN,
  WARM_UP_ONCE,
  WARM_UP_PERIODIC,
  type WarmUpEffect,
  type WarmUpEvent,
  type WarmUpState,
} from '../../jobs/warm_up_lifecycle.ts';

type Life = Lifecycle<WarmUpState, WarmUpEvent, WarmUpEffect>;

const TABLES: readonly (readonly [string, Life])[] = [
  ['ONCE', WARM_UP_ONCE],
  ['PERIODIC', WARM_UP_PERIODIC],
  ['EVENT_DRIVEN', WARM_UP_EVENT_DRIVEN],
];

/** `state x event: what`, all of the table but `late`. */
function moves(life: Life): string[] {
  return life.states.flatMap((state) =>
    life.events.flatMap((event) => {
      const cell = life.cell(state, event);
      if (cell.kind === 'late') return [];
      const what = cell.kind === 'bug' ? 'bug' : [cell.to, cell.effect ?? ''].join(' ').trim();
      return `${state} ${event}: ${what}`;
    }),
  );
}

function reachable(life: Life): WarmUpState[] {
  const reached = new Set([life.initial]);
  for (const state of reached) {
    for (const event of life.events) {
      const cell = life.cell(state, event);
      if (cell.kind === 'move') reached.add(cell.to);
    }
  }
  return [...reached].toSorted();
}

describe('the life of a warm-up job', () => {
  it('that runs once is this table', () => {
    expect(moves(WARM_UP_ONCE)).toEqual([
      'PENDING started: RUNNING dispatch',
      'PENDING initFailed: CANCELLED',
      'PENDING cancelAsked: CANCELLED',
      'PENDING groupDropped: CANCELLED',
      'PENDING pauseAsked: PAUSED',
      'RUNNING started: bug',
      'RUNNING initFailed: bug',
      'RUNNING batchDone: RUNNING dispatch',
      'RUNNING batchReopened: RUNNING dispatch',
      'RUNNING tabletsMoved: RUNNING dispatch',
      'RUNNING lastBatchDone: FINISHED',
      'RUNNING lastBatchFailed: CANCELLED',
      'RUNNING timedOut: CANCELLED stop',
      'RUNNING interrupted: PENDING stop',
      'RUNNING cancelAsked: CANCELLED stop',
      'RUNNING groupDropped: CANCELLED stop',
      'RUNNING pauseAsked: PAUSED stop',
      'PAUSED cancelAsked: CANCELLED',
      'PAUSED groupDropped: CANCELLED',
      'PAUSED resumeAsked: PENDING',
    ]);
  });

  it('that runs again and again is this table', () => {
    expect(moves(WARM_UP_PERIODIC)).toEqual([
      'PENDING started: RUNNING dispatch',
      'PENDING initFailed: PENDING',
      'PENDING cancelAsked: CANCELLED',
      'PENDING groupDropped: CANCELLED',
      'PENDING pauseAsked: PAUSED',
      'PENDING alterAsked: PENDING',
      'PENDING startAsked: PENDING',
      'RUNNING started: bug',
      'RUNNING initFailed: bug',
      'RUNNING batchDone: RUNNING dispatch',
      'RUNNING batchReopened: RUNNING dispatch',
      'RUNNING tabletsMoved: RUNNING dispatch',
      'RUNNING lastBatchDone: PENDING',
      'RUNNING lastBatchFailed: PENDING',
      'RUNNING timedOut: PENDING stop',
      'RUNNING interrupted: PENDING stop',
      'RUNNING cancelAsked: CANCELLED stop',
      'RUNNING groupDropped: CANCELLED stop',
      'RUNNING pauseAsked: PAUSED stop',
      'RUNNING alterAsked: RUNNING',
      'RUNNING startAsked: RUNNING',
      'PAUSED cancelAsked: CANCELLED',
      'PAUSED groupDropped: CANCELLED',
      'PAUSED resumeAsked: PENDING',
      'PAUSED alterAsked: PAUSED',
    ]);
  });

  it('that follows events is this table', () => {
    const wanted = moves(WARM_UP_EVENT_DRIVEN).filter((line) => !line.endsWith('bug'));
    expect(wanted).toEqual([
      'PENDING started: RUNNING',
      'PENDING cancelAsked: CANCELLED stop',
      'PENDING groupDropped: CANCELLED stop',
      'PENDING pauseAsked: PAUSED',
      'PENDING alterAsked: PENDING',
      'RUNNING cancelAsked: CANCELLED stop',
      'RUNNING groupDropped: CANCELLED stop',
      'RUNNING pauseAsked: PAUSED stop',
      'RUNNING alterAsked: RUNNING',
      'PAUSED cancelAsked: CANCELLED stop',
      'PAUSED groupDropped: CANCELLED stop',
      'PAUSED resumeAsked: PENDING',
      'PAUSED alterAsked: PAUSED',
    ]);
  });

  it.each(TABLES)('%s: has a cell for every state and event', (_, life) => {
    for (const state of life.states) {
      for (const event of life.events) {
        expect(['move', 'late', 'bug']).toContain(life.cell(state, event).kind);
      }
    }
  });

  it.each(TABLES)('%s: never leaves a final state', (_, life) => {
    for (const state of life.final) {
      for (const event of life.events) expect(life.cell(state, event).kind).toBe('late');
    }
  });

  it.each(TABLES)('%s: stops whatever runs when it leaves RUNNING early', (_, life) => {
    for (const event of ['cancelAsked', 'groupDropped', 'pauseAsked'] as const) {
      expect(life.cell('RUNNING', event)).toMatchObject({ kind: 'move', effect: 'stop' });
    }
  });

  it('reaches every state that its mode has', () => {
    expect(reachable(WARM_UP_ONCE)).toEqual([
      'CANCELLED',
      'FINISHED',
      'PAUSED',
      'PENDING',
      'RUNNING',
    ]);
    for (const life of [WARM_UP_PERIODIC, WARM_UP_EVENT_DRIVEN]) {
      expect(reachable(life)).toEqual(['CANCELLED', 'PAUSED', 'PENDING', 'RUNNING']);
    }
  });
});
