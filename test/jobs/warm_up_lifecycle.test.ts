import { describe, expect, it } from '@jest/globals';
import { WARM_UP_ONCE } from '../../jobs/warm_up_lifecycle.ts';

const MARK = { late: 'late', bug: 'bug' } as const;

/** The table as text: what each event does in each state. */
function table(): Record<string, string> {
  const rows: Record<string, string> = {};
  for (const state of WARM_UP_ONCE.states) {
    const cells = WARM_UP_ONCE.events.map((event) => {
      const cell = WARM_UP_ONCE.cell(state, event);
      if (cell.kind !== 'move') return `${event}: ${MARK[cell.kind]}`;
      return `${event}: ${cell.to}${cell.effect === undefined ? '' : ` + ${cell.effect}`}`;
    });
    rows[state] = cells.join(', ');
  }
  return rows;
}

describe('the life of a one-time warm-up job', () => {
  it('is this table', () => {
    expect(table()).toEqual({
      PENDING:
        'slotTaken: RUNNING + dispatch, batchDone: bug, tabletsMoved: bug, lastBatchDone: bug, lastBatchFailed: bug, cancelAsked: CANCELLED, timedOut: bug, groupDropped: CANCELLED',
      RUNNING:
        'slotTaken: bug, batchDone: RUNNING + dispatch, tabletsMoved: RUNNING + dispatch, lastBatchDone: FINISHED, lastBatchFailed: CANCELLED, cancelAsked: CANCELLED + stop, timedOut: CANCELLED + stop, groupDropped: CANCELLED + stop',
      FINISHED:
        'slotTaken: bug, batchDone: late, tabletsMoved: late, lastBatchDone: late, lastBatchFailed: late, cancelAsked: late, timedOut: late, groupDropped: late',
      CANCELLED:
        'slotTaken: bug, batchDone: late, tabletsMoved: late, lastBatchDone: late, lastBatchFailed: late, cancelAsked: late, timedOut: late, groupDropped: late',
    });
  });

  it('never leaves a final state, and has an effect only with a move', () => {
    for (const state of WARM_UP_ONCE.final) {
      for (const event of WARM_UP_ONCE.events) {
        expect(WARM_UP_ONCE.cell(state, event).kind).not.toBe('move');
      }
    }
  });

  it('reaches every state from the first one', () => {
    const reached = new Set([WARM_UP_ONCE.initial]);
    for (const state of reached) {
      for (const event of WARM_UP_ONCE.events) {
        const cell = WARM_UP_ONCE.cell(state, event);
        if (cell.kind === 'move') reached.add(cell.to);
      }
    }
    expect([...reached].toSorted()).toEqual([...WARM_UP_ONCE.states].toSorted());
  });
});
