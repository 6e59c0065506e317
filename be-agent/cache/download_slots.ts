/** Bounds how many downloads of warm-ups run at once on a backend, over all its batches. */

interface Waiter {
  readonly pass: () => void;
}

export class DownloadSlots {
  readonly #limit: () => number;
  /** In the order they asked: a large batch and a small one take turns. */
  readonly #waiting = new Set<Waiter>();
  #taken = 0;

  /** `limit` is asked again all the time. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Resolves when a slot is taken; rejects with the signal's reason and takes none. */
  async acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#taken < this.#limit()) {
      this.#taken += 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiter: Waiter = {
      pass: () => {
        resolve(undefined);
      },
    };
    const onAbort = (): void => {
      // Passed already: whoever waited has the slot and gives it back.
      if (this.#waiting.delete(waiter)) reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiter);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  release(): void {
    this.#taken -= 1;
    for (const waiter of this.#waiting) {
      if (this.#taken >= this.#limit()) break;
      this.#waiting.delete(waiter);
      this.#taken += 1;
      waiter.pass();
    }
  }
}
