/** How much was asked of target groups and done, since the server started: for `/metrics`. */
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';

/** Names of target groups kept; of dropped groups only as long as there is room. */
const GROUPS_MAX = 1000;

export interface TargetCounts {
  /** Runs that started. */
  readonly execs: number;
  /** Tablets planned for these runs. */
  readonly requestedTablets: number;
  /** Tablets that are wholly in the cache because of them, or were. */
  readonly finishedTablets: number;
}

const NOTHING: TargetCounts = { execs: 0, requestedTablets: 0, finishedTablets: 0 };

export class WarmUpCounts {
  readonly #targets = new Map<string, TargetCounts>();

  /** By name of the target group. */
  get targets(): ReadonlyMap<string, TargetCounts> {
    return this.#targets;
  }

  /** After the commit of every transition. */
  changed(before: WarmUpJob, after: WarmUpJob): void {
    const isStart = before.state !== 'RUNNING' && after.state === 'RUNNING';
    // What goes on again under the next number was counted when it started.
    const isPlanned = isStart && after.doneTablets === 0;
    const done = isStart ? 0 : Math.max(0, after.doneTablets - before.doneTablets);
    if (!isStart && done === 0) return;
    const { dstGroup, allTablets } = after;
    const now = this.#targets.get(dstGroup) ?? NOTHING;
    this.#targets.delete(dstGroup);
    this.#targets.set(dstGroup, {
      execs: now.execs + (isStart ? 1 : 0),
      requestedTablets: now.requestedTablets + (isPlanned ? allTablets : 0),
      finishedTablets: now.finishedTablets + done,
    });
    const quietest = this.#targets.size > GROUPS_MAX ? this.#targets.keys().next() : undefined;
    if (quietest?.done === false) this.#targets.delete(quietest.value);
  }
}
