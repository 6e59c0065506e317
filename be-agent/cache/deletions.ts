/**
 * Removes evicted and dropped blocks from the disk behind the callers' backs, a few at a time. A
 * new file of the same name waits until the old one is gone (`settled`).
 */

/** Calls to the disk at once; more would only fill the thread pool that reads and writes need. */
const CONCURRENCY = 4;

interface Deletion {
  readonly name: string;
  readonly work: () => Promise<void>;
  readonly done: (error: unknown) => Promise<void> | void;
  readonly settle: () => void;
}

export class Deletions {
  readonly #pending = new Map<string, Promise<void>>();
  readonly #queue: Deletion[] = [];
  #running = 0;

  /** `done` hears how `work` went, `undefined` being well; the name is settled after it. */
  add(
    name: string,
    work: () => Promise<void>,
    done: (error: unknown) => Promise<void> | void,
  ): void {
    const { promise, resolve: settle } = Promise.withResolvers<void>();
    this.#pending.set(name, promise);
    this.#queue.push({ name, work, done, settle });
    if (this.#running < CONCURRENCY) void this.#work();
  }

  /** Resolves when no deletion of this name is under way. */
  async settled(name: string): Promise<void> {
    await this.#pending.get(name);
  }

  async allSettled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending.values());
  }

  async #work(): Promise<void> {
    this.#running += 1;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      let failure: unknown;
      try {
        await next.work();
      } catch (error) {
        failure = error;
      }
      await next.done(failure);
      this.#pending.delete(next.name);
      next.settle();
    }
    this.#running -= 1;
  }
}
