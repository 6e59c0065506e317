/** Tells those who wait for new rowsets, right after the commit that made them visible. */
import type { BackendId, TableId, TxnId } from '../base/ids.ts';
import type { RowsetEventKind } from './rows.ts';

/** Rowsets that a transaction makes visible. */
export interface NewRowsetEvent {
  /** Name, at the commit, of the compute group whose backend wrote them; empty: no event. */
  readonly sourceGroup: string;
  /** Of the rowset rows; taken from the catalog's ids in the transaction that publishes them. */
  readonly txnId: TxnId;
  readonly tableId: TableId;
  readonly kind: RowsetEventKind;
  /** How many rowsets became visible. */
  readonly rowsets: number;
  /** Their sum. */
  readonly bytes: number;
  /** The backend that wrote them, when one did: it counts what its work set off. */
  readonly writer?: BackendId;
}

/** A commit made rowsets visible. */
export interface NewRowsets extends NewRowsetEvent {
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
