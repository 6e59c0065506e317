/**
 * Ports: what the code may ask of the world. Time, chance, log and object stores are handed in
 * through constructors, so that the simulator and the tests can replace them (DESIGN section 1).
 */

export interface Clock {
  /** Wall clock, milliseconds since the epoch (UTC). May step back. */
  now(): number;
  /** Monotonic milliseconds with fraction; for durations only. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function takes it back. Never keeps the process alive. */
  after(ms: number, fn: () => void): () => void;
}

export interface Random {
  /** Cryptographically strong on a real system; seeded in the simulator. */
  bytes(count: number): Uint8Array;
  /** Uniform integer in [0, below). `below` is 1..2^31. */
  int(below: number): number;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log: an event text in plain words and its fields. Secrets never go in. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose lines all carry these fields. */
  child(fields: LogFields): Log;
}

export const SILENT_LOG: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT_LOG,
};

// ---------------------------------------------------------------------------------------------
// Object store

export interface ObjectMeta {
  readonly key: string;
  /** bytes */
  readonly size: number;
  /** Opaque; compare only for equality. Unquoted. */
  readonly etag: string;
  /** Milliseconds since the epoch, by the store's clock. */
  readonly modifiedMs: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface GetOptions extends CallOptions {
  /** First byte wanted, ≥ 0. Default 0, where an empty object is empty and not a RANGE error. */
  readonly offset?: number;
  /** Bytes wanted, ≥ 1; clamped to the object's end. Default: to the end. */
  readonly length?: number;
  /**
   * Where to put the bytes: the result is then a view of it. It must be large enough for what is
   * asked, or the call throws `TypeError`. Lets a caller pool its buffers.
   */
  readonly into?: Uint8Array;
}

/** A body that is too large to be held whole: it is read once, from its start, in pieces. */
export interface BodySource {
  /** bytes, ≥ 1 */
  readonly size: number;
  /**
   * The next piece: exactly `length` bytes from `offset`, which is where the last piece ended. The
   * buffer is not touched again before the next call, so it may be reused.
   */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
  /** Called when all has been read and before anything is visible: throw, and nothing ever is. */
  readonly check?: () => void;
}

export interface UploadOptions extends CallOptions {
  /**
   * Create only. Stores that cannot promise it for large bodies (Ceph ignores it) replace what is
   * there, so a caller for whom it matters looks first.
   */
  readonly ifNoneMatch?: '*';
  /** An earlier upload of this key may have been cut off: what the store keeps of it goes. */
  readonly isRetry?: boolean;
}

export interface PutOptions extends CallOptions {
  /** Create only: fails with PRECONDITION when the key exists. */
  readonly ifNoneMatch?: '*';
  /** Replace only this version: fails with PRECONDITION when the etag differs or is gone. */
  readonly ifMatch?: string;
}

/**
 * Keys are `/`-separated relative paths of 1..1024 bytes of UTF-8, their parts of 1..255 bytes,
 * without `.` or `..` parts, control characters and backslashes; anything else throws `TypeError`
 * before any I/O.
 *
 * `get`, `head`, `list`, `delete` and `put` without a condition are idempotent and are retried
 * inside on transient errors; a conditional `put` is not retried blindly: its outcome may be
 * unknown, which is the error kind UNKNOWN_OUTCOME. All failures are `ObjectStoreError`.
 */
export interface ObjectStore {
  /** For messages: `file:///x/y`, `s3://bucket/prefix`, `memory`. Never has credentials in it. */
  readonly url: string;
  get(key: string, options?: GetOptions): Promise<Uint8Array>;
  /** undefined when there is no such object. */
  head(key: string, options?: CallOptions): Promise<ObjectMeta | undefined>;
  /** Atomic: readers see the whole new object or the old state. Durable when it resolves. */
  put(key: string, body: Uint8Array, options?: PutOptions): Promise<{ readonly etag: string }>;
  /**
   * As `put`, for large bodies: never more than a piece is in memory (S3: multipart). Atomic and
   * durable as `put`; a failure of `source` rejects with it and leaves nothing visible. Not
   * retried as a whole; a lost answer to its last step is UNKNOWN_OUTCOME.
   */
  upload(
    key: string,
    source: BodySource,
    options?: UploadOptions,
  ): Promise<{ readonly etag: string }>;
  /** In key order (bytes), in pages. `prefix` need not end at a `/`. */
  list(prefix: string, options?: CallOptions): AsyncIterable<readonly ObjectMeta[]>;
  /** Missing keys are not an error. */
  delete(keys: readonly string[], options?: CallOptions): Promise<void>;
  /**
   * Forgets what has come of `upload`s that did not end, of keys with this prefix, begun before
   * `beganBeforeMs` (wall clock, milliseconds): parts that cost and are in no listing. A writer that
   * goes on with one of them gets NOT_FOUND. How many; absent: nothing of that kind can stay.
   */
  discardUploads?(prefix: string, beganBeforeMs: number, options?: CallOptions): Promise<number>;
  close(): Promise<void>;
}

export type ObjectStoreErrorKind =
  /** No object under this key. */
  | 'NOT_FOUND'
  | 'BUCKET_MISSING'
  | 'ACCESS_DENIED'
  /** A condition of `put` did not hold. */
  | 'PRECONDITION'
  /** The range starts at or beyond the object's end. */
  | 'RANGE'
  /** The store does not implement what was asked (501). */
  | 'UNSUPPORTED'
  /** Too many requests (429, 503 SlowDown). */
  | 'THROTTLED'
  /** 5xx, connection refused or reset, timeout. */
  | 'UNAVAILABLE'
  /** A conditional put whose answer was lost. */
  | 'UNKNOWN_OUTCOME'
  /** The body was shorter or longer than announced. */
  | 'TRUNCATED'
  /** Local disk: full, read-only, I/O error. */
  | 'DISK'
  | 'ABORTED';

/** Whether trying the same call again later can help. */
const TRANSIENT: Readonly<Record<ObjectStoreErrorKind, boolean>> = {
  NOT_FOUND: false,
  BUCKET_MISSING: false,
  ACCESS_DENIED: false,
  PRECONDITION: false,
  RANGE: false,
  UNSUPPORTED: false,
  THROTTLED: true,
  UNAVAILABLE: true,
  UNKNOWN_OUTCOME: false,
  TRUNCATED: true,
  DISK: false,
  ABORTED: false,
};

export class ObjectStoreError extends Error {
  readonly kind: ObjectStoreErrorKind;
  readonly key: string;

  /** `message` names the store, the operation and the key, and no secret. */
  constructor(kind: ObjectStoreErrorKind, key: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ObjectStoreError';
    this.kind = kind;
    this.key = key;
  }

  get transient(): boolean {
    return TRANSIENT[this.kind];
  }
}
