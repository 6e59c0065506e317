/**
 * Virtual time in which somebody else says what happens next. It goes in steps of a second:
 * between two of them everything that does not wait for a timer happens at one instant, in an
 * order that is chosen; timers come with the next step, as timers may. So what a late message, a
 * retry or a restart has put out of step falls into step again, and runs meet in equal states.
 */
import { type SimCall, type SimEvent, type SimProcess, VirtualTime } from '../virtual_time.ts';

export interface PendingEvent extends SimEvent {
  /** Of the instant: what was put off comes after what was not. */
  readonly layer: number;
  readonly sequence: number;
  readonly call: SimCall | undefined;
  readonly fire: () => void;
}

/** What may happen instead of the next event, or to it. */
export interface Otherwise {
  readonly label: string;
  readonly act: () => void;
  /** The event happens all the same. */
  readonly fires?: boolean;
  /** Only the future changes, no process does anything: what `state` says then. */
  readonly peek?: (state: () => string) => string;
}

const STEP_MS = 1000;

export class ChoiceTime extends VirtualTime {
  readonly #pending = new Set<PendingEvent>();
  /** What else may happen instead of this event. */
  otherwise: (next: PendingEvent) => readonly Otherwise[] = () => [];
  choose: (labels: readonly string[], others: readonly Otherwise[]) => number = () => 0;
  /** The process is about to get this. */
  onInput: (process: SimProcess, event: PendingEvent) => void = () => undefined;
  #next = 0;
  #layer = 0;

  override get size(): number {
    return this.#pending.size;
  }

  override schedule(
    delayMs: number,
    label: string,
    fire: () => void,
    owner?: SimProcess,
    call?: SimCall,
  ): () => void {
    this.#next += 1;
    const atMs = this.nowMs + inSteps(delayMs, label, this.nowMs);
    const layer = atMs > this.nowMs ? 0 : this.#layer;
    const entry: PendingEvent = { atMs, layer, label, owner, sequence: this.#next, call, fire };
    this.#pending.add(entry);
    return () => {
      this.#pending.delete(entry);
    };
  }

  override step(untilMs: number): SimEvent | undefined {
    const [first] = this.ready();
    if (first === undefined || first.atMs > untilMs) {
      this.#go(Math.max(this.nowMs, untilMs), 0);
      return undefined;
    }
    this.#go(Math.max(this.nowMs, first.atMs), first.layer);
    const others = this.otherwise(first);
    const labels = [first.label, ...others.map(({ label }) => label)];
    const chosen = others.length === 0 ? 0 : this.choose(labels, others);
    const other = others[chosen - 1];
    other?.act();
    if (other !== undefined && other.fires !== true) {
      return { atMs: this.nowMs, label: other.label, owner: undefined };
    }
    this.#pending.delete(first);
    if (first.owner !== undefined) this.onInput(first.owner, first);
    first.fire();
    return first;
  }

  /** The event comes after everything else of this instant. The result takes it back. */
  putOff(event: PendingEvent): () => void {
    return this.#replace(event, { ...event, atMs: this.nowMs, layer: event.layer + 1 });
  }

  /** The event comes so much later, milliseconds. The result takes it back. */
  delay(event: PendingEvent, ms: number): () => void {
    return this.#replace(event, { ...event, atMs: this.nowMs + ms, layer: 0 });
  }

  #replace(event: PendingEvent, by: PendingEvent): () => void {
    this.#pending.delete(event);
    this.#pending.add(by);
    return () => {
      this.#pending.delete(by);
      this.#pending.add(event);
    };
  }

  /** Whether something else happens at this instant. */
  isAlone(event: PendingEvent): boolean {
    for (const other of this.#pending) {
      if (other === event || other.atMs > this.nowMs) continue;
      if (other.owner === undefined || other.owner.state === 'running') return false;
    }
    return true;
  }

  /** Whether it is true of all that may still come. */
  isEvery(check: (event: PendingEvent) => boolean): boolean {
    for (const event of this.#pending) if (!check(event)) return false;
    return true;
  }

  /** In the order in which they come; what belongs to the hung comes when they go on. */
  ready(): PendingEvent[] {
    return this.waiting().filter(({ owner }) => owner === undefined || owner.state === 'running');
  }

  /** All that may still come, also to those who stand still. */
  waiting(): PendingEvent[] {
    for (const event of this.#pending) {
      if (event.owner?.isDead === true) this.#pending.delete(event);
    }
    return [...this.#pending].sort(inOrder);
  }

  #go(nowMs: number, layer: number): void {
    this.nowMs = nowMs;
    this.#layer = layer;
  }
}

/** By time, then by name, so that the order does not tell in which one they were begun. */
function inOrder(a: PendingEvent, b: PendingEvent): number {
  if (a.atMs !== b.atMs) return a.atMs - b.atMs;
  if (a.layer !== b.layer) return a.layer - b.layer;
  if (a.label !== b.label) return a.label < b.label ? -1 : 1;
  return a.sequence - b.sequence;
}

/** Timers come with a step, never early; messages and calls take no time, or whole steps. */
function inSteps(delayMs: number, label: string, nowMs: number): number {
  if (!/ (timer|sleep)$/.test(label)) return Math.floor(delayMs / STEP_MS) * STEP_MS;
  return Math.ceil((nowMs + delayMs) / STEP_MS) * STEP_MS - nowMs;
}
