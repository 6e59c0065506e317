/**
 * Cache statistics of all backends, asked in parallel with a short limit: a backend that hangs or
 * fails makes no SHOW slow, its last known values are shown and marked.
 */
import type { AgentTransport, CacheStats } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { BackendDef } from '../base/schema.ts';

/** Longest that SHOW waits for a backend; it does so once, not every time. */
const WAIT_MS = 1000;
/** The same for a backend that did not answer last time. */
const WAIT_AGAIN_MS = 50;
/** After this a call that was never answered is given up, and the backend is asked anew. */
const CALL_TIMEOUT_MS = 5000;

export interface KnownStats {
  readonly backend: BackendDef;
  readonly stats: CacheStats;
  /** When the backend said so, wall clock. */
  readonly atMs: number;
  /** The backend did not answer this time. */
  readonly stale: boolean;
}

interface Known {
  last: { readonly stats: CacheStats; readonly atMs: number } | undefined;
  /** The call that is under way; several SHOWs wait for the same one. */
  asking: Promise<boolean> | undefined;
  /** Monotonic moment at which it began. */
  askedAt: number;
  answered: boolean;
}

export class CacheStatsBoard {
  readonly #transport: AgentTransport;
  readonly #clock: Clock;
  readonly #known = new Map<BackendId, Known>();

  constructor(transport: AgentTransport, clock: Clock) {
    this.#transport = transport;
    this.#clock = clock;
  }

  /** Backends that never answered are left out. */
  async fetch(backends: readonly BackendDef[]): Promise<KnownStats[]> {
    const fetched = await Promise.all(backends.map(async (backend) => await this.#one(backend)));
    return fetched.filter((known) => known !== undefined);
  }

  async #one(backend: BackendDef): Promise<KnownStats | undefined> {
    const known = this.#of(backend.backendId);
    const now = this.#clock.monotonic();
    if (known.asking === undefined || now - known.askedAt > CALL_TIMEOUT_MS) {
      known.askedAt = now;
      known.asking = this.#ask(backend.backendId, known);
    }
    const answered = await this.#atMost(known.answered ? WAIT_MS : WAIT_AGAIN_MS, known.asking);
    known.answered = answered;
    return known.last === undefined ? undefined : { backend, ...known.last, stale: !answered };
  }

  #of(backendId: BackendId): Known {
    let known = this.#known.get(backendId);
    if (known === undefined) {
      known = { last: undefined, asking: undefined, askedAt: 0, answered: true };
      this.#known.set(backendId, known);
    }
    return known;
  }

  /** Never rejects; whether there was an answer. It is kept also when nobody waits any more. */
  async #ask(backendId: BackendId, known: Known): Promise<boolean> {
    const { askedAt } = known;
    let answered = false;
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      const stats = await this.#transport.call(backendId, 'cacheStats', {}, options);
      known.last = { stats, atMs: this.#clock.now() };
      answered = true;
    } catch {
      // The caller marks what it shows.
    }
    if (known.askedAt === askedAt) known.asking = undefined;
    return answered;
  }

  async #atMost(ms: number, asking: Promise<boolean>): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const stop = this.#clock.after(ms, () => {
      resolve(false);
    });
    const answered = await Promise.race([asking, promise]);
    stop();
    return answered;
  }
}
