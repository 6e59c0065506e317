/**
 * Locks that sessions take by name (GET_LOCK), for programs that agree on them: in memory, gone
 * with their session, without regard to case. A session may hold many, and one many times.
 */
import { SqlError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';

/** Characters of a name, as in MySQL. */
const NAME_LENGTH_MAX = 64;

/** Names that one session may have at once. */
const LOCKS_PER_SESSION_MAX = 1000;

interface Waiter {
  readonly owner: number;
  readonly grant: () => void;
}

interface Held {
  owner: number;
  count: number;
  readonly waiters: Waiter[];
}

export class NamedLocks {
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  /** How many names each session has. */
  readonly #names = new Map<number, number>();
  /** What a session waits for: a session does one thing at a time. */
  readonly #waits = new Map<number, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * 1: it is the session's now; 0: not within the time (seconds; negative: as long as it takes).
   * Throws WRONG_LOCK_NAME, LOCK_DEADLOCK, TOO_MANY_LOCKS, and what the signal is aborted with.
   */
  async get(owner: number, name: string, seconds: number, signal: AbortSignal): Promise<bigint> {
    const key = keyOf(name);
    const held = this.#held.get(key);
    if (held === undefined) {
      this.#count(owner, 1);
      this.#held.set(key, { owner, count: 1, waiters: [] });
      return 1n;
    }
    if (held.owner === owner) {
      held.count += 1;
      return 1n;
    }
    if (seconds === 0) return 0n;
    if (this.#closesCircle(owner, key)) throw new SqlError('LOCK_DEADLOCK');
    return await this.#wait(owner, key, held, seconds, signal);
  }

  async #wait(
    owner: number,
    key: string,
    held: Held,
    seconds: number,
    signal: AbortSignal,
  ): Promise<bigint> {
    signal.throwIfAborted();
    this.#waits.set(owner, key);
    const { promise, resolve, reject } = Promise.withResolvers<bigint>();
    const waiter: Waiter = { owner, grant: () => resolve(1n) };
    held.waiters.push(waiter);
    const cancel =
      seconds < 0 ? () => undefined : this.#clock.after(seconds * 1000, () => resolve(0n));
    const aborted = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', aborted, { once: true });
    try {
      return await promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', aborted);
      this.#waits.delete(owner);
      const at = held.waiters.indexOf(waiter);
      if (at >= 0) held.waiters.splice(at, 1);
    }
  }

  /** Names that a session has. Throws TOO_MANY_LOCKS. */
  #count(owner: number, change: 1 | -1): void {
    const names = (this.#names.get(owner) ?? 0) + change;
    if (names > LOCKS_PER_SESSION_MAX) {
      throw new SqlError('TOO_MANY_LOCKS', { limit: LOCKS_PER_SESSION_MAX });
    }
    if (names === 0) this.#names.delete(owner);
    else this.#names.set(owner, names);
  }

  /** Whether the one who has it waits, over others perhaps, for what the asking session has. */
  #closesCircle(owner: number, key: string): boolean {
    let wanted: string | undefined = key;
    for (let steps = this.#held.size; wanted !== undefined && steps >= 0; steps -= 1) {
      const holder: number | undefined = this.#held.get(wanted)?.owner;
      if (holder === undefined) return false;
      if (holder === owner) return true;
      wanted = this.#waits.get(holder);
    }
    return false;
  }

  /** 1: done; 0: another session has it; null: nobody has. Throws WRONG_LOCK_NAME. */
  release(owner: number, name: string): bigint | null {
    const key = keyOf(name);
    const held = this.#held.get(key);
    if (held === undefined) return null;
    if (held.owner !== owner) return 0n;
    held.count -= 1;
    if (held.count === 0) this.#pass(key, held);
    return 1n;
  }

  /** How many it had, each as often as it took it. */
  releaseAll(owner: number): bigint {
    let count = 0;
    for (const [key, held] of this.#held) {
      if (held.owner !== owner) continue;
      count += held.count;
      this.#pass(key, held);
    }
    return BigInt(count);
  }

  /** undefined: nobody has it. Throws WRONG_LOCK_NAME. */
  ownerOf(name: string): number | undefined {
    return this.#held.get(keyOf(name))?.owner;
  }

  #pass(key: string, held: Held): void {
    this.#count(held.owner, -1);
    const next = held.waiters.shift();
    if (next === undefined) {
      this.#held.delete(key);
      return;
    }
    held.owner = next.owner;
    held.count = 1;
    // Who waits has asked for one thing only, so this is at most one above the limit.
    this.#names.set(next.owner, (this.#names.get(next.owner) ?? 0) + 1);
    next.grant();
  }
}

function keyOf(name: string): string {
  if (name === '' || Array.from(name).length > NAME_LENGTH_MAX) {
    throw new SqlError('WRONG_LOCK_NAME', { name });
  }
  return name.toLowerCase();
}
