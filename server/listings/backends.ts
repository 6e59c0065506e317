/** SHOW BACKENDS: Doris's columns in Doris's order, then ours. */
import type { BackendDef } from '../../base/schema.ts';
import { bytesText, timeText } from '../../base/units.ts';
import { type SqlRow, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { VERSION } from '../version.ts';
import { type Listing, ofGroup } from './listing.ts';

export const BACKENDS: Listing<Services> = {
  columns: [
    'BackendId',
    'Host',
    'HeartbeatPort',
    'BePort',
    'HttpPort',
    'BrpcPort',
    'ArrowFlightSqlPort',
    'LastStartTime',
    'LastHeartbeat',
    'Alive',
    'SystemDecommissioned',
    'TabletNum',
    'DataUsedCapacity',
    'TrashUsedCapacity',
    'AvailCapacity',
    'TotalCapacity',
    'UsedPct',
    'MaxDiskUsedPct',
    'RemoteUsedCapacity',
    'Tag',
    'ErrMsg',
    'Version',
    'Status',
    'ComputeGroup',
    'State',
    'CacheUsed',
    'CacheCapacity',
  ].map(textColumn),
  likeColumns: ['Host', 'ComputeGroup'],
  seen: ofGroup('ComputeGroup'),
  rows: async (services) => {
    const backends = await services.catalog.backends.list();
    return backends.map((backend) => backendRow(services, backend));
  },
};

function backendRow({ board, catalog, registry }: Services, backend: BackendDef): SqlRow {
  const { backendId, computeGroupName, adminState } = backend;
  const status = registry.status(backendId);
  const alive = status?.alive ?? false;
  const total = status?.diskTotalBytes ?? 0;
  const available = status?.diskAvailableBytes ?? 0;
  const usedPct = total === 0 ? 0 : (100 * (total - available)) / total;
  const port = String(backend.httpPort);
  let [localBytes, remoteBytes] = [0, 0];
  for (const report of board.ofBackend(backendId)) {
    localBytes += report.localBytes;
    remoteBytes += report.remoteBytes;
  }
  const error = adminState === 'STOPPED' ? 'stopped by ALTER SYSTEM' : (status?.error ?? '');
  return [
    String(backendId),
    backend.host,
    port,
    port,
    port,
    '0',
    '0',
    status === undefined ? null : timeText(status.startedMs).slice(0, 19),
    status === undefined ? null : timeText(status.lastHeartbeatMs).slice(0, 19),
    String(alive),
    String(adminState === 'DECOMMISSIONED'),
    // Of replicated tables; which tablets of shared ones it serves is in SHOW TABLETS.
    String(catalog.replicas.countOf(backendId)),
    bytesText((status?.cacheUsedBytes ?? 0) + localBytes),
    bytesText(0),
    bytesText(available),
    bytesText(total),
    `${usedPct.toFixed(2)} %`,
    `${usedPct.toFixed(2)} %`,
    bytesText(remoteBytes),
    JSON.stringify({ location: 'default', compute_group_name: computeGroupName }),
    alive ? '' : error || (status === undefined ? 'no heartbeat' : ''),
    alive ? VERSION : '',
    JSON.stringify({ kind: backend.kind, incarnation: status?.incarnation ?? null }),
    computeGroupName,
    adminState,
    status === undefined ? null : bytesText(status.cacheUsedBytes),
    status === undefined ? null : bytesText(status.cacheCapacityBytes),
  ];
}
