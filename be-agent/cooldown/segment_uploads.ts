/**
 * Brings local segments into a resource: each once, from a disk whose content is checked on the
 * way, verified when it is there. At most `cooldown_thread_num` at a time over all tablets, none of
 * them with more than a piece in memory.
 *
 * An object of a segment's name holds that rowset's segment, whoever sent it: all replicas have the
 * same rowsets under the same ids. So one that is there already is compared, and not sent again.
 *
 * Verified is: the size, by HEAD; the content, by the etag where it is the MD5 of what was sent
 * (S3 without encryption by KMS), else by reading the object back and its crc32.
 */
import type { Config } from '../../base/config.ts';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import {
  type Clock,
  type Log,
  type ObjectMeta,
  type ObjectStore,
  ObjectStoreError,
} from '../../base/ports.ts';
import { type SegmentMeta, segmentKey } from '../../base/schema.ts';
import { DownloadSlots } from '../cache/download_slots.ts';
import { DownloadRate } from '../download_rate.ts';
import { PIECE_BYTES } from '../store/body_pieces.ts';
import { ContentSums, readBack } from './content_check.ts';
import type { CooldownCounts } from './counts.ts';
import { CooldownFailure, isFailure } from './failure.ts';
import { damaged } from './manifest.ts';
import { isKind } from './heads.ts';

/** A write whose answer was lost and that has no effect is sent again so often. */
const SENDS_MAX = 3;

export interface SegmentUploadsOptions {
  /** Local segments, under the same keys as in the resource. */
  readonly local: ObjectStore;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: CooldownCounts;
}

/** Where segments go. */
export interface UploadTarget {
  readonly store: ObjectStore;
  /** Whether the store keeps the conditions of puts. */
  readonly isConditional: boolean;
}

export interface UploadRowset {
  readonly rowsetId: RowsetId;
  readonly segments: readonly SegmentMeta[];
  /** Whether an earlier upload of it may have been cut off. */
  readonly isRetry?: boolean;
}

/** One segment on its way. */
interface Sending {
  readonly remote: ObjectStore;
  readonly isConditional: boolean;
  readonly key: string;
  readonly segment: SegmentMeta;
  readonly isRetry: boolean;
  readonly signal: AbortSignal;
}

/** What was sent, and what it should have become. */
interface Sent {
  readonly sums: ContentSums;
  readonly isMultipart: boolean;
}

export class SegmentUploads {
  readonly #options: SegmentUploadsOptions;
  readonly #slots: DownloadSlots;
  readonly #rate: DownloadRate;
  /** Stores whose etags tell nothing of the content: no use in computing what they do not tell. */
  readonly #untelling = new WeakSet<ObjectStore>();

  constructor(options: SegmentUploadsOptions) {
    const { config, clock } = options;
    this.#options = options;
    this.#slots = new DownloadSlots(() => config.get('cooldown_thread_num'));
    this.#rate = new DownloadRate(clock, () =>
      config.get('cooldown_upload_rate_limit_bytes_per_second'),
    );
  }

  /** Waits when the limit says so. */
  async throttle(bytes: number, signal: AbortSignal): Promise<void> {
    await this.#rate.acquire(bytes, signal);
  }

  /**
   * All segments of these rowsets are in the target and verified when it resolves. Rejects with the
   * first failure when none is on its way any more. Only for the leader: an object of
   * their names that is damaged is replaced. Returns rowsets of which something was there already.
   */
  async upload(
    target: UploadTarget,
    tabletId: TabletId,
    rowsets: readonly UploadRowset[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<RowsetId>> {
    const reused = new Set<RowsetId>();
    const segments = rowsets.flatMap((rowset) =>
      rowset.segments.map((segment) => ({
        rowsetId: rowset.rowsetId,
        key: segmentKey(tabletId, rowset.rowsetId, segment.segment),
        segment,
        isRetry: rowset.isRetry ?? false,
      })),
    );
    const abort = new AbortController();
    const both = AbortSignal.any([signal, abort.signal]);
    // Not more promises than can do something: a rowset may have thousands of segments.
    const rest = segments.values();
    const worker = async (): Promise<void> => {
      for (const { rowsetId, ...each } of rest) {
        await this.#slots.acquire(both);
        try {
          const { store: remote, isConditional } = target;
          const isSent = await this.#one({ remote, isConditional, ...each, signal: both });
          if (!isSent) reused.add(rowsetId);
        } finally {
          this.#slots.release();
        }
      }
    };
    let failure: { readonly error: unknown } | undefined;
    const count = Math.min(segments.length, this.#options.config.get('cooldown_thread_num'));
    const workers = Array.from({ length: count }, async () => {
      try {
        await worker();
      } catch (error) {
        failure ??= { error };
        abort.abort(error);
      }
    });
    await Promise.all(workers);
    signal.throwIfAborted();
    if (failure !== undefined) throw failure.error;
    return reused;
  }

  /** False: it was there already. */
  async #one(sending: Sending): Promise<boolean> {
    const { remote, isConditional, key, segment, signal } = sending;
    const { counts } = this.#options;
    // A large body has no condition that all stores keep, so it is looked for first.
    if (segment.bytes > PIECE_BYTES || !isConditional) {
      const there = await remote.head(key, { signal });
      if (there !== undefined) {
        return await this.#settleExisting(sending, there);
      }
    }
    for (let send = 1; ; send += 1) {
      try {
        const sent = await this.#send(sending, undefined);
        await this.#verify(sending, sent);
        counts.uploadedObjects += 1;
        counts.uploadedBytes += segment.bytes;
        return true;
      } catch (error) {
        const isUnknown = isKind(error, 'UNKNOWN_OUTCOME');
        if (!isUnknown && !isKind(error, 'PRECONDITION')) throw error;
        const there = await remote.head(key, { signal });
        if (there !== undefined) {
          if (isUnknown) counts.uploadedBytes += segment.bytes;
          return await this.#settleExisting(sending, there);
        }
        if (send >= SENDS_MAX) throw error;
      }
    }
  }

  /** `replacing`: the etag of a damaged object in its place. */
  async #send(sending: Sending, replacing: string | undefined): Promise<Sent> {
    const { remote, isConditional, key, segment, isRetry, signal } = sending;
    const sums = new ContentSums(!this.#untelling.has(remote));
    const isMultipart = segment.bytes > PIECE_BYTES;
    if (!isMultipart) {
      const body = await this.#readLocal(sending, 0, segment.bytes);
      await sums.add(body);
      this.#check(key, sums, segment);
      await this.throttle(body.byteLength, signal);
      const condition =
        replacing === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: replacing };
      await remote.put(key, body, { ...(isConditional ? condition : {}), signal });
      return { sums, isMultipart };
    }
    let buffer: Uint8Array | undefined;
    const source = {
      size: segment.bytes,
      read: async (offset: number, length: number): Promise<Uint8Array> => {
        await this.throttle(length, signal);
        if (buffer === undefined || buffer.byteLength < length) buffer = new Uint8Array(length);
        const piece = await this.#readLocal(sending, offset, length, buffer);
        await sums.add(piece);
        return piece;
      },
      check: (): void => {
        this.#check(key, sums, segment);
      },
    };
    const isNew = replacing === undefined && isConditional;
    const condition = isNew ? { ifNoneMatch: '*' as const } : {};
    await remote.upload(key, source, { ...condition, isRetry, signal });
    return { sums, isMultipart };
  }

  async #readLocal(
    { key, signal }: Sending,
    offset: number,
    length: number,
    into?: Uint8Array,
  ): Promise<Uint8Array> {
    try {
      const range = { offset, length, signal };
      const options = into === undefined ? range : { ...range, into };
      return await this.#options.local.get(key, options);
    } catch (error) {
      // A disk that cannot be read now may be read later; a file that is not whole never.
      if (!isKind(error, 'NOT_FOUND') && !isKind(error, 'RANGE')) throw error;
      throw localDamage(key, error instanceof Error ? error.message : 'it is missing');
    }
  }

  #check(key: string, sums: ContentSums, segment: SegmentMeta): void {
    const problem = sums.problem(segment);
    if (problem !== undefined) throw localDamage(key, problem);
  }

  /** Throws when the object is not what was sent. */
  async #verify(sending: Sending, { sums, isMultipart }: Sent): Promise<void> {
    const { remote, key, segment, signal } = sending;
    const meta = await remote.head(key, { signal });
    if (meta === undefined) throw damaged(key, 'it is missing after its upload');
    if (meta.size !== segment.bytes) {
      throw damaged(key, `it has ${meta.size} of ${segment.bytes} bytes after its upload`);
    }
    if (sums.isTold(meta.etag, isMultipart)) return;
    if (!ContentSums.isDigest(meta.etag)) this.#untelling.add(remote);
    const problem = await this.#readBack(sending);
    if (problem !== undefined) throw damaged(key, `${problem} after its upload`);
  }

  /** The object is as it should be, or has been replaced (true) when it resolves. */
  async #settleExisting(sending: Sending, there: ObjectMeta): Promise<boolean> {
    const { key, segment } = sending;
    const { counts, log } = this.#options;
    const problem =
      there.size === segment.bytes
        ? await this.#readBack(sending)
        : `it has ${there.size} of ${segment.bytes} bytes`;
    if (problem === undefined) {
      counts.reusedObjects += 1;
      return false;
    }
    log.warn('an unpublished object of a resource is damaged and is replaced', { key, problem });
    let sent: Sent;
    try {
      sent = await this.#send(sending, there.etag);
    } catch (error) {
      // Whether it is right now is found out by the next try.
      if (!(error instanceof ObjectStoreError)) throw error;
      throw damaged(key, `${problem}, and replacing it failed: ${error.message}`);
    }
    await this.#verify(sending, sent);
    counts.replacedObjects += 1;
    counts.uploadedBytes += segment.bytes;
    return true;
  }

  async #readBack({ remote, key, segment, signal }: Sending): Promise<string | undefined> {
    this.#options.counts.verifiedBytes += segment.bytes;
    return await readBack(remote, key, segment, signal);
  }
}

export function isLocalDamage(error: unknown): boolean {
  return isFailure(error, 'LOCAL_DAMAGED');
}

function localDamage(key: string, what: string): CooldownFailure {
  return new CooldownFailure('LOCAL_DAMAGED', `local segment ${key} is damaged: ${what}`);
}
