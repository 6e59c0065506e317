/**
 * Which backend writes which load that it has begun (stream loads). One that was started again
 * knows nothing of what it wrote before: the load is over, and its label is free for the client
 * who tries again. Memory only: what ran when the server ended is aborted by its next start.
 */
import type { BackendId, TxnId } from '../base/ids.ts';
import type { BackendRegistry } from './backend_registry.ts';

interface Writer {
  readonly backendId: BackendId;
  /** The life of the backend that began it; undefined: none was known. */
  readonly incarnation: string | undefined;
}

export class LoadWriters {
  readonly #registry: Pick<BackendRegistry, 'status'>;
  readonly #writers = new Map<TxnId, Writer>();

  constructor(registry: Pick<BackendRegistry, 'status'>) {
    this.#registry = registry;
  }

  begun(txnId: TxnId, backendId: BackendId): void {
    const { incarnation } = this.#registry.status(backendId) ?? {};
    this.#writers.set(txnId, { backendId, incarnation });
  }

  ended(txnId: TxnId): void {
    this.#writers.delete(txnId);
  }

  /** Loads whose backend lives another life by now; each is named once. */
  lost(): readonly TxnId[] {
    const lost: TxnId[] = [];
    for (const [txnId, { backendId, incarnation }] of this.#writers) {
      const now = this.#registry.status(backendId)?.incarnation;
      // A backend that is silent may still come back and commit.
      if (now === undefined || incarnation === undefined || now === incarnation) continue;
      this.#writers.delete(txnId);
      lost.push(txnId);
    }
    return lost;
  }
}
