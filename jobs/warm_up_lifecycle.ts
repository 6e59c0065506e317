/** The lives of warm-up jobs, one table per mode (reference/warm-up 1.5 with DESIGN 4). */
import { type Cell, lifecycle } from './lifecycle.ts';

export type WarmUpState =
  /** Waits: for the slot of its target group, its time, or its groups. */
  | 'PENDING'
  /** ONCE, PERIODIC: holds the slot of its target group; its batches are on their way. */
  | 'RUNNING'
  /** PAUSE WARM UP JOB: keeps what it has done, does nothing until it is resumed. */
  | 'PAUSED'
  /** ONCE only: every block of every batch was in the target's caches when the last one ended. */
  | 'FINISHED'
  /** Ended otherwise; ErrMsg says why. What was downloaded stays in the caches. */
  | 'CANCELLED';

export type WarmUpEffect =
  /** Hand the backends the batches that are due. */
  | 'dispatch'
  /** Tell the backends to stop downloading. */
  | 'stop';

export type WarmUpEvent =
  /** The slot was free and the plan is made (EVENT_DRIVEN: the groups are there). */
  | 'started'
  /** The plan could not be made. */
  | 'initFailed'
  /** The last word of a backend on one batch. */
  | 'batchDone'
  /** A backend restarted after its batch was done: the batch is checked again. */
  | 'batchReopened'
  /** Work went to other backends. */
  | 'tabletsMoved'
  | 'lastBatchDone'
  /** All batches were tried, and something failed. */
  | 'lastBatchFailed'
  | 'timedOut'
  /** A group's name went away, or a backend was told to stop: the run cannot go on as it is. */
  | 'interrupted'
  | 'cancelAsked'
  | 'groupDropped'
  | 'pauseAsked'
  | 'resumeAsked'
  | 'alterAsked'
  /** RETRY of a periodic job: the next cycle now. */
  | 'startAsked';

const EVENTS = [
  'started',
  'initFailed',
  'batchDone',
  'batchReopened',
  'tabletsMoved',
  'lastBatchDone',
  'lastBatchFailed',
  'timedOut',
  'interrupted',
  'cancelAsked',
  'groupDropped',
  'pauseAsked',
  'resumeAsked',
  'alterAsked',
  'startAsked',
] as const satisfies readonly WarmUpEvent[];

type C = Cell<WarmUpState, WarmUpEffect>;

const move = (to: WarmUpState, effect?: WarmUpEffect): C =>
  effect === undefined ? { kind: 'move', to } : { kind: 'move', to, effect };

/** Starts, and later goes on: RUNNING with something to hand out. */
const go = move('RUNNING', 'dispatch');
/** Stays as it is. */
const wait = move('PENDING');
const keep = move('RUNNING');
const rest = move('PAUSED');
/** The run ends and its downloads stop. */
const back = move('PENDING', 'stop');
const hold = move('PAUSED', 'stop');
const stop = move('CANCELLED', 'stop');
/** Ends; nothing runs that must be stopped. */
const done = move('FINISHED');
const drop = move('CANCELLED');
const late: C = { kind: 'late' };
const bug: C = { kind: 'bug' };

type Table = readonly [C, C, C, C, C, C, C, C, C, C, C, C, C, C, C];
const over: Table = [
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
  late,
];

// A cell is `late` where a decision made on rows of a moment ago may still come: the scheduler
// reads a job, plans, and writes; an operator may have been faster.
// oxfmt-ignore
export const WARM_UP_ONCE = lifecycle<WarmUpState, typeof EVENTS, WarmUpEffect>({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events: EVENTS,
  rows: {
    //           started initFailed batchDone batchReopened tabletsMoved lastBatchDone lastBatchFailed timedOut interrupted cancelAsked groupDropped pauseAsked resumeAsked alterAsked startAsked
    PENDING:   [ go,     drop,      late,     late,         late,        late,         late,           late,    late,       drop,       drop,        rest,      late,       late,      late ],
    RUNNING:   [ bug,    bug,       go,       go,           go,          done,         drop,           stop,    back,       stop,       stop,        hold,      late,       late,      late ],
    PAUSED:    [ late,   late,      late,     late,         late,        late,         late,           late,    late,       drop,       drop,        late,      wait,       late,      late ],
    FINISHED:  over,
    CANCELLED: over,
  },
});

// oxfmt-ignore
export const WARM_UP_PERIODIC = lifecycle<WarmUpState, typeof EVENTS, WarmUpEffect>({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events: EVENTS,
  rows: {
    //           started initFailed batchDone batchReopened tabletsMoved lastBatchDone lastBatchFailed timedOut interrupted cancelAsked groupDropped pauseAsked resumeAsked alterAsked startAsked
    PENDING:   [ go,     wait,      late,     late,         late,        late,         late,           late,    late,       drop,       drop,        rest,      late,       wait,      wait ],
    RUNNING:   [ bug,    bug,       go,       go,           go,          wait,         wait,           back,    back,       stop,       stop,        hold,      late,       keep,      keep ],
    PAUSED:    [ late,   late,      late,     late,         late,        late,         late,           late,    late,       drop,       drop,        late,      wait,       rest,      late ],
    // never reached: a periodic job ends when somebody cancels it
    FINISHED:  over,
    CANCELLED: over,
  },
});

// Its cursors live until it ends, in every state: ending always stops. It has no slot, so two ticks
// that read it PENDING may both start it.
// oxfmt-ignore
export const WARM_UP_EVENT_DRIVEN = lifecycle<WarmUpState, typeof EVENTS, WarmUpEffect>({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events: EVENTS,
  rows: {
    //           started initFailed batchDone batchReopened tabletsMoved lastBatchDone lastBatchFailed timedOut interrupted cancelAsked groupDropped pauseAsked resumeAsked alterAsked startAsked
    PENDING:   [ keep,   bug,       bug,      bug,          bug,         bug,          bug,            bug,     bug,        stop,       stop,        rest,      late,       wait,      bug ],
    RUNNING:   [ late,   bug,       bug,      bug,          bug,         bug,          bug,            bug,     bug,        stop,       stop,        hold,      late,       keep,      bug ],
    PAUSED:    [ late,   bug,       bug,      bug,          bug,         bug,          bug,            bug,     bug,        stop,       stop,        late,      wait,       rest,      bug ],
    FINISHED:  over,
    CANCELLED: over,
  },
});
