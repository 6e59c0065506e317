/**
 * Reads of local segments. Before the first read in the life of the process a segment's checksum is
 * compared, so that a damaged disk is noticed before wrong rows go out.
 */
import { crc32 } from 'node:zlib';
import { SqlError } from '../../base/errors.ts';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { ObjectStoreError } from '../../base/ports.ts';
import { type SegmentMeta, segmentKey } from '../../base/schema.ts';
import { MIB } from '../../base/units.ts';
import type { LocalSegments } from './local_segments.ts';

/** Bytes read at once. */
const READ_BYTES = 4 * MIB;
/** Segments that are known to be whole; more than these are compared again. */
const TRUSTED_MAX = 200_000;

export interface LocalSegment {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly meta: SegmentMeta;
}

/** A local segment is missing, too short, or has another checksum. */
export class DamagedSegment extends Error {
  readonly key: string;
  readonly what: string;

  constructor(key: string, what: string, cause?: unknown) {
    super(`${key}: ${what}`, cause === undefined ? undefined : { cause });
    this.name = 'DamagedSegment';
    this.key = key;
    this.what = what;
  }

  toSqlError(): SqlError {
    return new SqlError('CORRUPT_OBJECT', { key: this.key, what: this.what }, { cause: this });
  }
}

export class SegmentChecks {
  readonly #local: LocalSegments;
  readonly #trusted = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(local: LocalSegments) {
    this.#local = local;
  }

  /** It was written by this process, whose disk cache has it. */
  trust(tabletId: TabletId, rowsetId: RowsetId, segment: number): void {
    if (this.#trusted.size >= TRUSTED_MAX) this.#trusted.clear();
    this.#trusted.add(segmentKey(tabletId, rowsetId, segment));
  }

  /** Exactly the range. Throws DamagedSegment, ObjectStoreError. */
  async read(
    segment: LocalSegment,
    range: { readonly offset: number; readonly length: number },
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { tabletId, rowsetId, meta } = segment;
    await this.#once(segment);
    const { local, key } = {
      local: this.#local,
      key: segmentKey(tabletId, rowsetId, meta.segment),
    };
    const bytes = await missingIsDamage(
      key,
      local.get(tabletId, rowsetId, meta.segment, range, signal),
    );
    if (bytes.byteLength === range.length) return bytes;
    throw new DamagedSegment(key, `it ends before byte ${range.offset + range.length}`);
  }

  /** Reads all of it; throws DamagedSegment, ObjectStoreError. */
  async verify({ tabletId, rowsetId, meta }: LocalSegment): Promise<void> {
    const key = segmentKey(tabletId, rowsetId, meta.segment);
    const size = (await this.#local.store.head(key))?.size;
    if (size === undefined) throw new DamagedSegment(key, 'it is missing');
    if (size !== meta.bytes) {
      throw new DamagedSegment(key, `it has ${size} bytes instead of ${meta.bytes}`);
    }
    let sum = 0;
    for (let offset = 0; offset < meta.bytes; offset += READ_BYTES) {
      const length = Math.min(READ_BYTES, meta.bytes - offset);
      const reading = this.#local.get(tabletId, rowsetId, meta.segment, { offset, length });
      sum = crc32(await missingIsDamage(key, reading), sum);
    }
    if (sum !== meta.crc32) {
      this.#trusted.delete(key);
      throw new DamagedSegment(key, `its checksum is ${sum} instead of ${meta.crc32}`);
    }
    this.trust(tabletId, rowsetId, meta.segment);
  }

  async #once(segment: LocalSegment): Promise<void> {
    const key = segmentKey(segment.tabletId, segment.rowsetId, segment.meta.segment);
    if (this.#trusted.has(key)) return;
    const running = this.#running.get(key);
    if (running !== undefined) {
      await running;
      return;
    }
    const checking = this.verify(segment).finally(() => {
      this.#running.delete(key);
    });
    this.#running.set(key, checking);
    await checking;
  }
}

async function missingIsDamage(key: string, reading: Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await reading;
  } catch (error) {
    const { kind } = error as Partial<ObjectStoreError>;
    if (kind !== 'NOT_FOUND' && kind !== 'RANGE' && kind !== 'TRUNCATED') throw error;
    throw new DamagedSegment(key, `it is missing or too short`, error);
  }
}
