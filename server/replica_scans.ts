/**
 * Reading a replicated table: each tablet from one of its replicas, and from the next one when that
 * cannot be read. Replicas that are known to miss versions come last, since what the server knows of
 * them may be old: a backend refuses to read what it does not have (REPLICA_BEHIND).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { OpenScanRequest } from '../base/agent_messages.ts';
import { type ErrorName, SqlError } from '../base/errors.ts';
import type { BackendId, PartitionId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import { FIRST_VERSION } from '../base/replica.ts';
import type { PartitionDef } from '../base/schema.ts';
import { type ReplicaDef, isComplete } from '../catalog/replicas.ts';
import { untilStarted } from '../jobs/starting_backends.ts';
import type { BackendScan } from './backend_scan.ts';
import { RecentScans } from './recent_scans.ts';
import type { ScanRows } from './select/table_provider.ts';
import type { Services } from './services.ts';

/** Until a backend has found the replicas of a scan; then the next one is tried. */
const OPEN_TIMEOUT_MS = 30_000;
/** Tablets looked at before others have their turn: 10,000 at a time took 60 ms. */
const TURN_TABLETS = 1000;
/** Replicas that an error names. */
const NAMED_MAX = 10;

export type ReplicaScanServices = Pick<
  Services,
  'catalog' | 'registry' | 'transport' | 'board' | 'clock' | 'log'
> & {
  /** Those of the whole server; absent: nothing is known of earlier scans. */
  readonly scans?: RecentScans;
};

/** What is the same in all requests of a scan. */
export type ScanShape = Omit<OpenScanRequest, 'tablets'>;

interface WantedTablet {
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  readonly version: number;
  /** Replicas not tried yet, the best first. */
  readonly candidates: ReplicaDef[];
  /** Why those that were tried cannot be read. */
  readonly failures: string[];
}

/** After which another replica may do better. */
const TRY_ANOTHER: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'AGENT_LOST',
  'BACKEND_STATE',
  'REPLICA_BEHIND',
  'REPLICA_MISSING',
  'REPLICA_BAD',
  'CONFUSED_REPLICA',
  'CORRUPT_OBJECT',
  'STORE_FAILED',
]);

/** Throws REPLICA_NONE_READABLE, and what a scan throws that has given rows already. */
export async function* scanReplicas(
  services: ReplicaScanServices,
  shape: ScanShape,
  tablets: ReadonlyMap<TabletId, PartitionDef>,
  signal: AbortSignal,
): AsyncGenerator<ScanRows> {
  await untilReadable(services, tablets);
  const { scans = new RecentScans(services) } = services;
  let open = await wantedTablets(services, tablets);
  while (open.length > 0) {
    const again: WantedTablet[] = [];
    for (const [scan, wanted] of scansOf(shape, open)) {
      let hasRows = false;
      try {
        for await (const rows of scans.read(scan, signal)) {
          hasRows = true;
          yield rows;
        }
      } catch (error) {
        if (hasRows || signal.aborted || !mayTryAnother(error)) throw error;
        const { backendId } = scan;
        services.log.info('a replica cannot be read', { backendId, error: String(error) });
        passOver(wanted, error);
        again.push(...wanted);
      }
    }
    open = again;
  }
}

/** After a start of the server its backends are not there at once. */
async function untilReadable(
  services: ReplicaScanServices,
  tablets: ReadonlyMap<TabletId, PartitionDef>,
): Promise<void> {
  const { catalog, registry } = services;
  const replicas: (readonly ReplicaDef[])[] = [];
  const backends = new Set<BackendId>();
  for (const tabletId of tablets.keys()) {
    if (replicas.length % TURN_TABLETS === TURN_TABLETS - 1) await nextTurn();
    const own = catalog.replicas.ofTablet(tabletId);
    for (const { backendId } of own) backends.add(backendId);
    replicas.push(own);
  }
  const areReadable = (): boolean =>
    replicas.every((own) =>
      own.some((replica) => isComplete(replica) && registry.isAlive(replica.backendId)),
    );
  await untilStarted(services, [...backends], areReadable);
}

/** The scans that would be opened first, for EXPLAIN. Throws REPLICA_NONE_READABLE. */
export async function planReplicaScans(
  services: ReplicaScanServices,
  shape: ScanShape,
  tablets: ReadonlyMap<TabletId, PartitionDef>,
): Promise<BackendScan[]> {
  return [...scansOf(shape, await wantedTablets(services, tablets)).keys()];
}

/** Empty partitions are not asked for. */
async function wantedTablets(
  services: ReplicaScanServices,
  tablets: ReadonlyMap<TabletId, PartitionDef>,
): Promise<WantedTablet[]> {
  const wanted: WantedTablet[] = [];
  for (const [tabletId, { partitionId, visibleVersion: version }] of tablets) {
    if (version <= FIRST_VERSION) continue;
    if (wanted.length % TURN_TABLETS === TURN_TABLETS - 1) await nextTurn();
    const replicas = services.catalog.replicas.ofTablet(tabletId);
    const isAlive = ({ backendId }: ReplicaDef): boolean => services.registry.isAlive(backendId);
    wanted.push({
      tabletId,
      partitionId,
      version,
      candidates: inOrder(services, tabletId, replicas.filter(isAlive)),
      failures: replicas
        .filter((replica) => !isAlive(replica))
        .map(({ replicaId, backendId }) => `${replicaId} (backend ${backendId} is not alive)`),
    });
  }
  return wanted;
}

/**
 * Complete ones first. Of these the leader's when all is cooled, so that one cache has it and not
 * all; else by rendezvous, which spreads tablets and gives each the same place every time.
 */
function inOrder(
  { catalog, board }: Pick<Services, 'catalog' | 'board'>,
  tabletId: TabletId,
  replicas: readonly ReplicaDef[],
): ReplicaDef[] {
  const reports = replicas.map((one) => board.get(one.backendId, tabletId, one.replicaId));
  const isCooled = reports.some(
    (report) => report !== undefined && report.localBytes === 0 && report.remoteBytes > 0,
  );
  const leader = isCooled ? catalog.cooldown.lead(tabletId)?.replicaId : undefined;
  const rank = (replica: ReplicaDef, at: number): number => {
    if (reports[at]?.isBad === true) return 3;
    if (!isComplete(replica)) return 2;
    return replica.replicaId === leader ? 0 : 1;
  };
  const ranked = replicas.map((replica, at) => ({ replica, rank: rank(replica, at) }));
  const left = new Map(ranked.map((one) => [one.replica.backendId, one]));
  const spread: (typeof ranked)[number][] = [];
  while (left.size > 0) {
    const backendId = servingBackend(tabletId, [...left.keys()]);
    const next = backendId === undefined ? undefined : left.get(backendId);
    if (backendId === undefined || next === undefined) break;
    left.delete(backendId);
    spread.push(next);
  }
  return spread.toSorted((a, b) => a.rank - b.rank).map(({ replica }) => replica);
}

function scansOf(
  shape: ScanShape,
  tablets: readonly WantedTablet[],
): Map<BackendScan, WantedTablet[]> {
  const byBackend = new Map<BackendId, WantedTablet[]>();
  for (const tablet of tablets) {
    const [replica] = tablet.candidates;
    if (replica === undefined) throw noneReadable(tablet);
    const own = byBackend.get(replica.backendId);
    if (own === undefined) byBackend.set(replica.backendId, [tablet]);
    else own.push(tablet);
  }
  const scans = new Map<BackendScan, WantedTablet[]>();
  for (const [backendId, own] of byBackend) {
    const wanted = own.flatMap(({ tabletId, partitionId, version, candidates: [replica] }) =>
      replica === undefined
        ? []
        : [{ tabletId, partitionId, rowsets: [], replica: { ...nameOf(replica), version } }],
    );
    const request = { ...shape, tablets: wanted };
    scans.set({ backendId, request, openTimeoutMs: OPEN_TIMEOUT_MS }, own);
  }
  return scans;
}

function nameOf({ replicaId }: ReplicaDef): Pick<ReplicaDef, 'replicaId'> {
  return { replicaId };
}

function mayTryAnother(error: unknown): error is SqlError {
  return error instanceof SqlError && TRY_ANOTHER.has(error.code);
}

/** An error that names one of the tablets is about that one only. */
function passOver(tablets: readonly WantedTablet[], error: SqlError): void {
  const named = tablets.filter(({ tabletId }) => String(error.args['tablet']) === String(tabletId));
  for (const { candidates, failures } of named.length === 0 ? tablets : named) {
    const replica = candidates.shift();
    if (replica === undefined) continue;
    const { replicaId, backendId } = replica;
    failures.push(`${replicaId} (backend ${backendId}: ${error.message})`);
  }
}

function noneReadable({ tabletId, version, failures }: WantedTablet): SqlError {
  const named = failures.slice(0, NAMED_MAX).join(', ') || 'it has none';
  return new SqlError('REPLICA_NONE_READABLE', { tablet: tabletId, version, replicas: named });
}
