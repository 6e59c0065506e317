/** The life of a cooldown job as a table. What is true in a state: catalog/rows.ts. */
import type { CooldownJobState } from '../catalog/rows.ts';
import { type Cell, lifecycle } from './lifecycle.ts';

export type CooldownJobEvent =
  /** One of the jobs before it has ended: its turn. */
  | 'activated'
  /** Every backend that is alive was told, or could not be reached. */
  | 'sent'
  /** No replica is left that is on a backend that is alive and does not have the term. */
  | 'confirmed'
  | 'timedOut'
  | 'cancelAsked';

const EVENTS = [
  'activated',
  'sent',
  'confirmed',
  'timedOut',
  'cancelAsked',
] as const satisfies readonly CooldownJobEvent[];

type C = Cell<CooldownJobState, never>;

const send: C = { kind: 'move', to: 'SEND_CONF' };
const wait: C = { kind: 'move', to: 'RUNNING' };
const done: C = { kind: 'move', to: 'FINISHED' };
/** Nothing is taken back: the leads stay, and replicas that lack them get a later job. */
const stop: C = { kind: 'move', to: 'CANCELLED' };
const late: C = { kind: 'late' };
const bug: C = { kind: 'bug' };

// oxfmt-ignore
export const COOLDOWN_JOB = lifecycle<CooldownJobState, typeof EVENTS, never>({
  initial: 'PENDING',
  final: ['FINISHED', 'CANCELLED'],
  events: EVENTS,
  rows: {
    //           activated sent  confirmed timedOut cancelAsked
    PENDING:   [ send,     bug,  bug,      stop,    stop ],
    SEND_CONF: [ late,     wait, bug,      stop,    stop ],
    RUNNING:   [ late,     late, done,     stop,    stop ],
    FINISHED:  [ late,     late, late,     late,    late ],
    CANCELLED: [ late,     late, late,     late,    late ],
  },
});
