/** How much data tables have: shared ones in their vault, replicated ones by their last reports. */
import type { TabletId } from '../base/ids.ts';
import { type TableDef, isReplicated } from '../base/schema.ts';
import type { TabletInfo } from '../catalog/tablet_index.ts';
import type { Services } from './services.ts';

export interface DataSize {
  /** On local disks, over all replicas, or in the vault. */
  readonly bytes: number;
  /** Once, however many replicas there are: cooled, or in the vault. */
  readonly remoteBytes: number;
  /** A tablet of a shared table counts as one. */
  readonly replicas: number;
  readonly rows: number;
}

const NOTHING: DataSize = { bytes: 0, remoteBytes: 0, replicas: 0, rows: 0 };

export function tabletsSize(
  services: Pick<Services, 'board' | 'catalog'>,
  table: Pick<TableDef, 'replication'>,
  tablets: readonly TabletInfo[],
): DataSize {
  return tablets
    .map((tablet) =>
      isReplicated(table) ? replicatedSize(services, tablet.tabletId) : sharedSize(tablet),
    )
    .reduce(plus, NOTHING);
}

export function plus(one: DataSize, other: DataSize): DataSize {
  return {
    bytes: one.bytes + other.bytes,
    remoteBytes: one.remoteBytes + other.remoteBytes,
    replicas: one.replicas + other.replicas,
    rows: one.rows + other.rows,
  };
}

function sharedSize({ bytes, rows }: TabletInfo): DataSize {
  return { bytes, remoteBytes: bytes, replicas: 1, rows };
}

function replicatedSize(
  { board, catalog }: Pick<Services, 'board' | 'catalog'>,
  tabletId: TabletId,
): DataSize {
  const replicas = catalog.replicas.ofTablet(tabletId);
  const reports = replicas.flatMap(
    ({ backendId, replicaId }) => board.get(backendId, tabletId, replicaId) ?? [],
  );
  return {
    bytes: reports.reduce((sum, { localBytes }) => sum + localBytes, 0),
    remoteBytes: reports.reduce((most, { remoteBytes }) => Math.max(most, remoteBytes), 0),
    replicas: replicas.length,
    rows: reports.reduce((most, { rows }) => Math.max(most, rows), 0),
  };
}
