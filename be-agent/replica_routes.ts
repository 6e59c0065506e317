/**
 * What a backend says of its tablets over HTTP, in Doris's forms: `/api/meta/header/{tablet}`,
 * `/api/data_size/{tablet}`, `/api/compaction/show?tablet_id=`. `all` in its place, or no number, is
 * an error.
 */
import type { HttpAnswer, HttpRequest, Route } from '../base/http_server.ts';
import { type TabletId, id } from '../base/ids.ts';
import type { ReplicaRowset } from '../base/replica.ts';
import { bytesText } from '../base/units.ts';
import type { ReplicaState, ReplicaStore } from './replica/replica_store.ts';

/** Runs what only administrators may ask. */
export type Guard = (
  request: HttpRequest,
  run: () => HttpAnswer | Promise<HttpAnswer>,
) => Promise<HttpAnswer>;

export function replicaRoutes(store: ReplicaStore, guard: Guard): readonly Route[] {
  const route = (path: string, body: (replica: ReplicaState) => unknown): Route => ({
    method: 'GET',
    path,
    run: async (request) =>
      await guard(request, () => {
        const asked = request.params['tablet'] ?? request.query.get('tablet_id');
        const replica = find(store, asked ?? '');
        return 'tabletId' in replica ? { body: body(replica) } : replica;
      }),
  });
  return [
    route('/api/meta/header/{tablet}', header),
    route('/api/data_size/{tablet}', dataSize),
    route('/api/compaction/show', compaction),
  ];
}

function find(store: ReplicaStore, text: string): ReplicaState | HttpAnswer {
  if (!/^\d{1,15}$/.test(text)) return failed(400, `'${text}' is not a tablet's id`);
  const replica = store.get(id<TabletId>(Number(text)));
  return replica ?? failed(404, `this backend has no replica of tablet ${text}`);
}

function failed(status: number, msg: string): HttpAnswer {
  return { status, body: { status: 'FAILED', msg } };
}

function header(replica: ReplicaState): unknown {
  const { tableId, partitionId, indexId, tabletId, replicaId, policyId, lead, metaId } = replica;
  return {
    table_id: tableId,
    partition_id: partitionId,
    index_id: indexId,
    tablet_id: tabletId,
    replica_id: replicaId,
    storage_policy_id: policyId ?? 0,
    cooldown_replica_id: lead?.replicaId ?? -1,
    cooldown_term: lead?.term ?? -1,
    cooldown_meta_id: metaId ?? '',
    version: replica.version,
    is_bad: replica.isBad,
    rs_metas: replica.rowsets.map(rowsetMeta),
  };
}

function rowsetMeta(rowset: ReplicaRowset): unknown {
  const { place } = rowset;
  return {
    rowset_id: rowset.rowsetId,
    start_version: rowset.startVersion,
    end_version: rowset.endVersion,
    num_rows: rowset.rows,
    total_disk_size: rowset.bytes,
    num_segments: rowset.segments.length,
    creation_time: Math.floor(rowset.createdMs / 1000),
    newest_write_timestamp: Math.floor(rowset.newestWriteMs / 1000),
    resource_id: place.kind === 'remote' ? String(place.resourceId) : '',
  };
}

function dataSize({ rowsets }: ReplicaState): unknown {
  const sum = (kind: 'local' | 'remote'): number =>
    rowsets.reduce((bytes, one) => bytes + (one.place.kind === kind ? one.bytes : 0), 0);
  return { local_data_size: sum('local'), remote_data_size: sum('remote') };
}

/** Rowsets as Doris writes them: versions, segments, kind, overlap, id, size. */
function compaction({ rowsets, version }: ReplicaState): unknown {
  const gaps = rowsets.flatMap(({ startVersion }, at) => {
    const before = rowsets[at - 1]?.endVersion ?? -1;
    return startVersion > before + 1 ? [`[${before + 1}-${startVersion - 1}]`] : [];
  });
  return {
    version,
    rowsets: rowsets.map(({ rowsetId, startVersion, endVersion, segments, bytes }) => {
      const overlap = segments.length > 1 ? 'OVERLAPPING' : 'NONOVERLAPPING';
      const versions = `[${startVersion}-${endVersion}]`;
      return `${versions} ${segments.length} DATA ${overlap} ${rowsetId} ${bytesText(bytes)}`;
    }),
    missing_rowsets: gaps,
  };
}
