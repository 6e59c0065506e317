/**
 * A load runs once: a request that comes again joins the one that runs, and is refused when it has
 * ended. Two runs of one transaction would give the same rows other rowset ids.
 */
import type { LoadOutcome } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { TxnId } from '../../base/ids.ts';

/** Loads that are remembered after their end. */
const ENDED_MAX = 10_000;

export class RunningLoads {
  readonly #running = new Map<TxnId, Promise<LoadOutcome>>();
  readonly #ended = new Set<TxnId>();

  /** Throws LOAD_FAILED when it has ended, or what `load` throws. */
  async run(txnId: TxnId, load: () => Promise<LoadOutcome>): Promise<LoadOutcome> {
    const known = this.#running.get(txnId);
    if (known !== undefined) return await known;
    if (this.#ended.has(txnId)) {
      throw new SqlError('LOAD_FAILED', { why: `transaction ${txnId} has been loaded before` });
    }
    const running = load().finally(() => {
      this.#running.delete(txnId);
      this.#remember(txnId);
    });
    this.#running.set(txnId, running);
    return await running;
  }

  #remember(txnId: TxnId): void {
    this.#ended.add(txnId);
    if (this.#ended.size <= ENDED_MAX) return;
    const [oldest] = this.#ended;
    if (oldest !== undefined) this.#ended.delete(oldest);
  }
}
