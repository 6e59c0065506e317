/**
 * The hot path to S3: signed requests on undici's dispatcher. Bodies go from the socket's buffer
 * straight to their place; the SDK costs 4-5 ms of CPU a request, this a fraction of it
 * (docs/adr/0004-object-stores.md).
 */
import { createHash, createHmac } from 'node:crypto';
import type { Hash, Hmac } from 'node:crypto';
import { Readable } from 'node:stream';
import { SignatureV4 } from '@smithy/signature-v4';
import { Pool } from 'undici';
import type { Dispatcher } from 'undici';
import { ObjectStoreError } from '../../base/ports.ts';
import type { S3StoreSpec } from '../../base/schema.ts';
import { abortedError } from './retry.ts';
import type { StoreDeps } from './retry.ts';
import { reusedReads } from './reused_reads.ts';
import { callText, connectionError, parseErrorBody, s3Error } from './s3_errors.ts';
import type { S3Call } from './s3_errors.ts';

/** Sockets of one store at most; further requests wait for one. */
const CONNECTIONS_MAX = 64;
export const CONNECT_TIMEOUT_MS = 10_000;
/** Much of an error's body we look at, bytes. */
const ERROR_BODY_MAX = 64 * 1024;
/** A body is handed to the socket in pieces, so that a slow upload is seen to make progress. */
const BODY_SLICE_BYTES = 256 * 1024;
const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal | undefined;
}

export interface S3Answer {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
}

/**
 * Says where the body of a good answer goes, exactly as long as it must be; undefined: it is of no
 * interest. It may throw, which ends the request.
 */
export type BodyTarget = (answer: S3Answer) => Uint8Array | undefined;

export class S3Http {
  readonly url: string;
  readonly #spec: S3StoreSpec;
  readonly #deps: StoreDeps;
  readonly #pool: Pool;
  readonly #signer: SignatureV4;
  readonly #host: string;
  readonly #isTls: boolean;
  /** Path of the bucket, without `/` at the end. */
  readonly #path: string;

  constructor(spec: S3StoreSpec, deps: StoreDeps) {
    const endpoint = endpointUrl(spec.endpoint);
    this.#spec = spec;
    this.#deps = deps;
    this.url = `s3://${spec.bucket}${spec.rootPath === '' ? '' : `/${spec.rootPath}`}`;
    const base = endpoint.pathname.replace(/\/+$/, '');
    this.#host = spec.usePathStyle ? endpoint.host : `${spec.bucket}.${endpoint.host}`;
    this.#path = spec.usePathStyle ? `${base}/${encodePath(spec.bucket)}` : base;
    this.#isTls = endpoint.protocol === 'https:';
    const connectTimeoutMs = spec.limits?.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const timeoutMs = Math.min(deps.limits().timeoutMs, connectTimeoutMs);
    const plain = reusedReads({ clock: deps.clock, timeoutMs });
    this.#pool = new Pool(`${endpoint.protocol}//${this.#host}`, {
      connections: spec.limits?.connectionsMax ?? CONNECTIONS_MAX,
      pipelining: 1,
      // Progress is watched by the injected clock instead, see `Exchange`.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: this.#isTls ? { timeout: timeoutMs } : plain,
    });
    this.#signer = new SignatureV4({
      service: 's3',
      region: spec.region,
      credentials: credentialsOf(spec),
      sha256: NodeSha256,
      // S3 signs the path as it is sent, escaped once.
      uriEscapePath: false,
      applyChecksum: false,
    });
  }

  /** The key in the bucket: below the vault's root path. */
  objectKey(key: string): string {
    const { rootPath } = this.#spec;
    return rootPath === '' ? key : `${rootPath}/${key}`;
  }

  call(operation: string, key: string): S3Call {
    return { url: this.url, bucket: this.#spec.bucket, operation, key };
  }

  /**
   * One attempt. Resolves with the answer when its status is 2xx and its body is complete; any
   * other outcome is an ObjectStoreError. `target` is asked for the place of the body.
   */
  async send(call: S3Call, request: S3Request, target: BodyTarget): Promise<S3Answer> {
    const { method, key, query = {}, body, signal } = request;
    const path = `${this.#path}/${encodePath(this.objectKey(key))}`;
    const headers: Record<string, string> = {
      ...request.headers,
      host: this.#host,
      // On plain http nothing but the signature protects the body of a PUT; TLS does it better.
      'x-amz-content-sha256':
        body === undefined || this.#isTls ? UNSIGNED_PAYLOAD : sha256Hex(body),
    };
    if (body !== undefined) headers['content-length'] = String(body.byteLength);
    const signed = await this.#signer.sign(
      { method, protocol: 'http:', hostname: this.#host, path, query, headers },
      { signingDate: new Date(this.#deps.clock.now()) },
    );
    if (signal?.aborted === true) throw abortedError(call.key, signal);
    const exchange = new Exchange(this.#deps, call, target, signal);
    const options: Dispatcher.DispatchOptions = {
      method,
      path: path + queryText(query),
      headers: signed.headers,
      // undici closes the connection after a HEAD unless told not to.
      reset: false,
    };
    if (body === undefined) this.#pool.dispatch(options, exchange);
    else if (body.byteLength === 0) this.#pool.dispatch({ ...options, body }, exchange);
    else {
      const slices = Readable.from(
        bodySlices(body, () => exchange.progress()),
        {
          objectMode: false,
          highWaterMark: BODY_SLICE_BYTES,
        },
      );
      this.#pool.dispatch({ ...options, body: slices }, exchange);
    }
    return await exchange.answer;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** One request on the wire: places the body, watches the progress, names the failure. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly answer: Promise<S3Answer>;
  readonly #deps: StoreDeps;
  readonly #call: S3Call;
  readonly #target: BodyTarget;
  readonly #signal: AbortSignal | undefined;
  readonly #settle: PromiseWithResolvers<S3Answer>;
  #controller: Dispatcher.DispatchController | undefined;
  /** Set first, then the request is torn down: why it ended. */
  #failure: unknown;
  #answer: S3Answer | undefined;
  #isGood = false;
  #body: Uint8Array | undefined;
  #received = 0;
  readonly #errorBody: Buffer[] = [];
  #lastProgress: number;
  #stopWatching: () => void = () => undefined;

  constructor(deps: StoreDeps, call: S3Call, target: BodyTarget, signal: AbortSignal | undefined) {
    this.#deps = deps;
    this.#call = call;
    this.#target = target;
    this.#signal = signal;
    this.#settle = Promise.withResolvers<S3Answer>();
    this.answer = this.#settle.promise;
    this.#lastProgress = deps.clock.monotonic();
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  progress(): void {
    this.#lastProgress = this.#deps.clock.monotonic();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) {
      // Given up while it waited for a connection.
      controller.abort(asError(this.#failure));
      return;
    }
    // Time spent waiting for one of the store's connections is not the server's fault.
    this.progress();
    this.#stopWatching = this.#watch(this.#deps.limits().timeoutMs);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    this.progress();
    // 1xx is followed by the real answer.
    if (status < 200) return;
    const answer: S3Answer = {
      status,
      header: (name) => {
        const value = headers[name];
        return Array.isArray(value) ? value[0] : value;
      },
    };
    this.#answer = answer;
    this.#isGood = status < 300;
    if (!this.#isGood) return;
    try {
      this.#body = this.#target(answer);
    } catch (error) {
      this.#fail(error);
      controller.abort(asError(error));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // The caller may use its buffer again as soon as the call has failed.
    if (this.#failure !== undefined) return;
    this.progress();
    if (!this.#isGood) {
      if (this.#received < ERROR_BODY_MAX) this.#errorBody.push(Buffer.from(chunk));
      this.#received += chunk.byteLength;
      return;
    }
    if (this.#body === undefined) return;
    if (this.#received + chunk.byteLength > this.#body.byteLength) {
      const error = this.#truncated('the body is longer than announced');
      this.#fail(error);
      controller.abort(error);
      return;
    }
    this.#body.set(chunk, this.#received);
    this.#received += chunk.byteLength;
  }

  onResponseEnd(): void {
    const answer = this.#answer;
    if (this.#failure !== undefined) return;
    if (answer === undefined) {
      this.#fail(connectionError(this.#call, new Error('no answer')));
    } else if (!this.#isGood) {
      this.#fail(this.#badAnswer(answer));
    } else if (this.#received !== (this.#body?.byteLength ?? 0)) {
      this.#fail(this.#truncated('the body is shorter than announced'));
    } else {
      this.#end();
      this.#settle.resolve(answer);
    }
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#failure !== undefined) return;
    if (this.#answer !== undefined && !this.#isGood) this.#fail(this.#badAnswer(this.#answer));
    else if (this.#answer !== undefined) this.#fail(this.#truncated('the body ended early', error));
    else this.#fail(connectionError(this.#call, error));
  }

  readonly #onAbort = (): void => {
    if (this.#signal !== undefined) this.#giveUp(abortedError(this.#call.key, this.#signal));
  };

  /** Looks at the progress once per time limit, and again for what is left of it. */
  #watch(ms: number): () => void {
    return this.#deps.clock.after(ms, () => {
      const { timeoutMs } = this.#deps.limits();
      const left = this.#lastProgress + timeoutMs - this.#deps.clock.monotonic();
      if (left > 0) {
        this.#stopWatching = this.#watch(left);
        return;
      }
      const what = callText(this.#call, `no progress for ${timeoutMs} ms`);
      this.#giveUp(new ObjectStoreError('UNAVAILABLE', this.#call.key, what));
    });
  }

  #giveUp(error: ObjectStoreError): void {
    this.#fail(error);
    this.#controller?.abort(error);
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#end();
    this.#settle.reject(error);
  }

  #end(): void {
    this.#stopWatching();
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  #truncated(what: string, cause?: unknown): ObjectStoreError {
    const text = callText(
      this.#call,
      `${what} (${this.#received} of ${this.#body?.byteLength ?? 0})`,
    );
    return new ObjectStoreError('TRUNCATED', this.#call.key, text, cause);
  }

  #badAnswer(answer: S3Answer): ObjectStoreError {
    const { code, message } = parseErrorBody(Buffer.concat(this.#errorBody).toString());
    const retryAfter = answer.header('retry-after');
    const failure = { status: answer.status, code, message, retryAfter };
    return s3Error(this.#call, failure, this.#deps.clock.now());
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('given up', { cause: reason });
}

function* bodySlices(body: Uint8Array, onSlice: () => void): Generator<Uint8Array, undefined> {
  for (let at = 0; at < body.byteLength; at += BODY_SLICE_BYTES) {
    onSlice();
    yield body.subarray(at, at + BODY_SLICE_BYTES);
  }
  return undefined;
}

/** As the SDK and its signer take them. */
export function credentialsOf({ accessKey, secretKey, sessionToken }: S3StoreSpec): {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
} {
  const keys = { accessKeyId: accessKey, secretAccessKey: secretKey };
  return sessionToken === undefined ? keys : { ...keys, sessionToken };
}

/** `host[:port]` means https. Throws TypeError when it is no URL. */
export function endpointUrl(endpoint: string): URL {
  const full = /^https?:\/\//i.test(endpoint) ? endpoint : `https://${endpoint}`;
  if (!URL.canParse(full)) throw new TypeError(`the S3 endpoint '${endpoint}' is no URL`);
  const url = new URL(full);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('an S3 endpoint is a URL without user, query and fragment');
  }
  return url;
}

/** RFC 3986 unreserved characters stay, `/` separates, the rest is escaped: as S3 signs it. */
function encodePath(key: string): string {
  return escaped(key).replaceAll('%2F', '/');
}

/** RFC 3986 unreserved characters stay, all others are escaped. */
function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function queryText(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${escaped(name)}=${escaped(value)}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

function sha256Hex(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}

/** The hash the signer asks for, from Node's own crypto. */
class NodeSha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', keyOf(secret));
  }
  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }
  async digest(): Promise<Uint8Array> {
    return await Promise.resolve(this.#hash.digest());
  }
  reset(): void {
    throw new Error('the signer does not reset hashes');
  }
}

function keyOf(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === 'string') return secret;
  return ArrayBuffer.isView(secret)
    ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
    : new Uint8Array(secret);
}
