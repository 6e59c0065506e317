/** Something that is done again and again: a pause, one round, a pause; never two rounds at once. */
import type { Clock, Log } from '../base/ports.ts';

export interface PeriodicDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** For the log when a round fails; the next round comes all the same. */
  readonly what: string;
  /** Milliseconds from the end of a round to the next; asked anew every time. */
  readonly pauseMs: () => number;
  readonly round: () => Promise<void>;
}

export class Periodic {
  readonly #deps: PeriodicDeps;
  #stopTimer: () => void = () => undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(deps: PeriodicDeps) {
    this.#deps = deps;
  }

  /** The first round comes after one pause. */
  start(): void {
    if (this.#closed) return;
    this.#stopTimer = this.#deps.clock.after(this.#deps.pauseMs(), () => {
      this.#running = this.#round();
    });
  }

  /** No further round; resolves when the one that runs has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    await this.#running;
  }

  async #round(): Promise<void> {
    try {
      await this.#deps.round();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#deps.log.error(`${this.#deps.what} failed`, { error: text });
    } finally {
      this.#running = undefined;
      this.start();
    }
  }
}
