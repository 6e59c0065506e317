/**
 * A compaction on a backend: the rows of some neighbouring rowsets of a tablet, in their order, into
 * one new rowset. Each segment of it is sorted by the key columns, as a load's are. Nothing of it is
 * visible before the server commits; when anything fails, what was written is deleted.
 */
import { setImmediate } from 'node:timers/promises';
import type { CompactRequest, CompactReply } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type IndexId, type TableId, id } from '../../base/ids.ts';
import type { Clock, Log, ObjectStore } from '../../base/ports.ts';
import { FooterCache } from './footer_cache.ts';
import { RowsetWriter } from './rowset_writer.ts';
import { type OpenObject, Scan } from './scan.ts';
import { SegmentUploader } from './segment_uploader.ts';
import { codecsOf } from './segment_writer.ts';

/** Rows after which other work of the thread (heartbeats, reads) gets its turn, some 20 ms. */
const ROWS_WITHOUT_PAUSE = 4096;
/** Footers are read once; no more of them than a compaction of many small rowsets looks ahead. */
const FOOTER_BYTES_MAX = 4 * 2 ** 20;

export interface CompactionServices {
  /** The output's vault. */
  readonly store: ObjectStore;
  /** The inputs' objects. */
  readonly openObject: OpenObject;
  readonly clock: Clock;
  readonly config: Config;
  readonly log: Log;
}

/** Throws CORRUPT_OBJECT, STORE_FAILED, or the signal's reason. */
export async function runCompaction(
  request: CompactRequest,
  services: CompactionServices,
  signal: AbortSignal,
): Promise<CompactReply> {
  const { store, clock, config, log } = services;
  const uploader = new SegmentUploader({ store, clock, log, signal });
  const { tabletId, partitionId, rowsetId, schemaVersion, columns, inputs } = request;
  const writer = new RowsetWriter({
    identity: { tabletId, partitionId, rowsetId, schemaVersion },
    columns,
    codecs: codecsOf(columns),
    uploader,
    config,
  });
  try {
    await copyRows(request, services.openObject, writer, signal);
    const wanted = inputs.reduce((sum, input) => sum + input.rows, 0);
    if (writer.rows !== wanted) {
      const what = `its compaction has ${writer.rows} rows instead of ${wanted}`;
      throw new SqlError('CORRUPT_OBJECT', { key: `tablet ${tabletId}`, what });
    }
    const rowset = await writer.finish();
    await uploader.finish();
    signal.throwIfAborted();
    return { rowset };
  } catch (error) {
    await uploader.discard();
    // What the end of a stopped upload looks like is not the reason.
    signal.throwIfAborted();
    throw error;
  }
}

async function copyRows(
  { tabletId, partitionId, tableName, columns, inputs }: CompactRequest,
  openObject: OpenObject,
  writer: RowsetWriter,
  signal: AbortSignal,
): Promise<void> {
  const scan = new Scan(
    {
      tableId: id<TableId>(0),
      tableName,
      indexId: id<IndexId>(0),
      ttlSeconds: 0,
      columns,
      predicates: [],
      tablets: [{ tabletId, partitionId, rowsets: inputs }],
    },
    openObject,
    new FooterCache(FOOTER_BYTES_MAX),
  );
  try {
    for (;;) {
      signal.throwIfAborted();
      const batch = await scan.nextBatch();
      for (let at = 0; at < batch.rows; at += 1) {
        const row = batch.columns.map((column) => column[at] ?? null);
        if (writer.append(row)) await writer.flush();
        if (writer.rows % ROWS_WITHOUT_PAUSE === 0) {
          await setImmediate();
          signal.throwIfAborted();
        }
      }
      if (batch.done) return;
    }
  } finally {
    scan.close();
  }
}
