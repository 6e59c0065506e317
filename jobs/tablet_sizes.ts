/**
 * How large tablets of replicated tables are, and how many rows they have: by the report of the
 * replica that has come farthest. In memory only; after a start all are empty until they are
 * reported.
 */
import type { TabletId } from '../base/ids.ts';
import type { ReplicaReport } from '../base/replica.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ReplicaBoard } from './replica_board.ts';

export interface TabletSizesDeps {
  readonly catalog: Catalog;
  readonly board: ReplicaBoard;
}

/** Follows reports until the returned function is called. */
export function followTabletSizes({ catalog, board }: TabletSizesDeps): () => void {
  return board.onChange(({ tablets }) => {
    for (const tabletId of tablets) {
      const report = farthest(tabletId, { catalog, board });
      if (report === undefined) continue;
      catalog.tablets.setSize(tabletId, report.localBytes + report.remoteBytes, report.rows);
    }
  });
}

function farthest(tabletId: TabletId, { catalog, board }: TabletSizesDeps) {
  let best: ReplicaReport | undefined;
  for (const { backendId, replicaId } of catalog.replicas.ofTablet(tabletId)) {
    const report = board.get(backendId, tabletId, replicaId);
    if (report !== undefined && report.version > (best?.version ?? -1)) best = report;
  }
  return best;
}
