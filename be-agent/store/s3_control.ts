/** Listing and deleting in a bucket, over the SDK. */
import { createHash } from 'node:crypto';
import type * as Sdk from '@aws-sdk/client-s3';
import type { S3Client, S3ClientConfig, _Object } from '@aws-sdk/client-s3';
import { ObjectStoreError } from '../../base/ports.ts';
import type { ObjectMeta } from '../../base/ports.ts';
import type { S3StoreSpec } from '../../base/schema.ts';
import { LIST_PAGE_KEYS } from './object_key.ts';
import { abortedError, withRetries } from './retry.ts';
import type { StoreDeps } from './retry.ts';
import { callText, connectionError, s3Error } from './s3_errors.ts';
import type { S3Call } from './s3_errors.ts';
import { CONNECT_TIMEOUT_MS, credentialsOf, endpointUrl } from './s3_http.ts';
import type { S3Http } from './s3_http.ts';

/** S3's limit for one DeleteObjects. */
const DELETE_BATCH_KEYS = 1000;
const SOCKETS_MAX = 16;

interface Loaded {
  readonly sdk: typeof Sdk;
  readonly client: S3Client;
}

type Request<T> = (loaded: Loaded, abortSignal: AbortSignal) => Promise<T>;

export class S3Control {
  readonly #spec: S3StoreSpec;
  readonly #deps: StoreDeps;
  readonly #http: S3Http;
  #loading: Promise<Loaded> | undefined;

  constructor(spec: S3StoreSpec, deps: StoreDeps, http: S3Http) {
    this.#spec = spec;
    this.#deps = deps;
    this.#http = http;
  }

  async *list(
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly ObjectMeta[]> {
    const call = this.#http.call('list', prefix);
    const root = this.#http.objectKey('');
    let token: string | undefined;
    do {
      const input = {
        Bucket: this.#spec.bucket,
        Prefix: root + prefix,
        MaxKeys: LIST_PAGE_KEYS,
        ContinuationToken: token,
      };
      const page = await this.#send(call, signal, async ({ sdk, client }, abortSignal) => {
        return await client.send(new sdk.ListObjectsV2Command(input), { abortSignal });
      });
      const metas = (page.Contents ?? []).map((object) => metaOf(object, root));
      if (metas.length > 0) yield metas;
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETE_BATCH_KEYS) {
      await this.#deleteBatch(keys.slice(at, at + DELETE_BATCH_KEYS), signal);
    }
  }

  /** Begins an upload in parts; its id. */
  async createMultipart(key: string, signal: AbortSignal | undefined): Promise<string> {
    const call = this.#http.call('upload', key);
    const input = { Bucket: this.#spec.bucket, Key: this.#http.objectKey(key) };
    const answer = await this.#send(call, signal, async ({ sdk, client }, abortSignal) => {
      return await client.send(new sdk.CreateMultipartUploadCommand(input), { abortSignal });
    });
    const { UploadId: uploadId = '' } = answer;
    if (uploadId !== '') return uploadId;
    throw new ObjectStoreError('UNSUPPORTED', key, callText(call, 'the server gave no upload id'));
  }

  /** What others began for this key and did not end: their writers are gone. */
  async abortOthers(key: string, uploadId: string, signal: AbortSignal | undefined): Promise<void> {
    const call = this.#http.call('upload', key);
    const wanted = this.#http.objectKey(key);
    const input = { Bucket: this.#spec.bucket, Prefix: wanted };
    const answer = await this.#send(call, signal, async ({ sdk, client }, abortSignal) => {
      return await client.send(new sdk.ListMultipartUploadsCommand(input), { abortSignal });
    });
    for (const { Key, UploadId = uploadId } of answer.Uploads ?? []) {
      if (Key === wanted && UploadId !== uploadId) await this.abortMultipart(key, UploadId);
    }
  }

  /** Uploads of keys with this prefix that began before this and have not ended; how many. */
  async abortUploads(
    prefix: string,
    beganBeforeMs: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const call = this.#http.call('list uploads', prefix);
    const root = this.#http.objectKey('');
    let aborted = 0;
    const input: Sdk.ListMultipartUploadsCommandInput = {
      Bucket: this.#spec.bucket,
      Prefix: root + prefix,
    };
    for (;;) {
      const page = await this.#send(call, signal, async ({ sdk, client }, abortSignal) => {
        return await client.send(new sdk.ListMultipartUploadsCommand(input), { abortSignal });
      });
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined) continue;
        if ((Initiated?.getTime() ?? Number.POSITIVE_INFINITY) >= beganBeforeMs) continue;
        await this.abortMultipart(Key.slice(root.length), UploadId);
        aborted += 1;
      }
      input.KeyMarker = page.NextKeyMarker;
      input.UploadIdMarker = page.NextUploadIdMarker;
      if (page.IsTruncated !== true || input.KeyMarker === undefined) return aborted;
    }
  }

  /** Makes the object visible. Sent once: its outcome may be unknown. */
  async completeMultipart(
    key: string,
    uploadId: string,
    etags: readonly string[],
    options: { readonly ifNoneMatch?: '*'; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    const call = this.#http.call('upload', key);
    const input = {
      Bucket: this.#spec.bucket,
      Key: this.#http.objectKey(key),
      UploadId: uploadId,
      IfNoneMatch: options.ifNoneMatch,
      MultipartUpload: {
        Parts: etags.map((etag, at) => ({ ETag: `"${etag}"`, PartNumber: at + 1 })),
      },
    };
    const request: Request<void> = async ({ sdk, client }, abortSignal) => {
      await client.send(new sdk.CompleteMultipartUploadCommand(input), { abortSignal });
    };
    await this.#once(call, options.signal, request);
  }

  /** The parts are deleted. An upload that is gone is no error. */
  async abortMultipart(key: string, uploadId: string): Promise<void> {
    const call = this.#http.call('upload', key);
    const { bucket: Bucket } = this.#spec;
    const input = { Bucket, Key: this.#http.objectKey(key), UploadId: uploadId };
    try {
      await this.#send(call, undefined, async ({ sdk, client }, abortSignal) => {
        await client.send(new sdk.AbortMultipartUploadCommand(input), { abortSignal });
      });
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || error.kind !== 'NOT_FOUND') throw error;
    }
  }

  close(): void {
    this.#loading?.then(
      ({ client }) => {
        client.destroy();
      },
      () => undefined,
    );
  }

  async #deleteBatch(keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const call = this.#http.call('delete', keys[0] ?? '');
    const input = {
      Bucket: this.#spec.bucket,
      Delete: {
        Objects: keys.map((key) => ({ Key: this.#http.objectKey(key) })),
        Quiet: true,
      },
    };
    await this.#send(call, signal, async ({ sdk, client }, abortSignal) => {
      const answer = await client.send(new sdk.DeleteObjectsCommand(input), { abortSignal });
      // Each key has its own outcome; the first that failed stands for all.
      for (const { Key, Code, Message } of answer.Errors ?? []) {
        if (Code === 'NoSuchKey') continue;
        const failed = { ...call, key: Key ?? call.key };
        const failure = { status: 200, code: Code, message: Message, retryAfter: undefined };
        throw s3Error(failed, failure, this.#deps.clock.now());
      }
    });
  }

  async #send<T>(call: S3Call, signal: AbortSignal | undefined, request: Request<T>): Promise<T> {
    return await withRetries(this.#deps, call.key, signal, async () => {
      return await this.#once(call, signal, request);
    });
  }

  async #once<T>(call: S3Call, signal: AbortSignal | undefined, request: Request<T>): Promise<T> {
    const loaded = await (this.#loading ??= this.#load());
    // Answers here are small, so the time limit is for the whole of it.
    const abort = new AbortController();
    const { timeoutMs } = this.#deps.limits();
    const late = callText(call, `no progress for ${timeoutMs} ms`);
    const stopTimer = this.#deps.clock.after(timeoutMs, () => {
      abort.abort(new ObjectStoreError('UNAVAILABLE', call.key, late));
    });
    const onAbort = (): void => {
      if (signal !== undefined) abort.abort(abortedError(call.key, signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await request(loaded, abort.signal);
    } catch (error) {
      throw abort.signal.aborted ? abort.signal.reason : this.#sdkError(call, error);
    } finally {
      stopTimer();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #sdkError(call: S3Call, error: unknown): unknown {
    if (error instanceof ObjectStoreError) return error;
    const { name, message, $metadata, $response } = error as {
      name?: string;
      message?: string;
      $metadata?: { httpStatusCode?: number };
      $response?: { headers?: Record<string, string | undefined> };
    };
    const status = $metadata?.httpStatusCode;
    if (status === undefined) return connectionError(call, error);
    const retryAfter = $response?.headers?.['retry-after'];
    // Without a code in the body the SDK makes one up from the status.
    const code = name === undefined || /^(\d+|Unknown.*)$/.test(name) ? undefined : name;
    return s3Error(call, { status, code, message, retryAfter }, this.#deps.clock.now());
  }

  async #load(): Promise<Loaded> {
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client(this.#config());
    // Servers older than the SDK's checksums insist on Content-MD5 for this one call.
    client.middlewareStack.add(
      (next) => async (args) => {
        const { request } = args as { request?: { body?: unknown; headers?: object } };
        if (typeof request?.body === 'string' && request.headers !== undefined) {
          const md5 = createHash('md5').update(request.body).digest('base64');
          Object.assign(request.headers, { 'content-md5': md5 });
        }
        return await next(args);
      },
      { step: 'build', name: 'contentMd5' },
    );
    return { sdk, client };
  }

  #config(): S3ClientConfig {
    const { region, limits, usePathStyle } = this.#spec;
    const maxSockets = Math.min(SOCKETS_MAX, limits?.connectionsMax ?? SOCKETS_MAX);
    return {
      endpoint: endpointUrl(this.#spec.endpoint).href,
      region,
      credentials: credentialsOf(this.#spec),
      forcePathStyle: usePathStyle,
      // Retries are ours (retry.ts), so that limits and pauses are the same on both paths.
      maxAttempts: 1,
      // The newer checksums are unknown to many servers.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: limits?.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
        httpAgent: { keepAlive: true, maxSockets },
        httpsAgent: { keepAlive: true, maxSockets },
      },
    };
  }
}

function metaOf(object: _Object, root: string): ObjectMeta {
  return {
    key: (object.Key ?? '').slice(root.length),
    size: object.Size ?? 0,
    etag: (object.ETag ?? '').replaceAll('"', ''),
    modifiedMs: object.LastModified?.getTime() ?? 0,
  };
}
