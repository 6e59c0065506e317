/**
 * Virtual time: a queue of events by (time, sequence). Nothing happens between two events, and
 * nothing waits: a minute of virtual time lasts as long as its events take to compute.
 */
import type { Clock } from '../base/ports.ts';

/** Where the virtual wall clock starts: 2026-03-01 00:00 UTC. */
export const START_MS = Date.UTC(2026, 2, 1);

export interface SimEvent {
  readonly atMs: number;
  readonly label: string;
  readonly owner: SimProcess | undefined;
}

/** Of a message or a call on its way: what it is, for those who compare states of runs. */
export interface SimCall {
  /** Who waits for its end. */
  readonly caller: SimProcess;
  /** How many the caller has begun before it. */
  readonly number: number;
  /** All that decides what comes of it. */
  readonly content: unknown;
}

interface Entry extends SimEvent {
  readonly sequence: number;
  readonly fire: () => void;
  cancelled: boolean;
}

export class VirtualTime {
  /** Milliseconds since the run began. */
  nowMs = 0;
  readonly #heap: Entry[] = [];
  #sequence = 0;

  /** Events that wait, cancelled ones included. */
  get size(): number {
    return this.#heap.length;
  }

  /**
   * Calls `fire` after `delayMs`, unless its owner is dead by then; the result takes it back.
   * `_call` is for subclasses.
   */
  schedule(
    delayMs: number,
    label: string,
    fire: () => void,
    owner?: SimProcess,
    _call?: SimCall,
  ): () => void {
    const atMs = this.nowMs + Math.max(0, delayMs);
    this.#sequence += 1;
    const sequence = this.#sequence;
    const entry: Entry = { atMs, label, owner, sequence, fire, cancelled: false };
    this.#push(entry);
    return () => {
      entry.cancelled = true;
    };
  }

  /** Moves time to the next event and fires it; undefined: there is none up to `untilMs`. */
  step(untilMs: number): SimEvent | undefined {
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= untilMs; top = this.#heap[0]) {
      this.#pop();
      const state = top.owner?.state;
      if (top.cancelled || state === 'dead') continue;
      if (state === 'hung') {
        top.owner?.defer(() => {
          this.#push(top);
        });
        continue;
      }
      this.nowMs = Math.max(this.nowMs, top.atMs);
      top.fire();
      return top;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
    return undefined;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, entry)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      const left = heap[down];
      const right = heap[down + 1];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) down += 1;
      const child = heap[down];
      if (child === undefined || isBefore(last, child)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

/**
 * One life of a server or an agent. Everything that could wake its code up (timers, messages,
 * disk, store) is bound to it: after `kill` nothing of it ever runs again, a hung one stands still
 * until `resume` and then does everything late, in order.
 */
export class SimProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #time: VirtualTime;
  readonly #onDeath: (() => void)[] = [];
  #state: 'running' | 'hung' | 'dead' = 'running';
  #deferred: (() => void)[] = [];
  /** When it last went on after a hang, milliseconds of the run. */
  resumedMs = Number.NEGATIVE_INFINITY;
  /** Messages and calls that it has begun. */
  calls = 0;

  /** `skewMs`: how far its wall clock is off. */
  constructor(name: string, time: VirtualTime, skewMs = 0) {
    this.name = name;
    this.#time = time;
    this.clock = this.#makeClock(skewMs);
  }

  get state(): 'running' | 'hung' | 'dead' {
    return this.#state;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  schedule(delayMs: number, label: string, fire: () => void, call?: SimCall): () => void {
    if (this.isDead) return () => undefined;
    return this.#time.schedule(delayMs, `${this.name} ${label}`, fire, this, call);
  }

  /** For the content of a call or message that it begins. */
  begins(content: unknown): SimCall {
    this.calls += 1;
    return { caller: this, number: this.calls, content };
  }

  onDeath(fn: () => void): void {
    this.#onDeath.push(fn);
  }

  kill(): void {
    if (this.isDead) return;
    this.#state = 'dead';
    this.#deferred = [];
    for (const fn of this.#onDeath) fn();
  }

  hang(): void {
    if (this.#state === 'running') this.#state = 'hung';
  }

  resume(): void {
    if (this.#state !== 'hung') return;
    this.#state = 'running';
    this.resumedMs = this.#time.nowMs;
    for (const push of this.#deferred.splice(0)) push();
  }

  defer(push: () => void): void {
    this.#deferred.push(push);
  }

  /** A promise of the world outside: it never settles for a dead process. */
  guard<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      work.then(
        (value) => {
          if (!this.isDead) resolve(value);
        },
        (error: unknown) => {
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it is
          if (!this.isDead) reject(error);
        },
      );
    });
  }

  #makeClock(skewMs: number): Clock {
    const time = this.#time;
    const after = (ms: number, fn: () => void): (() => void) => this.schedule(ms, 'timer', fn);
    return {
      now: () => Math.floor(START_MS + skewMs + time.nowMs),
      monotonic: () => time.nowMs,
      after,
      sleep: async (ms, signal) => {
        signal?.throwIfAborted();
        await new Promise<void>((resolve, reject) => {
          const onAbort = (): void => {
            cancel();
            reject(signal?.reason as Error);
          };
          const cancel = this.schedule(ms, 'sleep', () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          });
          signal?.addEventListener('abort', onAbort, { once: true });
        });
      },
    };
  }
}
