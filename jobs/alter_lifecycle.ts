/** The life of a schema change or rollup job as a table. What is true in a state: catalog/rows.ts. */
import type { AlterState } from '../catalog/rows.ts';
import { type Cell, type Lifecycle, lifecycle } from './lifecycle.ts';

export type AlterEvent =
  /** The tablets of the new indexes are in the catalog. */
  | 'prepared'
  /** No load that began before the job runs any more. */
  | 'loadsDone'
  /** Readers see the new indexes. */
  | 'switched'
  /** It cannot go on: a value that the new type cannot take, a damaged object. */
  | 'failed'
  | 'tableGone'
  | 'timedOut'
  | 'cancelAsked';

/** cleanUp: what was built becomes garbage. */
export type AlterEffect = 'cleanUp';

type AlterCell = Cell<AlterState, AlterEffect>;

const wait: AlterCell = { kind: 'move', to: 'WAITING_TXN' };
const work: AlterCell = { kind: 'move', to: 'RUNNING' };
const done: AlterCell = { kind: 'move', to: 'FINISHED' };
const stop: AlterCell = { kind: 'move', to: 'CANCELLED', effect: 'cleanUp' };
const late: AlterCell = { kind: 'late' };
const bug: AlterCell = { kind: 'bug' };

// prettier-ignore
export const ALTER: Lifecycle<AlterState, AlterEvent, AlterEffect> = lifecycle({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events:        ['prepared', 'loadsDone', 'switched', 'failed', 'tableGone', 'timedOut', 'cancelAsked'],
  rows: {
    PENDING:     [ wait,       bug,         bug,        stop,     stop,        stop,       stop ],
    WAITING_TXN: [ late,       work,        bug,        stop,     stop,        stop,       stop ],
    RUNNING:     [ late,       late,        done,       stop,     stop,        stop,       stop ],
    FINISHED:    [ late,       late,        late,       late,     late,        late,       late ],
    CANCELLED:   [ late,       late,        late,       late,     late,        late,       late ],
  },
});
