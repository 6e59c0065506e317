/**
 * The model of content: what rows every version of every tablet has. Segments of the simulation
 * are lists of row names, so that whoever has bytes can say which rows they are.
 */
import { crc32 } from 'node:zlib';
import type { RowsetId, TabletId, TxnId } from '../../base/ids.ts';
import type { SegmentMeta } from '../../base/schema.ts';

/** The body of a segment with these rows. */
export function segmentBody(rows: readonly string[]): Uint8Array {
  return new TextEncoder().encode(`ROWS ${rows.join(' ')}\n`);
}

export function rowsOfBody(body: Uint8Array): readonly string[] | undefined {
  const [, rows] = /^ROWS (.*)\n$/.exec(new TextDecoder().decode(body)) ?? [];
  return rows === undefined ? undefined : rows.split(' ').filter((row) => row !== '');
}

export function segmentMeta(segment: number, body: Uint8Array, rows: number): SegmentMeta {
  const bytes = body.length;
  return { segment, bytes, rows, indexOffset: bytes - 1, crc32: crc32(body) };
}

export class Content {
  /** By tablet: rows of each version. */
  readonly #versions = new Map<TabletId, Map<number, readonly string[]>>();
  readonly #loaded = new Map<
    string,
    { readonly rows: readonly string[]; readonly bytes: number }
  >();
  readonly #built = new Map<RowsetId, readonly string[]>();
  /** Bytes of all rowsets that became visible, once per tablet. */
  logicalBytes = 0;

  /** What a load wrote into a rowset, before it has a version. */
  built(rowsetId: RowsetId, rows: readonly string[]): void {
    this.#built.set(rowsetId, rows);
  }

  rowsOfRowset(rowsetId: RowsetId): readonly string[] | undefined {
    return this.#built.get(rowsetId);
  }

  /** What a transaction has for a tablet, before it is visible. */
  loaded(txnId: TxnId, tabletId: TabletId, rows: readonly string[], bytes: number): void {
    this.#loaded.set(`${txnId}/${tabletId}`, { rows, bytes });
  }

  /** The transaction made this version of the tablet. */
  committed(txnId: TxnId, tabletId: TabletId, version: number): void {
    const { rows, bytes } = this.#loaded.get(`${txnId}/${tabletId}`) ?? { rows: [], bytes: 0 };
    this.visible(tabletId, version, rows, bytes);
  }

  visible(tabletId: TabletId, version: number, rows: readonly string[], bytes: number): void {
    const versions = this.#versions.get(tabletId) ?? new Map<number, readonly string[]>();
    this.#versions.set(tabletId, versions);
    if (versions.has(version)) return;
    versions.set(version, rows);
    this.logicalBytes += bytes;
  }

  /** Rows of the versions from `start` to `end`, sorted. */
  expected(tabletId: TabletId, start: number, end: number): readonly string[] {
    const rows: string[] = [];
    for (const [version, added] of this.#versions.get(tabletId) ?? []) {
      if (version >= start && version <= end) rows.push(...added);
    }
    return rows.sort();
  }
}
