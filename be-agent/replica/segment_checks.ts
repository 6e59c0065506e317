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
/** Bytes of segments whose checksums are compared before a scan begins: a second of a slow disk. */
const CHECKED_BEFORE_READING_BYTES = 64 * MIB;
const CHECKS_AT_ONCE = 8;
/** Segments that are known to be whole; more than these are compared again. */
const TRUSTED_MAX = 200_000;

export interface LocalSegment {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly meta: SegmentMeta;
}

/** A local segment is missing, too short, or has another checksum. */
export class DamagedSegment extends Error {
  readonly segment: LocalSegment;
  readonly what: string;

  constructor(segment: LocalSegment, what: string, cause?: unknown) {
    super(`${keyOf(segment)}: ${what}`, cause === undefined ? undefined : { cause });
    this.name = 'DamagedSegment';
    this.segment = segment;
    this.what = what;
  }

  toSqlError(): SqlError {
    const key = keyOf(this.segment);
    return new SqlError('CORRUPT_OBJECT', { key, what: this.what }, { cause: this });
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

  /**
   * Before a scan gives its first row, as another replica can take its place until then: all files
   * are there in their length, and of those that were not read yet the first bytes have their
   * checksums; the rest is compared when it is read. Throws DamagedSegment, ObjectStoreError.
   */
  async beforeReading(segments: readonly LocalSegment[]): Promise<void> {
    let budget = CHECKED_BEFORE_READING_BYTES;
    const rest = segments.values();
    const worker = async (): Promise<void> => {
      for (const segment of rest) {
        await this.requireSize(segment);
        if (budget < segment.meta.bytes || this.#isTrusted(segment)) continue;
        budget -= segment.meta.bytes;
        await this.#once(segment);
      }
    };
    await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, worker));
  }

  /** Exactly the range. Throws DamagedSegment, ObjectStoreError. */
  async read(
    segment: LocalSegment,
    range: { readonly offset: number; readonly length: number },
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { tabletId, rowsetId, meta } = segment;
    await this.#once(segment);
    const reading = this.#local.get(tabletId, rowsetId, meta.segment, range, signal);
    const bytes = await missingIsDamage(segment, reading);
    if (bytes.byteLength === range.length) return bytes;
    throw new DamagedSegment(segment, `it ends before byte ${range.offset + range.length}`);
  }

  /** Reads all of it; throws DamagedSegment, ObjectStoreError. */
  async verify(segment: LocalSegment): Promise<void> {
    const { tabletId, rowsetId, meta } = segment;
    await this.requireSize(segment);
    let sum = 0;
    for (let offset = 0; offset < meta.bytes; offset += READ_BYTES) {
      const length = Math.min(READ_BYTES, meta.bytes - offset);
      const reading = this.#local.get(tabletId, rowsetId, meta.segment, { offset, length });
      sum = crc32(await missingIsDamage(segment, reading), sum);
    }
    if (sum !== meta.crc32) {
      this.#trusted.delete(keyOf(segment));
      throw new DamagedSegment(segment, `its checksum is ${sum} instead of ${meta.crc32}`);
    }
    this.trust(tabletId, rowsetId, meta.segment);
  }

  /** The file is there in its length. Throws DamagedSegment, ObjectStoreError. */
  async requireSize(segment: LocalSegment): Promise<void> {
    const size = (await this.#local.store.head(keyOf(segment)))?.size;
    if (size === undefined) throw new DamagedSegment(segment, 'it is missing');
    const { bytes } = segment.meta;
    if (size === bytes) return;
    throw new DamagedSegment(segment, `it has ${size} bytes instead of ${bytes}`);
  }

  #isTrusted(segment: LocalSegment): boolean {
    return this.#trusted.has(keyOf(segment));
  }

  async #once(segment: LocalSegment): Promise<void> {
    if (this.#isTrusted(segment)) return;
    const key = keyOf(segment);
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

function keyOf({ tabletId, rowsetId, meta }: LocalSegment): string {
  return segmentKey(tabletId, rowsetId, meta.segment);
}

async function missingIsDamage(
  segment: LocalSegment,
  reading: Promise<Uint8Array>,
): Promise<Uint8Array> {
  try {
    return await reading;
  } catch (error) {
    const { kind } = error as Partial<ObjectStoreError>;
    if (kind !== 'NOT_FOUND' && kind !== 'RANGE' && kind !== 'TRUNCATED') throw error;
    throw new DamagedSegment(segment, 'it is missing or too short', error);
  }
}
