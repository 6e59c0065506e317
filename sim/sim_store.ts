/**
 * The object store as the backends see it: one bucket for all, and for each life of an agent a
 * view of its own, with latency, slowness and errors under virtual time.
 */
import { ObjectStoreError } from '../base/ports.ts';
import type {
  BodySource,
  CallOptions,
  GetOptions,
  ObjectMeta,
  ObjectStore,
  PutOptions,
  UploadOptions,
} from '../base/ports.ts';
import { pieces } from '../be-agent/store/body_pieces.ts';
import { AttemptError, pause, throwIfAborted, withRetries } from '../be-agent/store/retry.ts';
import type { StoreDeps } from '../be-agent/store/retry.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { SimProcess } from './virtual_time.ts';

/** Probabilities per attempt; may be changed while the run goes on. */
export interface StoreFaults {
  unavailable: number;
  /** The call is carried out and its answer is lost. */
  replyLost: number;
  truncated: number;
  slow: number;
  /** Mean of what a slow attempt takes more, milliseconds. */
  slowMs: number;
  /** Mean latency of an attempt, milliseconds. */
  latencyMs: number;
  /** Bytes a millisecond of one transfer. */
  bytesPerMs: number;
}

export class SimBucket {
  readonly faults: StoreFaults;
  readonly objects = new Map<string, { readonly body: Uint8Array; readonly meta: ObjectMeta }>();
  versions = 0;

  constructor(faults: StoreFaults) {
    this.faults = faults;
  }
}

export interface StoreViewOptions {
  readonly bucket: SimBucket;
  readonly process: SimProcess;
  readonly random: SeededRandom;
  readonly retries: number;
  /** Called when a get begins, before its latency. */
  readonly onGet: (key: string) => void;
}

export class SimStoreView implements ObjectStore {
  readonly url = 'sim://bucket';
  readonly #options: StoreViewOptions;
  readonly #deps: StoreDeps;

  constructor(options: StoreViewOptions) {
    this.#options = options;
    const { process, random, retries } = options;
    this.#deps = { clock: process.clock, random, limits: () => ({ retries, timeoutMs: 30_000 }) };
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const { bucket, random, onGet } = this.#options;
    const { offset = 0, length, into, signal } = options;
    onGet(key);
    return await this.#retried(key, signal, length ?? 0, () => {
      const stored = bucket.objects.get(key);
      if (stored === undefined) throw this.#error('NOT_FOUND', key, 'no such object');
      if (offset >= stored.body.length && offset > 0) {
        throw this.#error('RANGE', key, 'the range is beyond the end');
      }
      const source = stored.body.subarray(
        offset,
        length === undefined ? undefined : offset + length,
      );
      if (random.chance(bucket.faults.truncated)) {
        throw this.#error('TRUNCATED', key, 'the body ended early');
      }
      if (into === undefined) return source.slice();
      into.set(source);
      return into.subarray(0, source.length);
    });
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectMeta | undefined> {
    const { objects } = this.#options.bucket;
    return await this.#retried(key, options.signal, 0, () => objects.get(key)?.meta);
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    const { bucket } = this.#options;
    return await this.#retried(key, options.signal, body.length, () => {
      const current = bucket.objects.get(key)?.meta.etag;
      const exists = options.ifNoneMatch !== undefined && current !== undefined;
      if (exists || (options.ifMatch !== undefined && options.ifMatch !== current)) {
        throw this.#error('PRECONDITION', key, 'the condition does not hold');
      }
      bucket.versions += 1;
      const etag = `v${bucket.versions}`;
      const modifiedMs = this.#deps.clock.now();
      bucket.objects.set(key, { body, meta: { key, size: body.length, etag, modifiedMs } });
      return { etag };
    });
  }

  async upload(
    key: string,
    source: BodySource,
    options: UploadOptions = {},
  ): Promise<{ etag: string }> {
    const body: Uint8Array[] = [];
    for await (const piece of pieces(source, key, options.signal)) body.push(piece.slice());
    source.check?.();
    return await this.put(key, Buffer.concat(body), options);
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<readonly ObjectMeta[]> {
    const { objects } = this.#options.bucket;
    const page = await this.#retried(prefix, options.signal, 0, () =>
      [...objects.values()]
        .map((stored) => stored.meta)
        .filter((meta) => meta.key.startsWith(prefix))
        .sort((a, b) => (a.key < b.key ? -1 : 1)),
    );
    if (page.length > 0) yield page;
  }

  async delete(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    const { objects } = this.#options.bucket;
    await this.#retried(keys[0] ?? '', options.signal, 0, () => {
      for (const key of keys) objects.delete(key);
    });
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  async #retried<T>(
    key: string,
    signal: AbortSignal | undefined,
    bytes: number,
    act: () => T,
  ): Promise<T> {
    return await withRetries(
      this.#deps,
      key,
      signal,
      async () => await this.#attempt(key, signal, bytes, act),
    );
  }

  async #attempt<T>(
    key: string,
    signal: AbortSignal | undefined,
    bytes: number,
    act: () => T,
  ): Promise<T> {
    const { bucket, random } = this.#options;
    const { faults } = bucket;
    const extra = random.chance(faults.slow) ? random.around(faults.slowMs) : 0;
    const ms = random.around(faults.latencyMs) + bytes / faults.bytesPerMs + extra;
    await pause(this.#deps, key, ms, signal);
    throwIfAborted(key, signal);
    if (random.chance(faults.unavailable)) {
      throw new AttemptError('UNAVAILABLE', key, `${this.url}: 503`, { harmless: true });
    }
    const result = act();
    if (random.chance(faults.replyLost)) throw this.#error('UNAVAILABLE', key, 'no answer');
    return result;
  }

  #error(kind: ObjectStoreError['kind'], key: string, what: string): ObjectStoreError {
    return new ObjectStoreError(kind, key, `${this.url}: ${what}: '${key}'`);
  }
}
