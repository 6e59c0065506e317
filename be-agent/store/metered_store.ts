/** Counts what is asked of an object store, for metrics and for the demo's before and after. */
import type {
  BodySource,
  CallOptions,
  GetOptions,
  ObjectMeta,
  ObjectStore,
  PutOptions,
  UploadOptions,
} from '../../base/ports.ts';

interface OperationCounts {
  /** Calls of the port (`list`: pages); retries inside the store are not seen here. */
  requests: number;
  /** Bytes of bodies that arrived or were stored. */
  bytes: number;
  errors: number;
}

/** Counts since the store was wrapped; only `inFlight` goes down. */
export interface StoreCounts {
  readonly get: Readonly<OperationCounts>;
  readonly put: Readonly<OperationCounts>;
  readonly head: Readonly<OperationCounts>;
  readonly list: Readonly<OperationCounts>;
  readonly delete: Readonly<OperationCounts>;
  readonly inFlight: number;
}

type Operation = Exclude<keyof StoreCounts, 'inFlight'>;

const none = (): OperationCounts => ({ requests: 0, bytes: 0, errors: 0 });

export class MeteredStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #counts: Record<Operation, OperationCounts> = {
    get: none(),
    put: none(),
    head: none(),
    list: none(),
    delete: none(),
  };
  #inFlight = 0;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  get url(): string {
    return this.#inner.url;
  }

  /** A copy. */
  counts(): StoreCounts {
    const { get, put, head, list, delete: deletes } = this.#counts;
    return {
      get: { ...get },
      put: { ...put },
      head: { ...head },
      list: { ...list },
      delete: { ...deletes },
      inFlight: this.#inFlight,
    };
  }

  async get(key: string, options?: GetOptions): Promise<Uint8Array> {
    return await this.#counted(
      'get',
      async () => await this.#inner.get(key, options),
      (body) => body.byteLength,
    );
  }

  async head(key: string, options?: CallOptions): Promise<ObjectMeta | undefined> {
    return await this.#counted('head', async () => await this.#inner.head(key, options));
  }

  async put(
    key: string,
    body: Uint8Array,
    options?: PutOptions,
  ): Promise<{ readonly etag: string }> {
    return await this.#counted(
      'put',
      async () => await this.#inner.put(key, body, options),
      () => body.byteLength,
    );
  }

  /** Counted as one `put`. */
  async upload(
    key: string,
    source: BodySource,
    options?: UploadOptions,
  ): Promise<{ readonly etag: string }> {
    return await this.#counted(
      'put',
      async () => await this.#inner.upload(key, source, options),
      () => source.size,
    );
  }

  async *list(prefix: string, options?: CallOptions): AsyncGenerator<readonly ObjectMeta[]> {
    const pages = this.#inner.list(prefix, options)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#counted('list', async () => await pages.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await pages.return?.();
    }
  }

  async delete(keys: readonly string[], options?: CallOptions): Promise<void> {
    await this.#counted('delete', async () => {
      await this.#inner.delete(keys, options);
    });
  }

  async discardUploads(
    prefix: string,
    beganBeforeMs: number,
    options?: CallOptions,
  ): Promise<number> {
    const discard = this.#inner.discardUploads?.bind(this.#inner);
    if (discard === undefined) return 0;
    return await this.#counted('list', async () => await discard(prefix, beganBeforeMs, options));
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  async #counted<T>(
    operation: Operation,
    call: () => Promise<T>,
    bytesOf: (result: T) => number = () => 0,
  ): Promise<T> {
    const counts = this.#counts[operation];
    counts.requests += 1;
    this.#inFlight += 1;
    try {
      const result = await call();
      counts.bytes += bytesOf(result);
      return result;
    } catch (error) {
      counts.errors += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
    }
  }
}
