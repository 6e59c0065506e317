/**
 * Which backends are alive, by their heartbeats. Memory only: after a restart of the server every
 * backend is dead until it has spoken, which takes one heartbeat interval.
 */
import type { Heartbeat } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';

export interface BackendStatus extends Heartbeat {
  /** Server's clock. */
  readonly lastHeartbeatMs: number;
  readonly alive: boolean;
  /** Why it is not alive; empty when it is. */
  readonly error: string;
}

interface Entry {
  readonly heartbeat: Heartbeat;
  readonly atMs: number;
  /** On the monotonic clock: a step of the wall clock kills nobody. */
  readonly atMonotonic: number;
}

export class BackendRegistry {
  readonly #clock: Clock;
  readonly #config: Config;
  readonly #entries = new Map<BackendId, Entry>();
  readonly #starting = new Set<BackendId>();
  readonly #waiters = new Set<() => void>();
  readonly #startedMonotonic: number;

  constructor(clock: Clock, config: Config) {
    this.#clock = clock;
    this.#config = config;
    this.#startedMonotonic = clock.monotonic();
  }

  /** Somebody starts it, until the returned function is called. */
  starting(backendId: BackendId): () => void {
    this.#starting.add(backendId);
    return () => {
      this.#starting.delete(backendId);
    };
  }

  /**
   * Not alive, but on its way: somebody starts it, or it was never heard of and the server has not
   * been up for long enough to call that silence.
   */
  mayBeStarting(backendId: BackendId): boolean {
    if (this.#starting.has(backendId)) return !this.isAlive(backendId);
    if (this.#entries.has(backendId)) return false;
    return this.#clock.monotonic() - this.#startedMonotonic <= this.#silentMaxMs();
  }

  heartbeat(heartbeat: Heartbeat): void {
    this.#entries.set(heartbeat.backendId, {
      heartbeat,
      atMs: this.#clock.now(),
      atMonotonic: this.#clock.monotonic(),
    });
    for (const wake of this.#waiters) wake();
  }

  /** Stopped, killed or dropped on purpose: dead at once. */
  forget(backendId: BackendId): void {
    this.#entries.delete(backendId);
  }

  isAlive(backendId: BackendId): boolean {
    const entry = this.#entries.get(backendId);
    return entry !== undefined && this.#silentMs(entry) <= this.#silentMaxMs();
  }

  /** Which life of the backend was heard of last; undefined: none, or it was forgotten. */
  incarnation(backendId: BackendId): string | undefined {
    return this.#entries.get(backendId)?.heartbeat.incarnation;
  }

  alive(backends: Iterable<BackendId>): BackendId[] {
    return [...backends].filter((backend) => this.isAlive(backend));
  }

  /** undefined: has not been heard of since the server started, or was forgotten. */
  status(backendId: BackendId): BackendStatus | undefined {
    const entry = this.#entries.get(backendId);
    if (entry === undefined) return undefined;
    const alive = this.isAlive(backendId);
    const error = alive ? '' : `no heartbeat for ${Math.round(this.#silentMs(entry) / 1000)} s`;
    return { ...entry.heartbeat, lastHeartbeatMs: entry.atMs, alive, error };
  }

  /** Calls `fn` at every heartbeat until the returned function is called. */
  onHeartbeat(fn: () => void): () => void {
    this.#waiters.add(fn);
    return () => {
      this.#waiters.delete(fn);
    };
  }

  #silentMs(entry: Entry): number {
    return this.#clock.monotonic() - entry.atMonotonic;
  }

  #silentMaxMs(): number {
    const interval = this.#config.get('heartbeat_interval_ms');
    return interval * this.#config.get('max_backend_heartbeat_failure_tolerance_count');
  }
}
