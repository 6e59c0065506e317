/**
 * A bucket, or a part of one, as object store. GET, HEAD and PUT go over s3_http.ts; listing and
 * deleting, which are rare, over the SDK, which is loaded when it is first needed (it costs
 * hundreds of milliseconds of a start).
 */
import { createHash } from 'node:crypto';
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
import type { S3StoreSpec } from '../../base/schema.ts';
import { pieces } from './body_pieces.ts';
import { checkKey, checkPrefix, checkRange, checkRoom } from './object_key.ts';
import type { Range } from './object_key.ts';
import { AttemptError, throwIfAborted, withRetries } from './retry.ts';
import type { StoreDeps } from './retry.ts';
import { S3Control } from './s3_control.ts';
import { callText } from './s3_errors.ts';
import type { S3Call } from './s3_errors.ts';
import { S3Http } from './s3_http.ts';
import type { S3Answer } from './s3_http.ts';

/** How an etag stands in If-Match: the standard's form, or what Ceph before Reef wants. */
type EtagForm = 'quoted' | 'bare';

export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #deps: StoreDeps;
  readonly #http: S3Http;
  readonly #control: S3Control;
  /** The form that this server has accepted; undefined until one was. */
  #etagForm: EtagForm | undefined;

  /** Opens no connection. Throws TypeError when the endpoint is no URL. */
  constructor(spec: S3StoreSpec, given: StoreDeps) {
    const deps = limitedDeps(spec, given);
    this.#deps = deps;
    this.#http = new S3Http(spec, deps);
    this.#control = new S3Control(spec, deps, this.#http);
    this.url = this.#http.url;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const range = checkRange(options);
    const { signal, into } = options;
    const call = this.#http.call('get', key);
    return await withRetries(this.#deps, key, signal, async () => {
      let body = new Uint8Array(0);
      try {
        const headers = rangeHeader(range);
        await this.#http.send(call, { method: 'GET', key, headers, signal }, (answer) => {
          const count = bodyBytes(call, range, answer);
          if (into !== undefined) checkRoom(into, count);
          body = (into?.subarray(0, count) ?? new Uint8Array(count)) as typeof body;
          return body;
        });
      } catch (error) {
        // Only an empty object has no byte 0 (object_key.ts: it is empty when read from there).
        if (isKind(error, 'RANGE') && range.offset === 0) return body;
        throw error;
      }
      return body;
    });
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectMeta | undefined> {
    checkKey(key);
    const { signal } = options;
    const call = this.#http.call('head', key);
    return await withRetries(this.#deps, key, signal, async () => {
      try {
        const request = { method: 'HEAD', key, signal } as const;
        return metaOf(call, await this.#http.send(call, request, () => undefined));
      } catch (error) {
        if (!isKind(error, 'NOT_FOUND') && !isKind(error, 'ACCESS_DENIED')) throw error;
        return await this.#explainHead(call, error, signal);
      }
    });
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    checkKey(key);
    const { ifMatch, ifNoneMatch, signal } = options;
    if (ifMatch !== undefined) return await this.#compareAndSet(key, body, ifMatch, signal);
    if (ifNoneMatch === undefined) {
      return await withRetries(
        this.#deps,
        key,
        signal,
        async () => await this.#putOnce(key, body, {}, signal),
      );
    }
    return await this.#putConditional(key, body, { 'if-none-match': ifNoneMatch }, signal);
  }

  /**
   * A multipart upload, one part after the other, each tried again by itself. Of a retry the parts
   * that a crash has left are deleted: they cost and are in no listing.
   */
  async upload(
    key: string,
    source: BodySource,
    options: UploadOptions = {},
  ): Promise<{ etag: string }> {
    checkKey(key);
    const { signal } = options;
    throwIfAborted(key, signal);
    const uploadId = await this.#control.createMultipart(key, signal);
    try {
      if (options.isRetry === true) {
        // Not everybody may list uploads.
        await this.#control.abortOthers(key, uploadId, signal).catch(() => undefined);
      }
      const etags: string[] = [];
      for await (const body of pieces(source, key, signal)) {
        const query = { partNumber: String(etags.length + 1), uploadId };
        etags.push(await this.#putPart(key, query, body, signal));
      }
      source.check?.();
      await this.#complete(key, uploadId, etags, options);
      return { etag: multipartEtag(etags) };
    } catch (error) {
      // Also when the outcome is unknown: of a completed upload nothing is left to be aborted.
      await this.#control.abortMultipart(key, uploadId).catch(() => undefined);
      throw error;
    }
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<readonly ObjectMeta[]> {
    checkPrefix(prefix);
    yield* this.#control.list(prefix, options.signal);
  }

  async delete(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    await this.#control.delete(keys, options.signal);
  }

  async discardUploads(
    prefix: string,
    beganBeforeMs: number,
    options: CallOptions = {},
  ): Promise<number> {
    checkPrefix(prefix);
    return await this.#control.abortUploads(prefix, beganBeforeMs, options.signal);
  }

  async close(): Promise<void> {
    this.#control.close();
    await this.#http.close();
  }

  /**
   * The answer to a HEAD has no body and so no code: a GET of one byte tells a missing object from
   * a missing bucket, and a wrong key from a lack of rights.
   */
  async #explainHead(
    call: S3Call,
    answered: unknown,
    signal: AbortSignal | undefined,
  ): Promise<undefined> {
    const headers = { range: 'bytes=0-0' };
    const request = { method: 'GET', key: call.key, headers, signal } as const;
    try {
      await this.#http.send(call, request, () => undefined);
    } catch (error) {
      if (isKind(error, 'NOT_FOUND')) return undefined;
      if (!isKind(error, 'RANGE')) throw error;
    }
    // It is there now: it was put after the HEAD, to which "missing" was the right answer.
    if (isKind(answered, 'NOT_FOUND')) return undefined;
    throw answered;
  }

  /**
   * If-Match with the quoted etag, as the standard has it, then bare, which is what Ceph compares
   * with. The form that worked is kept. Both ask for the same version, so asking twice is safe.
   */
  async #compareAndSet(
    key: string,
    body: Uint8Array,
    etag: string,
    signal: AbortSignal | undefined,
  ): Promise<{ etag: string }> {
    const forms: readonly EtagForm[] =
      this.#etagForm === undefined ? ['quoted', 'bare'] : [this.#etagForm];
    let refused: unknown;
    for (const form of forms) {
      try {
        const header = { 'if-match': form === 'quoted' ? `"${etag}"` : etag };
        const result = await this.#putConditional(key, body, header, signal);
        this.#etagForm = form;
        return result;
      } catch (error) {
        // "No such object" to If-Match: the version is gone.
        if (isKind(error, 'NOT_FOUND')) throw this.#gone(key, error);
        if (!isKind(error, 'PRECONDITION')) throw error;
        refused = error;
      }
    }
    throw refused;
  }

  #gone(key: string, cause: unknown): ObjectStoreError {
    const text = callText(this.#http.call('put', key), 'the object is gone');
    return new ObjectStoreError('PRECONDITION', key, text, cause);
  }

  /** Sent again only after answers that say that nothing was done. */
  async #putConditional(
    key: string,
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<{ etag: string }> {
    try {
      return await withRetries(
        this.#deps,
        key,
        signal,
        async () => await this.#putOnce(key, body, headers, signal),
        isHarmless,
      );
    } catch (error) {
      if (!mayHaveHappened(error)) throw error;
      const call = this.#http.call('put', key);
      const text = callText(call, 'the outcome of the conditional put is unknown');
      throw new ObjectStoreError('UNKNOWN_OUTCOME', key, text, error);
    }
  }

  async #putPart(
    key: string,
    query: Readonly<Record<string, string>>,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const call = this.#http.call('upload', key);
    return await withRetries(this.#deps, key, signal, async () => {
      const request = { method: 'PUT', key, query, body, signal } as const;
      const answer = await this.#http.send(call, request, () => undefined);
      return bareEtag(answer.header('etag') ?? '');
    });
  }

  async #complete(
    key: string,
    uploadId: string,
    etags: readonly string[],
    { ifNoneMatch, signal }: UploadOptions,
  ): Promise<void> {
    const condition = ifNoneMatch === undefined ? {} : { ifNoneMatch };
    try {
      await this.#control.completeMultipart(key, uploadId, etags, { ...condition, signal });
    } catch (error) {
      if (!mayHaveHappened(error)) throw error;
      const call = this.#http.call('upload', key);
      const text = callText(call, 'the outcome of the completion is unknown');
      throw new ObjectStoreError('UNKNOWN_OUTCOME', key, text, error);
    }
  }

  async #putOnce(
    key: string,
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<{ etag: string }> {
    const call = this.#http.call('put', key);
    const request = { method: 'PUT', key, headers, body, signal } as const;
    const answer = await this.#http.send(call, request, () => undefined);
    return { etag: bareEtag(answer.header('etag') ?? '') };
  }
}

/** As S3 makes it; the answer to the completion has none on Ceph. */
function multipartEtag(parts: readonly string[]): string {
  const hash = createHash('md5');
  for (const part of parts) hash.update(Buffer.from(part, 'hex'));
  return `${hash.digest('hex')}-${parts.length}`;
}

function isKind(error: unknown, kind: ObjectStoreError['kind']): boolean {
  return error instanceof ObjectStoreError && error.kind === kind;
}

function isHarmless(error: ObjectStoreError): boolean {
  return error instanceof AttemptError && error.harmless;
}

function mayHaveHappened(error: unknown): boolean {
  if (!(error instanceof ObjectStoreError) || isHarmless(error)) return false;
  return error.kind === 'UNAVAILABLE' || error.kind === 'TRUNCATED';
}

function rangeHeader({ offset, length }: Range): Record<string, string> {
  if (offset === 0 && length === undefined) return {};
  return { range: `bytes=${offset}-${length === undefined ? '' : offset + length - 1}` };
}

/** Bytes that must come, after checking that it is the range asked for that comes. */
function bodyBytes(call: S3Call, range: Range, answer: S3Answer): number {
  const announced = Number(answer.header('content-length') ?? NaN);
  if (!Number.isSafeInteger(announced)) {
    throw new ObjectStoreError('UNSUPPORTED', call.key, callText(call, 'no Content-Length'));
  }
  const isRange = rangeHeader(range)['range'] !== undefined;
  if (!isRange) return announced;
  if (answer.status !== 206) {
    // Servers may answer with the whole object; that is right when the whole object was asked for.
    if (range.offset === 0 && announced <= (range.length ?? announced)) return announced;
    throw new ObjectStoreError('UNSUPPORTED', call.key, callText(call, 'Range was ignored'));
  }
  const place = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(answer.header('content-range') ?? '');
  const [, first, last, size] = place ?? [];
  const wanted = Math.min(range.length ?? Infinity, Number(size) - range.offset);
  const isRight =
    Number(first) === range.offset &&
    Number(last) - range.offset + 1 === announced &&
    (size === '*' || announced === wanted);
  if (!isRight) {
    throw new ObjectStoreError('TRUNCATED', call.key, callText(call, 'another range came'));
  }
  return announced;
}

function metaOf(call: S3Call, answer: S3Answer): ObjectMeta {
  const size = Number(answer.header('content-length') ?? NaN);
  if (!Number.isSafeInteger(size)) {
    throw new ObjectStoreError('UNSUPPORTED', call.key, callText(call, 'no Content-Length'));
  }
  const modified = Date.parse(answer.header('last-modified') ?? '');
  return {
    key: call.key,
    size,
    etag: bareEtag(answer.header('etag') ?? ''),
    modifiedMs: Number.isNaN(modified) ? 0 : modified,
  };
}

/** Without quotes and without the mark of weak ones. */
function bareEtag(etag: string): string {
  return etag.replace(/^W\//, '').replaceAll('"', '');
}

/** What the store's own limits say goes before the settings. */
function limitedDeps({ limits }: S3StoreSpec, deps: StoreDeps): StoreDeps {
  if (limits === undefined) return deps;
  const timeoutMs = limits.requestTimeoutMs;
  return { ...deps, limits: () => ({ ...deps.limits(), timeoutMs }) };
}
