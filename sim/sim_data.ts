/**
 * What an agent does with data besides warming: loads, rewrites and deletions. Real ones write
 * Parquet; here an object is some bytes of a drawn size, because only its blocks matter.
 */
import { crc32 } from 'node:zlib';
import type {
  AgentCalls,
  CompactReply,
  CompactRequest,
  LoadOutcome,
  LoadRequest,
  RewriteRequest,
} from '../base/agent_messages.ts';
import { type PartitionId, type RowsetId, type TabletId, rowsetId } from '../base/ids.ts';
import { type NewRowset, type SegmentMeta, segmentKey } from '../base/schema.ts';
import type { SimOptions } from './options.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { SimStoreView } from './sim_store.ts';

/** Of the tablets of a table, this part gets rows from one load. */
const TABLET_SHARE = 0.7;
const LARGE_BYTES_MIN = 2 ** 20;
const LARGE_BYTES_MAX = 5 * 2 ** 19;

export class SimData {
  readonly #store: SimStoreView;
  readonly #random: SeededRandom;
  readonly #options: SimOptions;

  constructor(store: SimStoreView, random: SeededRandom, options: SimOptions) {
    this.#store = store;
    this.#random = random;
    this.#options = options;
  }

  /** A rowset into some of the tablets of every index, as a load of a few rows would write. */
  async load({ target }: LoadRequest): Promise<LoadOutcome> {
    const rowsets: NewRowset[] = [];
    for (const { tablets } of [target, ...target.rollups]) {
      for (const [place, buckets] of tablets.entries()) {
        const partition = target.table.partitions[place];
        if (partition === undefined) continue;
        for (const tabletId of buckets) {
          if (!this.#random.chance(TABLET_SHARE)) continue;
          const newId = rowsetId(Buffer.from(this.#random.bytes(16)).toString('hex'));
          rowsets.push(await this.#write(tabletId, partition.partitionId, newId));
        }
      }
    }
    return { rowsets, loadedRows: 1, filteredRows: 0, unselectedRows: 0, loadBytes: 1 };
  }

  async rewrite({ items }: RewriteRequest): Promise<{ readonly rowsets: NewRowset[] }> {
    const rowsets: NewRowset[] = [];
    for (const { source, tabletId, rowsetId: newId } of items) {
      for (const { segment, bytes } of source.segments) {
        if (bytes === 0) continue;
        await this.#store.get(segmentKey(source.tabletId, source.rowsetId, segment));
      }
      const written = await this.#write(tabletId, source.partitionId, newId);
      rowsets.push({ ...written, rows: source.rows });
    }
    return { rowsets };
  }

  /** One rowset in place of its inputs. */
  async compact(request: CompactRequest): Promise<CompactReply> {
    const { inputs, tabletId, partitionId, rowsetId: newId } = request;
    for (const { rowsetId: from, segments } of inputs) {
      for (const { segment } of segments) {
        await this.#store.get(segmentKey(tabletId, from, segment));
      }
    }
    const written = await this.#write(tabletId, partitionId, newId);
    const rows = inputs.reduce((sum, input) => sum + input.rows, 0);
    return { rowset: { ...written, rows } };
  }

  async delete({ prefixes }: AgentCalls['deleteObjects']['request']): Promise<{ deleted: number }> {
    let deleted = 0;
    for (const prefix of prefixes) {
      for await (const page of this.#store.list(prefix)) {
        await this.#store.delete(page.map((meta) => meta.key));
        deleted += page.length;
      }
    }
    return { deleted };
  }

  async #write(tabletId: TabletId, partitionId: PartitionId, newId: RowsetId): Promise<NewRowset> {
    const segments: SegmentMeta[] = [];
    const count = this.#random.chance(0.2) ? 2 : 1;
    for (let segment = 0; segment < count; segment += 1) {
      const body = this.#body();
      await this.#store.put(segmentKey(tabletId, newId, segment), body);
      const bytes = body.length;
      const indexOffset = bytes - Math.min(bytes, 64);
      segments.push({ segment, bytes, rows: 1, indexOffset, crc32: crc32(body) });
    }
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    return { rowsetId: newId, tabletId, partitionId, rows: count, bytes, segments };
  }

  #body(): Uint8Array {
    const { segmentBytesMax, largeSegments } = this.#options;
    const random = this.#random;
    const isLarge = largeSegments && random.chance(0.1);
    const bytes = isLarge
      ? random.between(LARGE_BYTES_MIN, LARGE_BYTES_MAX)
      : random.between(100, segmentBytesMax);
    const body = new Uint8Array(bytes);
    body.set(random.bytes(16));
    return body;
  }
}
