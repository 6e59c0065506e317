/**
 * Virtual time in which somebody else says what happens next: every event that is on its way may
 * come before those that are due earlier, as messages do. Used to enumerate what can happen.
 */
import { type SimEvent, type SimProcess, VirtualTime } from '../virtual_time.ts';

interface Pending extends SimEvent {
  readonly sequence: number;
  readonly fire: () => void;
}

export interface ChosenFault {
  readonly label: string;
  readonly act: () => void;
}

/** Chooses one of the options; 0 is what happens when nothing goes wrong. */
export type Choose = (labels: readonly string[]) => number;

/** Events that come within this of the next one may overtake it, milliseconds. */
const OVERTAKE_MS = 200;
const OVERTAKERS_MAX = 3;

export class ChoiceTime extends VirtualTime {
  readonly #pending = new Set<Pending>();
  /** What else may happen instead of this event, in words, and how to do it. */
  faults: (next: SimEvent) => readonly ChosenFault[] = () => [];
  choose: Choose = () => 0;
  #next = 0;

  override get size(): number {
    return this.#pending.size;
  }

  override schedule(
    delayMs: number,
    label: string,
    fire: () => void,
    owner?: SimProcess,
  ): () => void {
    this.#next += 1;
    const atMs = this.nowMs + Math.max(0, delayMs);
    const entry: Pending = { atMs, label, owner, sequence: this.#next, fire };
    this.#pending.add(entry);
    return () => {
      this.#pending.delete(entry);
    };
  }

  override step(untilMs: number): SimEvent | undefined {
    const ready = this.#ready().filter(({ atMs }) => atMs <= untilMs);
    const [first] = ready;
    if (first === undefined) {
      this.nowMs = Math.max(this.nowMs, untilMs);
      return undefined;
    }
    const events = ready
      .filter((event) => event === first || mayOvertake(event, first))
      .slice(0, OVERTAKERS_MAX + 1);
    const faults = this.faults(first);
    const labels = [...events.map(({ label }) => label), ...faults.map(({ label }) => label)];
    const chosen = labels.length === 1 ? 0 : this.choose(labels);
    const fault = faults[chosen - events.length];
    if (fault !== undefined) {
      fault.act();
      return { atMs: this.nowMs, label: fault.label, owner: undefined };
    }
    const event = events[chosen] ?? first;
    this.#pending.delete(event);
    this.nowMs = Math.max(this.nowMs, event.atMs);
    event.fire();
    return event;
  }

  /** By time; what belongs to the dead is forgotten, what belongs to the hung is kept for later. */
  #ready(): Pending[] {
    const ready: Pending[] = [];
    for (const event of this.#pending) {
      const state = event.owner?.state;
      if (state === undefined || state === 'running') ready.push(event);
      else {
        this.#pending.delete(event);
        if (state === 'hung') event.owner?.defer(() => this.#pending.add(event));
      }
    }
    return ready.sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
  }
}

/** Timers of one process keep their order, and long ones do not come before messages. */
function mayOvertake(event: Pending, first: Pending): boolean {
  if (event.atMs > first.atMs + OVERTAKE_MS) return false;
  return !(event.label.endsWith(' timer') && event.owner === first.owner);
}
