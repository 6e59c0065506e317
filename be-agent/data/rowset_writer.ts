/**
 * Writes the rows of one tablet as one rowset whose name the server has planned: full segments go
 * to the uploader while the next one is collected, so that memory is bounded as a load's.
 */
import type { Config } from '../../base/config.ts';
import type { PartitionId } from '../../base/ids.ts';
import type { ColumnDef, NewRowset, SegmentMeta } from '../../base/schema.ts';
import { segmentKey } from '../../base/schema.ts';
import type { SqlValue } from '../../base/values.ts';
import type { ColumnCodec } from './column_codec.ts';
import type { SegmentUploader } from './segment_uploader.ts';
import { SEGMENT_ROWS_MAX, SegmentBuilder, type SegmentIdentity } from './segment_writer.ts';

export interface RowsetWriterOptions {
  readonly identity: Omit<SegmentIdentity, 'segment'> & { readonly partitionId: PartitionId };
  readonly columns: readonly ColumnDef[];
  /** One per column. */
  readonly codecs: readonly ColumnCodec[];
  readonly uploader: SegmentUploader;
  readonly config: Config;
}

export class RowsetWriter {
  readonly #options: RowsetWriterOptions;
  readonly #segments: SegmentMeta[] = [];
  #builder: SegmentBuilder;
  #rows = 0;

  constructor(options: RowsetWriterOptions) {
    this.#options = options;
    this.#builder = this.#newBuilder();
  }

  /** Appended so far. */
  get rows(): number {
    return this.#rows;
  }

  /** `row`: canonical values, one per column. True: `flush` before the next one. */
  append(row: readonly SqlValue[]): boolean {
    this.#builder.append(row);
    this.#rows += 1;
    const { config } = this.#options;
    const limit = Math.min(config.get('segment_max_bytes'), config.get('load_memory_bytes') / 2);
    return this.#builder.bytes >= limit || this.#builder.rows >= SEGMENT_ROWS_MAX;
  }

  /** Begins to upload what was collected. Throws an earlier upload's failure. */
  async flush(): Promise<void> {
    if (this.#builder.rows === 0) return;
    const { uploader, config, identity } = this.#options;
    const { meta, body } = await this.#builder.build();
    const half = config.get('load_memory_bytes') / 2;
    while (uploader.bytesInFlight >= half) await uploader.waitForOne();
    await uploader.add(segmentKey(identity.tabletId, identity.rowsetId, meta.segment), body);
    this.#segments.push(meta);
    this.#builder = this.#newBuilder();
  }

  /** The rowset once the uploader has finished. */
  async finish(): Promise<NewRowset> {
    await this.flush();
    const { tabletId, rowsetId, partitionId } = this.#options.identity;
    const segments = this.#segments;
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    return { rowsetId, tabletId, partitionId, rows: this.#rows, bytes, segments };
  }

  #newBuilder(): SegmentBuilder {
    const { columns, codecs, identity } = this.#options;
    return new SegmentBuilder(columns, codecs, { ...identity, segment: this.#segments.length });
  }
}
