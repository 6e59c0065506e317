/**
 * The bucket as one life of a backend sees it: a call takes time to get there and back. What was
 * sent arrives even when the sender is dead or hangs by then; the answer reaches only the living.
 */
import {
  type BodySource,
  type CallOptions,
  type GetOptions,
  type ObjectMeta,
  type ObjectStore,
  ObjectStoreError,
  type ObjectStoreErrorKind,
  type PutOptions,
  type UploadOptions,
} from '../../base/ports.ts';
import {
  checkKey,
  checkPrefix,
  checkRange,
  compareKeys,
  rangeBytes,
} from '../../be-agent/store/object_key.ts';
import {
  AttemptError,
  type StoreDeps,
  abortedError,
  withRetries,
} from '../../be-agent/store/retry.ts';
import type { SeededRandom } from '../seeded_random.ts';
import type { SimProcess, VirtualTime } from '../virtual_time.ts';
import { START_MS } from '../virtual_time.ts';
import type { Actor, Bucket, BucketCall, Fate } from './bucket.ts';

export interface BucketViewDeps {
  readonly bucket: Bucket;
  readonly time: VirtualTime;
  readonly process: SimProcess;
  readonly actor: Actor;
  readonly random: SeededRandom;
  readonly retries: number;
  /** How long one way takes, milliseconds. */
  readonly latencyMs: () => number;
  /** Called when the call arrives. */
  readonly fate: (call: BucketCall) => Fate;
  readonly note: (text: string) => void;
}

/** How long a caller waits for an answer that does not come, milliseconds. */
const SILENCE_MS = 3000;

/** Fates that change nothing are the same for calls that only read. */
type Act = (isHalf: boolean) => unknown;

interface How {
  readonly conditional?: boolean;
  /** What it does beside its name and key. */
  readonly detail?: unknown;
}

export class BucketView implements ObjectStore {
  readonly url = 'sim://bucket';
  readonly #deps: BucketViewDeps;
  readonly #store: StoreDeps;

  constructor(deps: BucketViewDeps) {
    this.#deps = deps;
    const { process, random, retries } = deps;
    this.#store = { clock: process.clock, random, limits: () => ({ retries, timeoutMs: 30_000 }) };
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const range = checkRange(options);
    const act = (): unknown => {
      const stored = this.#deps.bucket.objects.get(key);
      if (stored === undefined) throw this.#error('NOT_FOUND', key, 'no such object');
      const count = rangeBytes(range, stored.meta.size);
      if (count === undefined) throw this.#error('RANGE', key, 'the range is beyond the end');
      const source = stored.body.slice(range.offset, range.offset + count);
      if (options.into === undefined) return source;
      options.into.set(source);
      return options.into.subarray(0, count);
    };
    return (await this.#call('get', key, options, act, { detail: range })) as Uint8Array;
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectMeta | undefined> {
    checkKey(key);
    const found = await this.#call('head', key, options, () => [
      this.#deps.bucket.objects.get(key)?.meta,
    ]);
    return (found as readonly [ObjectMeta | undefined])[0];
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    checkKey(key);
    const conditional = options.ifMatch !== undefined || options.ifNoneMatch !== undefined;
    const { bucket, actor } = this.#deps;
    if (conditional && !bucket.hasConditions) {
      throw this.#error('UNSUPPORTED', key, 'it has no conditional writes');
    }
    const copy = body.slice();
    const act = (isHalf: boolean): unknown => {
      const { time } = this.#deps;
      const nowMs = Math.floor(START_MS + time.nowMs);
      const result = bucket.put(time.nowMs, nowMs, { actor, key }, copy, { options, isHalf });
      if (result === 'PRECONDITION') {
        throw this.#error('PRECONDITION', key, 'the condition does not hold');
      }
      return result;
    };
    const detail = [copy, options.ifMatch, options.ifNoneMatch];
    const how = { conditional, detail };
    return (await this.#call('put', key, options, act, how)) as { etag: string };
  }

  /** As one put, without the condition: a store that cannot keep it for large bodies. */
  async upload(
    key: string,
    source: BodySource,
    options: UploadOptions = {},
  ): Promise<{ etag: string }> {
    const body = await wholeOf(source);
    const { signal } = options;
    return await this.put(key, body, signal === undefined ? {} : { signal });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<readonly ObjectMeta[]> {
    checkPrefix(prefix);
    const page = (await this.#call('list', prefix, options, () =>
      [...this.#deps.bucket.objects.values()]
        .map((stored) => stored.meta)
        .filter((meta) => meta.key.startsWith(prefix))
        .sort((a, b) => compareKeys(a.key, b.key)),
    )) as readonly ObjectMeta[];
    if (page.length > 0) yield page;
  }

  async delete(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    if (keys.length === 0) return;
    const { bucket, actor } = this.#deps;
    const all = [...keys];
    const act = (): void => {
      bucket.delete(this.#deps.time.nowMs, actor, all);
    };
    await this.#call('delete', all[0] ?? '', options, act, { detail: all });
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  async #call(
    name: BucketCall['name'],
    key: string,
    { signal }: CallOptions,
    act: Act,
    { conditional = false, detail }: How = {},
  ): Promise<unknown> {
    const { actor, bucket } = this.#deps;
    const call: BucketCall = { name, key, conditional, actor };
    bucket.began(call);
    return await withRetries(
      this.#store,
      key,
      signal,
      async () => await this.#attempt(call, act, signal, detail),
      (error) => (conditional ? error instanceof AttemptError && error.harmless : error.transient),
    );
  }

  /** There, done or not, and back. */
  async #attempt(
    call: BucketCall,
    act: Act,
    signal: AbortSignal | undefined,
    detail: unknown,
  ): Promise<unknown> {
    const { process, time, latencyMs } = this.#deps;
    const sent = process.begins({ call, detail });
    if (process.isDead) return await new Promise<never>(() => undefined);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const what = `${call.name} ${call.key}`;
    const onAbort = (): void => {
      if (signal !== undefined) reject(abortedError(call.key, signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const arrive = (): void => {
      const answer = this.#answer(call, act);
      const come = (): void => {
        signal?.removeEventListener('abort', onAbort);
        if (answer.ok) resolve(answer.value);
        else reject(answer.error);
      };
      const said = { ...sent, content: answer.ok ? answer : String(answer.error) };
      const backMs = latencyMs() + (answer.silent ? SILENCE_MS : 0);
      process.schedule(backMs, `answer of ${what}`, come, said);
    };
    const label = `${process.name} ${what} arrives`;
    time.schedule(latencyMs(), label, arrive, undefined, sent);
    return await promise;
  }

  #answer(call: BucketCall, act: Act): Answer {
    const fate = this.#deps.fate(call);
    const told = `${this.#deps.actor.name} ${call.name} ${call.key}`;
    if (fate !== 'ok') this.#deps.note(`${told}: ${fate}`);
    const harmless = { harmless: true };
    switch (fate) {
      case '5xx':
        return failed(new AttemptError('UNAVAILABLE', call.key, `${this.url}: 503`, harmless));
      case '409':
        return failed(new AttemptError('UNAVAILABLE', call.key, `${this.url}: 409`, harmless));
      case 'not-applied':
        return { ...failed(this.#silence(call)), silent: true };
      case 'ok':
      case 'half-written':
      case 'reply-lost':
      case '412-own':
        break;
    }
    const done = this.#done(act, fate === 'half-written');
    if (call.name !== 'get' && call.name !== 'head') {
      const problem = done.ok ? 'ok' : done.error.kind;
      this.#deps.note(`${told}: ${problem}`);
    }
    if (fate === 'reply-lost') return { ...failed(this.#silence(call)), silent: true };
    if (fate === '412-own' && done.ok) {
      return failed(this.#error('PRECONDITION', call.key, 'the condition does not hold'));
    }
    return done;
  }

  #done(act: Act, isHalf: boolean): Answer {
    try {
      return { ok: true, value: act(isHalf), silent: false };
    } catch (error) {
      if (error instanceof ObjectStoreError) return failed(error);
      throw error;
    }
  }

  #silence({ key, conditional }: BucketCall): ObjectStoreError {
    return this.#error(conditional ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE', key, 'no answer');
  }

  #error(kind: ObjectStoreErrorKind, key: string, what: string): ObjectStoreError {
    return new ObjectStoreError(kind, key, `${this.url}: ${what}: '${key}'`);
  }
}

/** Read in two pieces: neither is all of it. */
export async function wholeOf(source: BodySource): Promise<Uint8Array> {
  const body = new Uint8Array(source.size);
  const first = Math.max(1, source.size >> 1);
  for (let at = 0; at < source.size;) {
    const piece = await source.read(at, at === 0 ? first : source.size - at);
    body.set(piece, at);
    at += piece.length;
  }
  source.check?.();
  return body;
}

type Answer =
  | { readonly ok: true; readonly value: unknown; readonly silent: boolean }
  | { readonly ok: false; readonly error: ObjectStoreError; readonly silent: boolean };

function failed(error: ObjectStoreError): Answer {
  return { ok: false, error, silent: false };
}
