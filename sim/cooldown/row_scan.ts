/** A scan of segments that are lists of row names, one at a time, as the real one reads Parquet. */
import type { OpenScanRequest, ScanBatch } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import { type Clock, type ObjectStore, ObjectStoreError } from '../../base/ports.ts';
import { type RowsetMeta, segmentKey } from '../../base/schema.ts';
import type { SegmentSource } from '../../be-agent/data/scan.ts';
import type { PlannedScan } from '../../be-agent/replica/replica_scans.ts';
import { rowsOfBody } from './content.ts';

export interface RowScanOptions {
  readonly planned: PlannedScan;
  /** Where cooled rowsets are. */
  readonly remote: ObjectStore;
  readonly clock: Clock;
  /** How long a segment takes, milliseconds. */
  readonly segmentMs: () => number;
  /** An object that was to be read is not there. */
  readonly onMissing: (key: string) => void;
}

export class RowScan {
  readonly #options: RowScanOptions;
  readonly #sources: SegmentSource[];

  constructor(options: RowScanOptions) {
    this.#options = options;
    this.#sources = sourcesOf(options.planned.request);
  }

  /** Those that are not read from the local disk. */
  get remoteRowsets(): readonly RowsetMeta[] {
    const { planned } = this.#options;
    return this.#sources
      .filter((source) => planned.open(source) === undefined)
      .map(({ rowset }) => rowset);
  }

  async nextBatch(): Promise<ScanBatch> {
    const source = this.#sources.shift();
    if (source === undefined) return { rows: 0, columns: [[]], done: true };
    const { clock, segmentMs } = this.#options;
    await clock.sleep(segmentMs());
    const { key, body } = await this.#read(source);
    const rows = rowsOfBody(body);
    if (rows === undefined) throw new SqlError('CORRUPT_OBJECT', { key, what: 'no list of rows' });
    return { rows: rows.length, columns: [[...rows]], done: false };
  }

  close(): void {
    this.#sources.length = 0;
  }

  async #read(source: SegmentSource): Promise<{ readonly key: string; readonly body: Uint8Array }> {
    const { planned, remote, onMissing } = this.#options;
    const { tablet, rowset, segment } = source;
    const key = segmentKey(tablet.tabletId, rowset.rowsetId, segment.segment);
    try {
      const local = planned.open(source);
      const body = local === undefined ? await remote.get(key) : await local.read(0, segment.bytes);
      return { key, body };
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
      if (error.kind === 'NOT_FOUND') onMissing(key);
      throw new SqlError('STORE_FAILED', { what: error.message }, { cause: error });
    }
  }
}

function sourcesOf({ tablets }: OpenScanRequest): SegmentSource[] {
  return tablets.flatMap((tablet) =>
    tablet.rowsets.flatMap((rowset) =>
      rowset.segments.map((segment): SegmentSource => ({ tablet, rowset, segment })),
    ),
  );
}
