/**
 * Lost tablets of which everything is left in a resource are rebuilt by themselves. When something
 * would get lost nothing happens: that is for ADMIN REPAIR TABLE to say.
 */
import type { TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { ReplicaRebuild } from './replica_rebuild.ts';

/** A lost tablet is tried so often, and so many at once. */
const EVERY_MS = 60_000;
const AT_ONCE_MAX = 4;

export interface WholeRebuildsDeps {
  readonly rebuild: ReplicaRebuild;
  readonly clock: Clock;
  readonly log: Log;
  /** It may look different now. */
  readonly onEnd: (tabletId: TabletId) => void;
}

interface Attempt {
  /** Monotonic. */
  readonly atMs: number;
  /** Why it is not rebuilt; '' when that is not known. */
  why: string;
}

export class WholeRebuilds {
  readonly #deps: WholeRebuildsDeps;
  readonly #attempts = new Map<TabletId, Attempt>();
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(deps: WholeRebuildsDeps) {
    this.#deps = deps;
  }

  /** Begins one if it is time, and answers what came of the last one; '' for nothing. */
  attempt(tabletId: TabletId): string {
    const atMs = this.#deps.clock.monotonic();
    const last = this.#attempts.get(tabletId);
    const why = last?.why ?? '';
    if (last !== undefined && atMs - last.atMs < EVERY_MS) return why;
    if (this.#stopping.signal.aborted || this.#running.size >= AT_ONCE_MAX) return why;
    const attempt = { atMs, why };
    this.#attempts.set(tabletId, attempt);
    const work = this.#run(tabletId, attempt).finally(() => {
      this.#running.delete(work);
    });
    this.#running.add(work);
    return why;
  }

  /** All is well, or something has changed: what came of the last one does not count any more. */
  forget(tabletId: TabletId): void {
    this.#attempts.delete(tabletId);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async #run(tabletId: TabletId, attempt: Attempt): Promise<void> {
    const { rebuild, log, onEnd } = this.#deps;
    const { signal } = this.#stopping;
    try {
      const done = await rebuild.rebuild(tabletId, { isLossAllowed: false, signal });
      attempt.why = done?.isRebuilt === false ? done.detail : '';
      onEnd(tabletId);
    } catch (error) {
      if (signal.aborted) return;
      log.error('a lost tablet was not rebuilt', { tabletId, error: String(error) });
    }
  }
}
