/**
 * One operation per tablet at a time: whatever cools, follows, merges, collects or clones holds the
 * tablet's turn, and leadership changes between two turns only.
 */
import type { TabletId } from '../../base/ids.ts';

interface Turn {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

export class TabletTurns {
  readonly #running = new Map<TabletId, Turn>();
  readonly #waiting = new Map<TabletId, Promise<void>>();
  #closed: { readonly reason: unknown } | undefined;

  /** Whether somebody holds the tablet's turn or waits for it. */
  isBusy(tabletId: TabletId): boolean {
    return this.#running.has(tabletId) || this.#waiting.has(tabletId);
  }

  /**
   * Waits for the turn, in order of asking. `work` ends when its signal aborts, as soon as it can:
   * the signal of `hold`, an interruption, or the end of the process's work.
   */
  async hold<T>(
    tabletId: TabletId,
    work: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const before = this.#waiting.get(tabletId);
    const { promise: done, resolve: release } = Promise.withResolvers<void>();
    const tail = before === undefined ? done : before.then(() => done);
    this.#waiting.set(tabletId, tail);
    const controller = new AbortController();
    const abort = (): void => {
      controller.abort(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await before;
      if (this.#closed !== undefined) controller.abort(this.#closed.reason);
      if (signal?.aborted === true) abort();
      controller.signal.throwIfAborted();
      this.#running.set(tabletId, { controller, done });
      return await work(controller.signal);
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#running.delete(tabletId);
      if (this.#waiting.get(tabletId) === tail) this.#waiting.delete(tabletId);
      release();
    }
  }

  /** Asks the present holder to end; those who wait are not touched. */
  interrupt(tabletId: TabletId, reason: unknown): void {
    this.#running.get(tabletId)?.controller.abort(reason);
  }

  /** Interrupts all and lets nobody begin. Resolves when all have ended. */
  async close(reason: unknown): Promise<void> {
    this.#closed ??= { reason };
    for (const { controller } of this.#running.values()) controller.abort(reason);
    await Promise.all(this.#waiting.values());
  }
}
