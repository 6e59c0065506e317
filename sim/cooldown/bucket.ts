/**
 * The bucket of a run: what lies in it, and everything that was ever written to it or deleted. It
 * has S3's conditional writes; what goes wrong with a call is its fate, drawn or chosen per call.
 */
import { createHash } from 'node:crypto';
import type { ObjectMeta, PutOptions } from '../../base/ports.ts';

export type BucketCallName = 'get' | 'head' | 'put' | 'list' | 'delete';

/** Who calls: one life of a backend, or the server. */
export interface Actor {
  readonly name: string;
  /** Name of the disk that it runs on; undefined: the server. */
  readonly disk: string | undefined;
}

export interface BucketCall {
  readonly name: BucketCallName;
  /** Of a list its prefix, of a delete its first key. */
  readonly key: string;
  readonly conditional: boolean;
  readonly actor: Actor;
}

/**
 * What becomes of one attempt. `5xx`: refused before anything is done, and the caller knows. The
 * two kinds of silence are the same for the caller: `reply-lost` is carried out, `not-applied` is
 * not. `412-own`: carried out, but a retry below the caller meets its own write. `409`: lost
 * against another conditional write. `half-written`: only a part of the body is kept, and the
 * answer is as for the whole one.
 */
export const FATES = [
  'ok',
  'reply-lost',
  '5xx',
  'not-applied',
  '412-own',
  '409',
  'half-written',
] as const;
export type Fate = (typeof FATES)[number];

export interface StoredObject {
  readonly body: Uint8Array;
  readonly meta: ObjectMeta;
}

/** One change of the bucket, as it happened. */
export interface BucketChange {
  readonly atMs: number;
  readonly actor: Actor;
  readonly key: string;
  readonly before: StoredObject | undefined;
  /** undefined: deleted. */
  readonly after: StoredObject | undefined;
  /** A fault of the run kept a part of the body away. */
  readonly isHalf: boolean;
}

export interface BucketWatcher {
  /** Before a call leaves its caller. */
  onBegin(call: BucketCall): void;
  onChange(change: BucketChange): void;
}

export type PutResult = { readonly etag: string } | 'PRECONDITION';

export class Bucket {
  readonly objects = new Map<string, StoredObject>();
  /** Whether it knows conditions of puts at all; else it answers 501 to them. */
  hasConditions = true;
  /** Whether conditions of puts are heeded: not by every store that calls itself S3. */
  heedsConditions = true;
  /** S3's own etags are the MD5 of the body; other stores number their versions. */
  hasMd5Etags = false;
  /** Bytes of data objects that were sent, repeats included. */
  sentDataBytes = 0;
  readonly #watchers: BucketWatcher[] = [];
  #versions = 0;

  watch(watcher: BucketWatcher): void {
    this.#watchers.push(watcher);
  }

  began(call: BucketCall): void {
    for (const watcher of this.#watchers) watcher.onBegin(call);
  }

  put(
    atMs: number,
    nowMs: number,
    { actor, key }: Pick<BucketCall, 'actor' | 'key'>,
    body: Uint8Array,
    { options, isHalf }: { readonly options: PutOptions; readonly isHalf: boolean },
  ): PutResult {
    const before = this.objects.get(key);
    if (key.endsWith('.dat')) this.sentDataBytes += body.length;
    if (this.heedsConditions && !holds(before, options)) return 'PRECONDITION';
    this.#versions += 1;
    const kept = isHalf ? body.slice(0, body.length >> 1) : body.slice();
    const md5 = createHash('md5').update(kept).digest('hex');
    const etag = this.hasMd5Etags ? md5 : `v${this.#versions}`;
    const meta = { key, size: kept.length, etag, modifiedMs: nowMs };
    const after = { body: kept, meta };
    this.objects.set(key, after);
    this.#changed({ atMs, actor, key, before, after, isHalf });
    return { etag };
  }

  delete(atMs: number, actor: Actor, keys: readonly string[]): void {
    for (const key of keys) {
      const before = this.objects.get(key);
      if (before === undefined) continue;
      this.objects.delete(key);
      this.#changed({ atMs, actor, key, before, after: undefined, isHalf: false });
    }
  }

  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  #changed(change: BucketChange): void {
    for (const watcher of this.#watchers) watcher.onChange(change);
  }
}

function holds(current: StoredObject | undefined, { ifMatch, ifNoneMatch }: PutOptions): boolean {
  if (ifNoneMatch !== undefined && current !== undefined) return false;
  return ifMatch === undefined || current?.meta.etag === ifMatch;
}
