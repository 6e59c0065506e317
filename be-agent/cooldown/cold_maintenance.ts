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

/** How often a changed interval is noticed, milliseconds. */
const NOTICE_MS = 1000;

export class ColdMaintenance {
  readonly #options: ColdMaintenanceOptions;
  readonly #stops = new Set<() => void>();
  #isClosed = false;

  constructor(options: ColdMaintenanceOptions) {
    this.#options = options;
  }

  start(): void {
    const { config, compaction } = this.#options;
    if (compaction !== undefined) {
      this.#every(
        () => config.get('cold_data_compaction_interval_sec') * 1000,
        async () => {
          compaction.look();
          await Promise.resolve();
        },
      );
    }
    this.#every(
      () => config.get('remove_unused_remote_files_interval_sec') * 1000,
      async () => {
        await this.#collect(undefined, 1);
      },
    );
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#stops) stop();
    this.#stops.clear();
  }

  /** What was refused or is too young comes again sooner, a few times. */
  async #collect(tabletIds: readonly TabletId[] | undefined, ask: number): Promise<void> {
    const { collection, config, engine } = this.#options;
    const { refused, young } = await collection.collect(tabletIds);
    if (ask >= ASKS_MAX) return;
    const againMs = config.get('confirm_unused_remote_files_interval_sec') * 1000;
    const graceMs = config.get('cooldown_garbage_grace_seconds') * 1000;
    if (refused.length > 0) {
      const followMs = config.get('generate_cooldown_task_interval_sec') * 1000;
      engine.rest(refused, againMs + 2 * followMs);
      this.#after(againMs, async () => {
        await this.#collect(refused, ask + 1);
      });
    }
    if (young.length > 0) {
      this.#after(Math.max(againMs, graceMs), async () => {
        await this.#collect(young, ask + 1);
      });
    }
  }

  /** The interval may be changed while it runs, and counts from the last time. */
  #every(intervalMs: () => number, work: () => Promise<void>): void {
    const { clock } = this.#options;
    let last = clock.monotonic();
    const tick = async (): Promise<void> => {
      if (clock.monotonic() - last >= intervalMs()) {
        last = clock.monotonic();
        await work();
      }
      this.#after(Math.min(intervalMs(), Math.max(NOTICE_MS, intervalMs() / 100)), tick);
    };
    this.#after(Math.min(intervalMs(), NOTICE_MS), tick);
  }

  #after(ms: number, work: () => Promise<void>): void {
    if (this.#isClosed) return;
    const stop = this.#options.clock.after(ms, () => {
      this.#stops.delete(stop);
      void work().catch((error: unknown) => {
        this.#options.log.error('care for cooled data failed', { error: String(error) });
      });
    });
    this.#stops.add(stop);
  }
}
