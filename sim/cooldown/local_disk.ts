/**
 * The disk of a backend: segments outlive its processes, a write that was under way when the
 * process died is not there. Writes are atomic, as those of the directory store.
 */
import {
  type BodySource,
  type GetOptions,
  type ObjectMeta,
  type ObjectStore,
  ObjectStoreError,
  type PutOptions,
} from '../../base/ports.ts';
import { checkRange, compareKeys, rangeBytes } from '../../be-agent/store/object_key.ts';
import { wholeOf } from './bucket_view.ts';
import { type SimProcess, START_MS, type VirtualTime } from '../virtual_time.ts';

export class LocalDisk {
  readonly files = new Map<string, Uint8Array>();
  /** Called before a file goes. */
  onDelete: (key: string) => void = () => undefined;

  wipe(): void {
    this.files.clear();
  }

  view(process: SimProcess, time: VirtualTime, writeMs: () => number): ObjectStore {
    return new LocalView(this, process, time, writeMs);
  }
}

class LocalView implements ObjectStore {
  readonly url = 'sim://disk';
  readonly #disk: LocalDisk;
  readonly #process: SimProcess;
  readonly #time: VirtualTime;
  readonly #writeMs: () => number;

  constructor(disk: LocalDisk, process: SimProcess, time: VirtualTime, writeMs: () => number) {
    this.#disk = disk;
    this.#process = process;
    this.#time = time;
    this.#writeMs = writeMs;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    await this.#turn();
    const body = this.#disk.files.get(key);
    if (body === undefined) throw this.#error('NOT_FOUND', key);
    const range = checkRange(options);
    const count = rangeBytes(range, body.length);
    if (count === undefined) throw this.#error('RANGE', key);
    const source = body.slice(range.offset, range.offset + count);
    if (options.into === undefined) return source;
    options.into.set(source);
    return options.into.subarray(0, count);
  }

  async head(key: string): Promise<ObjectMeta | undefined> {
    await this.#turn();
    const body = this.#disk.files.get(key);
    return body === undefined ? undefined : this.#meta(key, body);
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    const copy = body.slice();
    await this.#write(`write ${key}`);
    if (options.ifNoneMatch !== undefined && this.#disk.files.has(key)) {
      throw this.#error('PRECONDITION', key);
    }
    this.#disk.files.set(key, copy);
    return { etag: `${copy.length}` };
  }

  async upload(key: string, source: BodySource): Promise<{ etag: string }> {
    return await this.put(key, await wholeOf(source));
  }

  async *list(prefix: string): AsyncGenerator<readonly ObjectMeta[]> {
    await this.#turn();
    const page = [...this.#disk.files]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, body]) => this.#meta(key, body))
      .sort((a, b) => compareKeys(a.key, b.key));
    if (page.length > 0) yield page;
  }

  async delete(keys: readonly string[]): Promise<void> {
    await this.#write(`unlink ${keys[0] ?? ''}`);
    for (const key of keys) {
      if (!this.#disk.files.has(key)) continue;
      this.#disk.onDelete(key);
      this.#disk.files.delete(key);
    }
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  /** The dead do not go on. */
  async #turn(): Promise<void> {
    if (this.#process.isDead) await new Promise<never>(() => undefined);
  }

  async #write(what: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#process.schedule(this.#writeMs(), what, () => {
      resolve(undefined);
    });
    await promise;
    await this.#turn();
  }

  #meta(key: string, body: Uint8Array): ObjectMeta {
    const modifiedMs = START_MS + this.#time.nowMs;
    return { key, size: body.length, etag: `${body.length}`, modifiedMs };
  }

  #error(kind: ObjectStoreError['kind'], key: string): ObjectStoreError {
    return new ObjectStoreError(kind, key, `${this.url}: ${kind}: '${key}'`);
  }
}
