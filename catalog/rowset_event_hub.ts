/** Tells those who wait for new rowsets, right after the commit that made them visible. */
import type { BackendId, TableId, TxnId } from '../base/ids.ts';
import type { RowsetEventKind } from './rows.ts';

/** A commit made rowsets visible. */
export interface NewRowsets {
  /** Compute group whose backend wrote them. */
  readonly sourceGroup: string;
  readonly txnId: TxnId;
  readonly tableId: TableId;
  readonly kind: RowsetEventKind;
  /** How many. */
  readonly rowsets: number;
  readonly bytes: number;
  readonly writer?: BackendId;
  /** Number of the event in the source's log; undefined: nobody listens, none was written. */
  readonly seq: number | undefined;
  /** `db.t`, at the commit; empty when nobody listens. */
  readonly tableName: string;
  /** Wall clock of the commit, milliseconds. */
  readonly atMs: number;
}

export class RowsetEventHub {
  readonly #listeners = new Set<(event: NewRowsets) => void>();

  /** Calls `fn`, which must not throw, after every commit until the returned function is called. */
  on(fn: (event: NewRowsets) => void): () => void {
    this.#listeners.add(fn);
    return () => {
      this.#listeners.delete(fn);
    };
  }

  notify(event: NewRowsets): void {
    for (const listener of this.#listeners) listener(event);
  }
}
