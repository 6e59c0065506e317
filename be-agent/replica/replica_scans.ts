/**
 * Scans of replicas: which rowsets are read, pinned until the scan ends, and local segments as
 * objects to read. What is cooled is read as any other remote object.
 */
import type { OpenScanRequest, ScanTablet } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import { type BackendId, type RowsetId, type TabletId, type TxnId, id } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { ReplicaRowset } from '../../base/replica.ts';
import { type RowsetMeta, segmentKey } from '../../base/schema.ts';
import type { ReadObject } from '../data/footer_cache.ts';
import type { SegmentSource } from '../data/scan.ts';
import type { LocalSegments } from './local_segments.ts';
import type { OwnReplicas } from './own_replicas.ts';
import type { ReplicaState, ReplicaStore } from './replica_store.ts';
import { DamagedSegment, type LocalSegment } from './segment_checks.ts';
import { StaleRowsets } from './stale_rowsets.ts';
import type { TxnQuestions } from './txn_questions.ts';

export interface ReplicaScansDeps {
  readonly backendId: BackendId;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly own: OwnReplicas;
  readonly questions: TxnQuestions;
  readonly clock: Clock;
  readonly log: Log;
  readonly onDamage: (tabletId: TabletId, why: string) => void;
}

export interface PlannedScan {
  /** With the rowsets of its replicas. */
  readonly request: OpenScanRequest;
  /** undefined: it does not lie on the local disk. */
  readonly open: (source: SegmentSource) => ReadObject | undefined;
  /** Its files may go. */
  readonly release: () => void;
  /** Whether a plan made now would be the same, and what lies on the local disk is there. */
  readonly isSame: () => Promise<boolean>;
}

type ReplicaTablet = ScanTablet & { readonly replica: NonNullable<ScanTablet['replica']> };

export class ReplicaScans {
  readonly #deps: ReplicaScansDeps;
  readonly #stale: StaleRowsets;

  constructor(deps: ReplicaScansDeps) {
    this.#deps = deps;
    this.#stale = new StaleRowsets(deps.clock);
    deps.store.onReplace((before, add) => {
      this.#stale.replaced(before, add);
    });
  }

  /** Throws REPLICA_MISSING, CONFUSED_REPLICA, REPLICA_BAD, REPLICA_BEHIND. */
  async plan(request: OpenScanRequest): Promise<PlannedScan> {
    const wanted = request.tablets.filter(isOfReplica);
    await this.#catchUp(wanted);
    // From here on without a pause: what is found is pinned before anybody can remove it.
    const unpins: (() => void)[] = [];
    const local = new Set<RowsetId>();
    const rowsets = new Map<TabletId, readonly RowsetMeta[]>();
    const states: ReplicaState[] = [];
    for (const tablet of wanted) {
      const found = this.#rowsetsOf(tablet);
      states.push(this.#deps.own.require(tablet.tabletId, tablet.replica.replicaId));
      for (const { rowsetId, place } of found) if (place.kind === 'local') local.add(rowsetId);
      rowsets.set(
        tablet.tabletId,
        found.map((rowset) => rowsetMeta(tablet, rowset)),
      );
    }
    for (const rowsetId of local) unpins.push(this.#deps.local.pin(rowsetId));
    const release = (): void => {
      for (const unpin of unpins) unpin();
    };
    const localRowsets = [...rowsets.values()].flat().filter((each) => local.has(each.rowsetId));
    try {
      await this.#check(localRowsets);
    } catch (error) {
      release();
      throw error;
    }
    const tablets = request.tablets.map((tablet) => {
      const found = rowsets.get(tablet.tabletId);
      return found === undefined ? tablet : { ...tablet, rowsets: found };
    });
    return {
      request: { ...request, tablets },
      open: (source) => (local.has(source.rowset.rowsetId) ? this.#open(source) : undefined),
      release,
      isSame: async () => await this.#isSame(states, localRowsets),
    };
  }

  /** Replicas are replaced, not changed; their files are looked for each time, as by a scan. */
  async #isSame(
    states: readonly ReplicaState[],
    localRowsets: readonly RowsetMeta[],
  ): Promise<boolean> {
    const { store } = this.#deps;
    const areSame = (): boolean =>
      states.every(({ tabletId, replicaId, rowsets }) => {
        const now = store.get(tabletId);
        return now?.replicaId === replicaId && !now.isBad && now.rowsets === rowsets;
      });
    if (!areSame()) return false;
    if (localRowsets.length === 0) return true;
    try {
      await this.#check(localRowsets);
    } catch {
      // The scan that is opened then meets the same, and says so.
      return false;
    }
    return areSame();
  }

  /** What is prepared may be visible since: the server's word is late then. */
  async #catchUp(tablets: readonly ReplicaTablet[]): Promise<void> {
    const { store, own, questions, log } = this.#deps;
    const txns = new Set<TxnId>();
    for (const { tabletId, replica } of tablets) {
      if (own.require(tabletId, replica.replicaId).version >= replica.version) continue;
      for (const txnId of store.preparedTxns(tabletId)) txns.add(txnId);
    }
    if (txns.size === 0) return;
    try {
      await questions.ask([...txns]);
    } catch (error) {
      log.warn('a query needs loads whose outcome could not be asked', { error: String(error) });
    }
  }

  async #check(rowsets: readonly RowsetMeta[]): Promise<void> {
    const segments = rowsets.flatMap(({ tabletId, rowsetId, segments: own }) =>
      own.map((meta): LocalSegment => ({ tabletId, rowsetId, meta })),
    );
    try {
      await this.#deps.own.checks.beforeReading(segments);
    } catch (error) {
      throw this.#damage(error);
    }
  }

  /** The replica is bad, unless it has the rowset elsewhere by now. */
  #damage(error: unknown): unknown {
    if (!(error instanceof DamagedSegment)) return error;
    const { store, onDamage } = this.#deps;
    const { tabletId, rowsetId } = error.segment;
    if (store.hasLocal(tabletId, rowsetId)) onDamage(tabletId, error.message);
    return error.toSqlError();
  }

  #rowsetsOf({ tabletId, replica }: ReplicaTablet): readonly ReplicaRowset[] {
    const state = this.#deps.own.require(tabletId, replica.replicaId);
    const wanted = replica.version;
    if (state.version < wanted) throw this.#behind(state, wanted, state.version);
    const rowsets = state.rowsets.filter(({ endVersion }) => endVersion <= wanted);
    const last = rowsets.at(-1)?.endVersion ?? -1;
    if (last === wanted) return rowsets;
    // Merged with later ones since the query began.
    const before = this.#stale.upTo(state, wanted);
    if (before !== undefined) return before;
    throw this.#behind(state, wanted, last);
  }

  #behind({ tabletId, replicaId }: ReplicaState, wanted: number, version: number): SqlError {
    const ids = { replica: replicaId, tablet: tabletId, backend: this.#deps.backendId };
    return new SqlError('REPLICA_BEHIND', { ...ids, version, wanted });
  }

  #open({ tablet, rowset, segment: meta }: SegmentSource): ReadObject {
    const { own } = this.#deps;
    const { tabletId } = tablet;
    const { rowsetId } = rowset;
    return {
      key: segmentKey(tabletId, rowsetId, meta.segment),
      size: meta.bytes,
      indexOffset: meta.indexOffset,
      read: async (offset, length) => {
        try {
          return await own.checks.read({ tabletId, rowsetId, meta }, { offset, length });
        } catch (error) {
          throw this.#damage(error);
        }
      },
    };
  }
}

function isOfReplica(tablet: ScanTablet): tablet is ReplicaTablet {
  return tablet.replica !== undefined;
}

/** As a scan knows rowsets; ids of resources and vaults come from one allocator. */
function rowsetMeta(
  { tabletId, partitionId }: ScanTablet,
  { place, ...rowset }: ReplicaRowset,
): RowsetMeta {
  const vaultId = place.kind === 'remote' ? id<RowsetMeta['vaultId']>(place.resourceId) : NO_VAULT;
  return { ...rowset, tabletId, partitionId, vaultId, txnId: id(0) };
}

/** Of local rowsets; never asked for. */
const NO_VAULT = id<RowsetMeta['vaultId']>(0);
