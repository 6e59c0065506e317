/** The life of a one-time warm-up job (reference/warm-up 1.5 with the decisions of DESIGN 4). */
import { type Cell, lifecycle } from './lifecycle.ts';

export type WarmUpState =
  /** Planned and persisted; no backend knows of it. */
  | 'PENDING'
  /** Holds the slot of its target group; its batches are on their way. */
  | 'RUNNING'
  /** Every block of every batch was in the target's caches when the last batch ended. */
  | 'FINISHED'
  /** Ended otherwise; ErrMsg says why. What was downloaded stays in the caches. */
  | 'CANCELLED';

export type WarmUpEffect =
  /** Hand the backends the batches that are due. */
  | 'dispatch'
  /** Tell the backends to stop downloading. */
  | 'stop';

type C = Cell<WarmUpState, WarmUpEffect>;

const start: C = { kind: 'move', to: 'RUNNING', effect: 'dispatch' };
const next: C = { kind: 'move', to: 'RUNNING', effect: 'dispatch' };
const done: C = { kind: 'move', to: 'FINISHED' };
const fail: C = { kind: 'move', to: 'CANCELLED' };
const stop: C = { kind: 'move', to: 'CANCELLED', effect: 'stop' };
const drop: C = { kind: 'move', to: 'CANCELLED' };
const late: C = { kind: 'late' };
const bug: C = { kind: 'bug' };

// oxfmt-ignore
export const WARM_UP_ONCE = lifecycle<WarmUpState, readonly [
  'slotTaken', 'batchDone', 'tabletsMoved', 'lastBatchDone', 'lastBatchFailed', 'cancelAsked', 'timedOut', 'groupDropped',
], WarmUpEffect>({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events:      ['slotTaken', 'batchDone', 'tabletsMoved', 'lastBatchDone', 'lastBatchFailed', 'cancelAsked', 'timedOut', 'groupDropped'],
  rows: {
    PENDING:   [ start,       bug,         bug,            bug,             bug,               drop,          bug,        drop ],
    RUNNING:   [ bug,         next,        next,           done,            fail,              stop,          stop,       stop ],
    FINISHED:  [ bug,         late,        late,           late,            late,              late,          late,       late ],
    CANCELLED: [ bug,         late,        late,           late,            late,              late,          late,       late ],
  },
});

export type WarmUpEvent = (typeof WARM_UP_ONCE.events)[number];
