/**
 * Puts segments into the object store for one load: several at once, each verified, and all
 * deleted again when the load fails.
 */
import { SqlError } from '../../base/errors.ts';
import { type Clock, type Log, type ObjectStore, ObjectStoreError } from '../../base/ports.ts';

/** Uploads of one load running at once. */
const UPLOADS_MAX = 4;
/** Tries of one upload; a conditional put is not retried inside the store. */
const TRIES_MAX = 4;
const FIRST_PAUSE_MS = 50;

export interface UploaderServices {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal?: AbortSignal;
}

export class SegmentUploader {
  readonly #services: UploaderServices;
  readonly #running = new Set<Promise<void>>();
  readonly #keys = new Set<string>();
  #failure: unknown;
  #failed = false;
  #bytes = 0;

  constructor(services: UploaderServices) {
    this.#services = services;
  }

  /** Bytes of the bodies that are on their way. */
  get bytesInFlight(): number {
    return this.#bytes;
  }

  /** Begins an upload; waits only while UPLOADS_MAX are running. Throws an earlier failure. */
  async add(key: string, body: Uint8Array): Promise<void> {
    while (this.#running.size >= UPLOADS_MAX) await Promise.race(this.#running);
    this.#throwFailure();
    this.#keys.add(key);
    this.#bytes += body.byteLength;
    const upload = this.#put(key, body)
      .catch((error: unknown) => {
        if (!this.#failed) this.#failure = error;
        this.#failed = true;
      })
      .finally(() => {
        this.#bytes -= body.byteLength;
        this.#running.delete(upload);
      });
    this.#running.add(upload);
  }

  /** One of the running uploads has ended. */
  async waitForOne(): Promise<void> {
    if (this.#running.size > 0) await Promise.race(this.#running);
    this.#throwFailure();
  }

  /** All uploads have ended well; throws the first failure otherwise. */
  async finish(): Promise<void> {
    await Promise.all(this.#running);
    this.#throwFailure();
  }

  /** Deletes what was written, as well as it can; what remains goes with its table. */
  async discard(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#keys.size === 0) return;
    try {
      await this.#services.store.delete([...this.#keys]);
    } catch (error) {
      const count = this.#keys.size;
      this.#services.log.warn('segments of a failed load could not be deleted', { count, error });
    }
  }

  #throwFailure(): void {
    if (!this.#failed) return;
    const cause = this.#failure;
    if (cause instanceof ObjectStoreError) {
      throw new SqlError('STORE_FAILED', { what: cause.message }, { cause });
    }
    throw cause;
  }

  /**
   * The key has a random id of ours in it: an object that is there after a failed try is the one
   * that this load wrote.
   */
  async #put(key: string, body: Uint8Array): Promise<void> {
    const { store, clock, signal } = this.#services;
    const options = signal === undefined ? {} : { signal };
    for (let attempt = 1; ; attempt += 1) {
      try {
        await store.put(key, body, { ifNoneMatch: '*', ...options });
      } catch (error) {
        if (!(error instanceof ObjectStoreError)) throw error;
        const again = error.transient || error.kind === 'UNKNOWN_OUTCOME';
        const landed = error.kind === 'PRECONDITION' && attempt > 1;
        // Somebody else's: not to be deleted with this load.
        if (error.kind === 'PRECONDITION' && attempt === 1) this.#keys.delete(key);
        if (again && attempt < TRIES_MAX) {
          await clock.sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1), signal);
          continue;
        }
        if (!landed) throw error;
      }
      break;
    }
    const meta = await store.head(key, options);
    if (meta?.size === body.byteLength) return;
    throw new ObjectStoreError(
      'TRUNCATED',
      key,
      `${store.url}: ${key} has ${meta?.size ?? 'no'} bytes instead of ${body.byteLength}`,
    );
  }
}
