/**
 * What became of transactions that have prepared rowsets here: told by the server after a commit,
 * asked when the message does not come. Nothing prepared stays for ever without an answer.
 */
import type { FrontendPort } from '../../base/agent_messages.ts';
import type { TxnId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { TxnOutcome } from '../../base/replica.ts';
import type { LocalGarbage, ReplicaStore } from './replica_store.ts';

/** Milliseconds that a prepared rowset waits for the server's word before its backend asks. */
const ASK_AFTER_MS = 5000;
const CALL_TIMEOUT_MS = 10_000;
/** Transactions of one question. */
const TXNS_MAX = 1000;

export interface TxnQuestionsDeps {
  readonly store: ReplicaStore;
  readonly frontend: FrontendPort;
  readonly clock: Clock;
  readonly log: Log;
  readonly deleteFiles: (files: readonly LocalGarbage[]) => Promise<void>;
}

export class TxnQuestions {
  readonly #deps: TxnQuestionsDeps;
  /** When it was first seen here, monotonic milliseconds. */
  readonly #seenMs = new Map<TxnId, number>();
  #stopTimer: () => void = () => undefined;
  #isClosed = false;

  constructor(deps: TxnQuestionsDeps) {
    this.#deps = deps;
  }

  /** Asks for everything that is prepared now, and goes on asking. */
  start(): void {
    void this.#tick(true);
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
  }

  /** Idempotent. Files that are of no use any more are deleted on the way. */
  settle(outcomes: readonly TxnOutcome[]): void {
    const { store, deleteFiles } = this.#deps;
    const files = outcomes.flatMap((outcome) => store.settle(outcome));
    if (files.length > 0) void deleteFiles(files);
  }

  /** Asks now. Throws when the server does not answer. */
  async ask(txnIds: readonly TxnId[], signal?: AbortSignal): Promise<void> {
    const options = { timeoutMs: CALL_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    for (let from = 0; from < txnIds.length; from += TXNS_MAX) {
      const some = txnIds.slice(from, from + TXNS_MAX);
      const { txns } = await this.#deps.frontend.call('txnOutcomes', { txnIds: some }, options);
      if (this.#isClosed) return;
      this.settle(txns);
    }
  }

  async #tick(isStart: boolean): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      await this.ask(this.#late(isStart ? 0 : ASK_AFTER_MS));
    } catch (error) {
      if (!this.#isClosed) {
        log.warn('what became of loads could not be asked', { error: String(error) });
      }
    }
    if (this.#isClosed) return;
    this.#stopTimer = clock.after(ASK_AFTER_MS, () => {
      void this.#tick(false);
    });
  }

  /** Transactions that have waited for that long. */
  #late(waitMs: number): TxnId[] {
    const now = this.#deps.clock.monotonic();
    const open = new Set(this.#deps.store.openTxns());
    for (const txnId of this.#seenMs.keys()) if (!open.has(txnId)) this.#seenMs.delete(txnId);
    for (const txnId of open) if (!this.#seenMs.has(txnId)) this.#seenMs.set(txnId, now);
    return [...this.#seenMs].filter(([, ms]) => now - ms >= waitMs).map(([txnId]) => txnId);
  }
}
