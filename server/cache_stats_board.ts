/**
 * Cache statistics of all backends, asked in parallel with a short limit: a backend that hangs or
 * fails makes no SHOW slow, its last known values are shown with the time they are from.
 */
import type { AgentTransport, CacheStats } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { BackendDef } from '../base/schema.ts';

/** Longest that SHOW waits for a backend. */
const FETCH_TIMEOUT_MS = 1000;

export interface KnownStats {
  readonly backend: BackendDef;
  readonly stats: CacheStats;
  readonly atMs: number;
  /** The backend did not answer this time. */
  readonly stale: boolean;
}

export class CacheStatsBoard {
  readonly #transport: AgentTransport;
  readonly #clock: Clock;
  readonly #known = new Map<BackendId, { stats: CacheStats; atMs: number }>();

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
    const { backendId } = backend;
    try {
      const options = { timeoutMs: FETCH_TIMEOUT_MS };
      const stats = await this.#transport.call(backendId, 'cacheStats', {}, options);
      const entry = { stats, atMs: this.#clock.now() };
      this.#known.set(backendId, entry);
      return { backend, ...entry, stale: false };
    } catch {
      const entry = this.#known.get(backendId);
      return entry === undefined ? undefined : { backend, ...entry, stale: true };
    }
  }
}
