/**
 * What is done about a catalog that was restored from an older copy, or whose last transactions were
 * lost: backends have versions which it does not know. Every version that a replica has was published
 * by a catalog, so it is made visible again. Otherwise the next load would get a number that is
 * taken, and its rows would be lost though it was acknowledged.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PartitionId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { isComplete } from '../catalog/replicas.ts';
import type { ReplicaVersion } from '../catalog/load_commit.ts';
import type { ReplicaBoard } from './replica_board.ts';

/** Tablets looked at before others have their turn. */
const TURN_TABLETS = 1000;

export interface VersionRecoveryDeps {
  readonly catalog: Catalog;
  readonly board: Pick<ReplicaBoard, 'get'>;
  readonly log: Log;
}

/** Partitions of these tablets that a replica has a later version of than is visible. */
export async function recoverVersions(
  deps: VersionRecoveryDeps,
  tabletIds: Iterable<TabletId>,
): Promise<void> {
  const { catalog } = deps;
  const visible = new VisibleVersions(catalog);
  const ahead = new Set<PartitionId>();
  let looked = 0;
  for (const tabletId of tabletIds) {
    looked += 1;
    if (looked % TURN_TABLETS === 0) await nextTurn();
    const tablet = catalog.tablets.get(tabletId);
    if (tablet === undefined || ahead.has(tablet.partitionId)) continue;
    // First what was reported, then what is visible: a load may become so in between.
    const reported = highestOf(deps, tabletId);
    if (reported === undefined) continue;
    const known = await visible.of(tablet);
    if (known !== undefined && reported > known) ahead.add(tablet.partitionId);
  }
  for (const partitionId of ahead) await recoverPartition(deps, partitionId);
}

/** As far as each of its tablets has a replica that has it. */
async function recoverPartition(deps: VersionRecoveryDeps, partitionId: PartitionId) {
  const { catalog, log } = deps;
  const tablets = catalog.tablets.ofPartition(partitionId);
  const [tablet] = tablets;
  if (tablet === undefined) return;
  const highest = tablets.map(({ tabletId }) => highestOf(deps, tabletId));
  // A tablet of which nothing is known has to report first.
  const version = highest.reduce((low, each) => Math.min(low ?? 0, each ?? 0));
  if (version === undefined || version === 0) return;
  const behind = tablets.flatMap(({ tabletId }) => behindOf(deps, tabletId, version));
  const { tableId } = tablet;
  if (!(await catalog.recoverVersion(tableId, partitionId, version, behind))) return;
  const what = 'the catalog is older than what its backends have: a version is visible again';
  log.error(what, { tableId, partitionId, version, behind: behind.length });
}

/** Of the tablet's replicas, by their last reports; undefined: none has reported. */
function highestOf({ catalog, board }: VersionRecoveryDeps, tabletId: TabletId) {
  let highest: number | undefined;
  for (const { backendId, replicaId } of catalog.replicas.ofTablet(tabletId)) {
    const version = board.get(backendId, tabletId, replicaId)?.version;
    if (version !== undefined) highest = Math.max(highest ?? 0, version);
  }
  return highest;
}

function behindOf(
  { catalog, board }: VersionRecoveryDeps,
  tabletId: TabletId,
  version: number,
): ReplicaVersion[] {
  return catalog.replicas.ofTablet(tabletId).flatMap((replica) => {
    const { backendId, replicaId } = replica;
    const has = board.get(backendId, tabletId, replicaId)?.version;
    if (has === undefined || has >= version || !isComplete(replica)) return [];
    return [{ replicaId, version: has }];
  });
}

/** Each table is read once. */
class VisibleVersions {
  readonly #catalog: Catalog;
  readonly #tables = new Map<number, ReadonlyMap<PartitionId, number>>();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  async of({
    tableId,
    partitionId,
  }: NonNullable<ReturnType<Catalog['tablets']['get']>>): Promise<number | undefined> {
    const known = this.#tables.get(tableId);
    if (known !== undefined) return known.get(partitionId);
    const table = await this.#catalog.tables.byId(tableId);
    const versions = new Map(
      (table?.partitions ?? []).map((one) => [one.partitionId, one.visibleVersion]),
    );
    this.#tables.set(tableId, versions);
    return versions.get(partitionId);
  }
}
