/**
 * An object store in memory, with faults on demand: for tests and for the simulator. It keeps the
 * port's rules to the letter; what S3 servers get wrong is not imitated here.
 */
import { ObjectStoreError } from '../../base/ports.ts';
import type {
  BodySource,
  CallOptions,
  GetOptions,
  ObjectMeta,
  ObjectStore,
  PutOptions,
  UploadOptions,
} from '../../base/ports.ts';
import { pieces } from './body_pieces.ts';
import {
  LIST_PAGE_KEYS,
  checkKey,
  checkPrefix,
  checkRange,
  checkRoom,
  compareKeys,
  rangeBytes,
} from './object_key.ts';
import { AttemptError, pause, throwIfAborted, withRetries } from './retry.ts';
import type { StoreDeps } from './retry.ts';

/** Faults in 1/1000 of the attempts (also of retries); all 0 by default. */
export interface MemoryFaults {
  /** 503 before anything is done. */
  unavailable: number;
  /** 429 before anything is done. */
  throttled: number;
  /** The call is carried out and its answer is lost. */
  lostReply: number;
  /** A get's body ends early. */
  truncated: number;
  /** An attempt takes `slowMs` by the clock. */
  slow: number;
  /** milliseconds */
  slowMs: number;
  /** Whether the bucket is gone: every call fails with BUCKET_MISSING. */
  bucketMissing: boolean;
}

interface Stored {
  readonly body: Uint8Array;
  readonly meta: ObjectMeta;
}

export class MemoryStore implements ObjectStore {
  readonly url: string;
  /** May be changed at any time. */
  readonly faults: MemoryFaults = {
    unavailable: 0,
    throttled: 0,
    lostReply: 0,
    truncated: 0,
    slow: 0,
    slowMs: 100,
    bucketMissing: false,
  };
  readonly #deps: StoreDeps;
  readonly #objects = new Map<string, Stored>();
  #versions = 0;

  constructor(deps: StoreDeps, name = 'memory') {
    this.#deps = deps;
    this.url = name;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const range = checkRange(options);
    const { signal, into } = options;
    return await this.#retried('get', key, signal, () => {
      const stored = this.#objects.get(key);
      if (stored === undefined) throw this.#error('NOT_FOUND', key, 'get: no such object');
      const count = rangeBytes(range, stored.meta.size);
      if (count === undefined) {
        throw this.#error('RANGE', key, `get: ${range.offset} is beyond the end`);
      }
      if (into !== undefined) checkRoom(into, count);
      const source = stored.body.subarray(range.offset, range.offset + count);
      const target = into?.subarray(0, count) ?? new Uint8Array(count);
      target.set(source);
      if (this.#chance(this.faults.truncated)) {
        throw this.#error('TRUNCATED', key, 'get: the body ended early');
      }
      return target;
    });
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectMeta | undefined> {
    checkKey(key);
    return await this.#retried('head', key, options.signal, () => this.#objects.get(key)?.meta);
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    checkKey(key);
    const { ifMatch, ifNoneMatch } = options;
    const conditional = ifMatch !== undefined || ifNoneMatch !== undefined;
    return await this.#store('put', key, body, options, conditional);
  }

  async upload(
    key: string,
    source: BodySource,
    options: UploadOptions = {},
  ): Promise<{ etag: string }> {
    checkKey(key);
    throwIfAborted(key, options.signal);
    const body = new Uint8Array(source.size);
    let at = 0;
    for await (const piece of pieces(source, key, options.signal)) {
      body.set(piece, at);
      at += piece.byteLength;
    }
    source.check?.();
    return await this.#store('upload', key, body, options, true);
  }

  async #store(
    operation: string,
    key: string,
    body: Uint8Array,
    { ifMatch, ifNoneMatch, signal }: PutOptions,
    conditional: boolean,
  ): Promise<{ etag: string }> {
    const attempt = (): { etag: string } => {
      const current = this.#objects.get(key)?.meta.etag;
      if (ifNoneMatch !== undefined && current !== undefined) {
        throw this.#error('PRECONDITION', key, 'put: the object exists already');
      }
      if (ifMatch !== undefined && current !== ifMatch) {
        throw this.#error('PRECONDITION', key, 'put: the object is another version');
      }
      this.#versions += 1;
      const etag = `v${this.#versions}`;
      const modifiedMs = this.#deps.clock.now();
      this.#objects.set(key, {
        body: body.slice(),
        meta: { key, size: body.byteLength, etag, modifiedMs },
      });
      return { etag };
    };
    return await this.#retried(operation, key, signal, attempt, conditional);
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<readonly ObjectMeta[]> {
    checkPrefix(prefix);
    let after: string | undefined;
    for (;;) {
      const last = after;
      const page = await this.#retried('list', prefix, options.signal, () =>
        [...this.#objects.values()]
          .map((stored) => stored.meta)
          .filter((meta) => meta.key.startsWith(prefix))
          .filter((meta) => last === undefined || compareKeys(meta.key, last) > 0)
          .sort((a, b) => compareKeys(a.key, b.key))
          .slice(0, LIST_PAGE_KEYS),
      );
      if (page.length > 0) yield page;
      if (page.length < LIST_PAGE_KEYS) return;
      after = page.at(-1)?.key;
    }
  }

  async delete(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    await this.#retried('delete', keys[0] ?? '', options.signal, () => {
      for (const key of keys) this.#objects.delete(key);
    });
  }

  async close(): Promise<void> {
    // The objects stay: a simulated restart opens the same store again.
  }

  /** For assertions: what is stored, in key order. */
  keys(): string[] {
    return [...this.#objects.keys()].sort(compareKeys);
  }

  async #retried<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    act: () => T,
    conditional = false,
  ): Promise<T> {
    return await withRetries(
      this.#deps,
      key,
      signal,
      async () => await this.#attempt(operation, key, signal, act, conditional),
      (error) => (conditional ? error instanceof AttemptError && error.harmless : error.transient),
    );
  }

  async #attempt<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    act: () => T,
    conditional: boolean,
  ): Promise<T> {
    const { faults } = this;
    if (this.#chance(faults.slow)) await pause(this.#deps, key, faults.slowMs, signal);
    throwIfAborted(key, signal);
    if (faults.bucketMissing) {
      throw this.#error('BUCKET_MISSING', key, `${operation}: the bucket does not exist`);
    }
    const harmless = { harmless: true };
    if (this.#chance(faults.throttled)) {
      throw new AttemptError('THROTTLED', key, `${this.url}: ${operation}: 429`, harmless);
    }
    if (this.#chance(faults.unavailable)) {
      throw new AttemptError('UNAVAILABLE', key, `${this.url}: ${operation}: 503`, harmless);
    }
    const result = act();
    if (this.#chance(faults.lostReply)) {
      const kind = conditional ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE';
      throw this.#error(kind, key, `${operation}: the answer was lost`);
    }
    return result;
  }

  #chance(perMille: number): boolean {
    return perMille > 0 && this.#deps.random.int(1000) < perMille;
  }

  #error(kind: ObjectStoreError['kind'], key: string, what: string): ObjectStoreError {
    return new ObjectStoreError(kind, key, `${this.url}: ${what}: '${key}'`);
  }
}
