/** When cooled data is compacted and collected: timers of their own, apart from cooling. */
import type { Config } from '../../base/config.ts';
import type { TabletId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { ColdCompaction } from './cold_compaction.ts';
import type { Collection } from './collection.ts';
import type { CooldownEngine } from './cooldown_engine.ts';

export interface ColdMaintenanceOptions {
  /** undefined: nothing is merged. */
  readonly compaction: ColdCompaction | undefined;
  readonly collection: Collection;
  readonly engine: CooldownEngine;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tablets that were refused are asked about again so often, then with the next look. */
const ASKS_MAX = 10;

/** No timer of the system can be longer than 24.8 days; settings can. */
const TIMER_MS_MAX = 86_400_000;

/** What a timer waits for, and since when (monotonic). */
type Planned =
  | { readonly what: 'compact' | 'collect'; lastMs: number }
  | {
      readonly what: 'ask again';
      readonly tabletIds: readonly TabletId[];
      readonly ask: number;
      readonly lastMs: number;
    };

interface Timer {
  /** Begins anew, by what the settings are now. */
  readonly arm: () => void;
  stop: () => void;
}

export class ColdMaintenance {
  readonly #options: ColdMaintenanceOptions;
  readonly #planned = new Map<Planned, Timer>();
  #stopListening: () => void = () => undefined;
  #isClosed = false;

  constructor(options: ColdMaintenanceOptions) {
    this.#options = options;
  }

  start(): void {
    const { config, compaction } = this.#options;
    this.#stopListening = config.onChange(() => {
      for (const { arm } of this.#planned.values()) arm();
    });
    if (compaction !== undefined) {
      this.#every(
        'compact',
        () => config.get('cold_data_compaction_interval_sec') * 1000,
        async () => {
          compaction.look();
          await Promise.resolve();
        },
      );
    }
    this.#every(
      'collect',
      () => config.get('remove_unused_remote_files_interval_sec') * 1000,
      async () => {
        await this.#collect(undefined, 1);
      },
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    for (const { stop } of this.#planned.values()) stop();
    this.#planned.clear();
  }

  /** What was refused or is too young comes again sooner, a few times. */
  async #collect(tabletIds: readonly TabletId[] | undefined, ask: number): Promise<void> {
    const { collection, config, engine } = this.#options;
    const { refused, young } = await collection.collect(tabletIds);
    if (ask >= ASKS_MAX) return;
    const againMs = (): number => config.get('confirm_unused_remote_files_interval_sec') * 1000;
    const graceMs = (): number => config.get('cooldown_garbage_grace_seconds') * 1000;
    if (refused.length > 0) {
      const followMs = config.get('generate_cooldown_task_interval_sec') * 1000;
      engine.rest(refused, againMs() + 2 * followMs);
      this.#askAgain(againMs, refused, ask + 1);
    }
    if (young.length > 0) {
      this.#askAgain(() => Math.max(againMs(), graceMs()), young, ask + 1);
    }
  }

  #askAgain(ms: () => number, tabletIds: readonly TabletId[], ask: number): void {
    const lastMs = this.#options.clock.monotonic();
    this.#after(ms, { what: 'ask again', tabletIds, ask, lastMs }, async () => {
      await this.#collect(tabletIds, ask);
    });
  }

  /** From the beginning of one time to that of the next, and never twice at once. */
  #every(what: 'compact' | 'collect', intervalMs: () => number, work: () => Promise<void>): void {
    const { clock } = this.#options;
    const planned: Planned = { what, lastMs: clock.monotonic() };
    const tick = async (): Promise<void> => {
      planned.lastMs = clock.monotonic();
      try {
        await work();
      } finally {
        this.#after(intervalMs, planned, tick);
      }
    };
    this.#after(intervalMs, planned, tick);
  }

  /** So long after `planned.lastMs`, also when what it depends on is changed while it waits. */
  #after(ms: () => number, planned: Planned, work: () => Promise<void>): void {
    if (this.#isClosed) return;
    const { clock, log } = this.#options;
    const leftMs = (): number => planned.lastMs + ms() - clock.monotonic();
    const run = (): void => {
      if (leftMs() > 0) {
        timer.arm();
        return;
      }
      this.#planned.delete(planned);
      void work().catch((error: unknown) => {
        log.error('care for cooled data failed', { error: String(error) });
      });
    };
    const timer: Timer = {
      arm: () => {
        timer.stop();
        timer.stop = clock.after(Math.min(TIMER_MS_MAX, Math.max(0, leftMs())), run);
      },
      stop: () => undefined,
    };
    this.#planned.set(planned, timer);
    timer.arm();
  }
}
