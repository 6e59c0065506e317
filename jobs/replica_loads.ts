/**
 * Loads of replicated tables, the server's part: where the rows have to go, and telling the backends
 * what became of a load. Backends that do not hear of it ask (`txnOutcomes`).
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, ReplicaId, TabletId, TxnId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type {
  BackendAddress,
  LoadReplicas,
  PreparedReplicas,
  PublishedVersion,
  TxnOutcome,
} from '../base/replica.ts';
import type { TableDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { majorityOf, requiredReplicas } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';

/** Longest wait of a load that is visible for a majority of every tablet to show it. */
const SETTLE_WAIT_MS = 3000;
/** Until a backend has answered; it asks by itself then. */
const SETTLE_TIMEOUT_MS = 10_000;
/** Transactions of one question that are answered. */
const TXNS_MAX = 10_000;

export interface ReplicaLoadsDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Where the rows of a load of this table go; all its tablets are named. Backends reach each other
 * also when this server has just started and has not heard of them yet.
 */
export async function loadReplicas(
  { catalog, registry }: Pick<ReplicaLoadsDeps, 'catalog' | 'registry'>,
  table: TableDef,
): Promise<LoadReplicas> {
  const holders = new Set<BackendId>();
  const tablets = table.partitions.flatMap(({ partitionId, replicationNum }) =>
    catalog.tablets.ofPartition(partitionId).map(({ tabletId }) => {
      const replicas = catalog.replicas.ofTablet(tabletId);
      for (const { backendId } of replicas) holders.add(backendId);
      return {
        tabletId,
        partitionId,
        replicas: replicas.map(({ replicaId, backendId }) => ({ replicaId, backendId })),
        required: requiredReplicas(replicationNum ?? 1, replicas),
      };
    }),
  );
  const isUp = (backendId: BackendId): boolean =>
    registry.isAlive(backendId) || registry.mayBeStarting(backendId);
  const backends = (await catalog.backends.list())
    .filter(({ backendId }) => holders.has(backendId) && isUp(backendId))
    .map(({ backendId, host, httpPort }): BackendAddress => ({ backendId, host, httpPort }));
  return { backends, tablets };
}

/**
 * What became of these transactions. One that the catalog does not know any more and that made no
 * version which some replica could still lack was aborted, or is of no use to anybody.
 */
export async function txnOutcomes(
  catalog: Catalog,
  txnIds: readonly TxnId[],
): Promise<TxnOutcome[]> {
  const outcomes: TxnOutcome[] = [];
  for (const txnId of txnIds.slice(0, TXNS_MAX)) outcomes.push(await txnOutcome(catalog, txnId));
  return outcomes;
}

async function txnOutcome(catalog: Catalog, txnId: TxnId): Promise<TxnOutcome> {
  // The versions outlive the load's row: they are asked first.
  const versions = catalog.replicas.versionsOf(txnId);
  if (versions.length > 0) return { txnId, state: 'VISIBLE', versions };
  const load = await catalog.loads.find(txnId);
  switch (load?.state) {
    case undefined:
      return { txnId, state: 'UNKNOWN' };
    case 'ABORTED':
      return { txnId, state: 'ABORTED' };
    case 'PREPARE':
    case 'COMMITTING':
      return { txnId, state: 'RUNNING' };
    case 'VISIBLE': {
      // It may have become visible between the two questions.
      const made = catalog.replicas.versionsOf(txnId);
      if (made.length > 0) return { txnId, state: 'VISIBLE', versions: made };
      // Every replica has its versions from somewhere: what is prepared is of no use.
      return { txnId, state: 'UNKNOWN' };
    }
  }
}

/**
 * Tells the backends that have prepared it that the load is visible. Resolves when a majority of
 * every tablet shows it, or after a few seconds: it is visible all the same, and a scan that comes
 * too early makes its backend ask.
 */
export async function settleVisible(
  deps: ReplicaLoadsDeps,
  txnId: TxnId,
  prepared: readonly PreparedReplicas[],
): Promise<void> {
  const versions: readonly PublishedVersion[] = deps.catalog.replicas.versionsOf(txnId);
  const backendOf = new Map<ReplicaId, BackendId>();
  const open = new Map<TabletId, number>();
  const tabletsOf = new Map<BackendId, TabletId[]>();
  for (const { tabletId, replicaIds } of prepared) {
    const replicas = deps.catalog.replicas.ofTablet(tabletId);
    for (const { replicaId, backendId } of replicas) backendOf.set(replicaId, backendId);
    const holders = replicaIds.flatMap((replicaId) => backendOf.get(replicaId) ?? []);
    open.set(tabletId, Math.min(holders.length, majorityOf(replicas.length)));
    for (const backendId of holders) {
      const own = tabletsOf.get(backendId);
      if (own === undefined) tabletsOf.set(backendId, [tabletId]);
      else own.push(tabletId);
    }
  }
  for (const [tabletId, lacking] of open) if (lacking === 0) open.delete(tabletId);
  const shown = Promise.withResolvers<void>();
  const calls = [...tabletsOf].map(async ([backendId, tablets]) => {
    if (!(await tell(deps, backendId, { txnId, state: 'VISIBLE', versions }))) return;
    for (const tabletId of tablets) {
      const lacking = open.get(tabletId) ?? 0;
      if (lacking > 1) open.set(tabletId, lacking - 1);
      else open.delete(tabletId);
    }
    if (open.size === 0) shown.resolve();
  });
  const stopTimer = deps.clock.after(SETTLE_WAIT_MS, () => {
    shown.resolve();
  });
  await Promise.race([shown.promise, Promise.all(calls)]);
  stopTimer();
}

/** Tells all backends that may have prepared it, as well as it can. Answers at once. */
export function settleAborted(deps: ReplicaLoadsDeps, txnId: TxnId, replicas: LoadReplicas): void {
  for (const { backendId } of replicas.backends) {
    void tell(deps, backendId, { txnId, state: 'ABORTED' });
  }
}

/** Whether it has heard. */
async function tell(
  { transport, log }: Pick<ReplicaLoadsDeps, 'transport' | 'log'>,
  backendId: BackendId,
  outcome: TxnOutcome,
): Promise<boolean> {
  const { txnId, state } = outcome;
  try {
    const options = { timeoutMs: SETTLE_TIMEOUT_MS };
    await transport.call(backendId, 'settleTxns', { txns: [outcome] }, options);
    return true;
  } catch (error) {
    log.info('a backend will ask what became of a load', {
      backendId,
      txnId,
      state,
      error: String(error),
    });
    return false;
  }
}
