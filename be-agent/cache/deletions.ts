/**
 * Removes files of evicted and dropped blocks behind the callers' backs, a few at a time. A new
 * file of the same name waits until the old one is gone (`settled`).
 */
import { removeBlockFile } from './block_files.ts';
import type { BlockIo } from './block_files.ts';

/** Unlinks at once; more would only fill the thread pool that reads and writes need. */
const CONCURRENCY = 4;

interface Deletion {
  readonly path: string;
  readonly done: (error: unknown) => Promise<void> | void;
  readonly settle: () => void;
}

export class Deletions {
  readonly #io: BlockIo;
  readonly #pending = new Map<string, Promise<void>>();
  readonly #queue: Deletion[] = [];
  #running = 0;

  constructor(io: BlockIo) {
    this.#io = io;
  }

  /** `done` hears how it went, `undefined` being well; the file is settled after it. */
  add(path: string, done: (error: unknown) => Promise<void> | void): void {
    const { promise, resolve: settle } = Promise.withResolvers<void>();
    this.#pending.set(path, promise);
    this.#queue.push({ path, done, settle });
    if (this.#running < CONCURRENCY) void this.#work();
  }

  /** Resolves when no deletion of this file is under way. */
  async settled(path: string): Promise<void> {
    await this.#pending.get(path);
  }

  async allSettled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending.values());
  }

  async #work(): Promise<void> {
    this.#running += 1;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      let failure: unknown;
      try {
        await removeBlockFile(this.#io, next.path);
      } catch (error) {
        failure = error;
      }
      await next.done(failure);
      this.#pending.delete(next.path);
      next.settle();
    }
    this.#running -= 1;
  }
}
