/**
 * What a backend knows of its replicas, durably: `agent.db`. Every method is synchronous, every
 * write is one durable transaction (WAL, synchronous=FULL), and what it says is true after a crash
 * at any point. Replicas and their visible rowsets are mirrored in memory; what is rare (prepared
 * rowsets, uploads, policies) is read from the file.
 */
import Database from 'better-sqlite3';
import type { AgentCalls, ConfOutcome } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type {
  BackendId,
  IndexId,
  PartitionId,
  ReplicaId,
  ResourceId,
  RowsetId,
  StoragePolicyId,
  TableId,
  TabletId,
  TxnId,
} from '../../base/ids.ts';
import {
  FIRST_VERSION,
  type AgentPolicy,
  type CooldownConf,
  type CooldownLead,
  type NewReplica,
  type PreparedRowset,
  type ReplicaRowset,
  type TxnOutcome,
  initialRowsetId,
} from '../../base/replica.ts';
import type { SegmentMeta } from '../../base/schema.ts';
import { ReplicaTables } from './replica_tables.ts';
import { contiguousVersion, sortedRowsets } from './versions.ts';

export interface ReplicaState {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly tableId: TableId;
  readonly partitionId: PartitionId;
  readonly indexId: IndexId;
  readonly policyId?: StoragePolicyId;
  readonly lead?: CooldownLead;
  /** Identity of the list of cooled rowsets; absent: nothing is cooled. */
  readonly metaId?: string;
  /** Visible ones in version order; there may be a gap after `version`. */
  readonly rowsets: readonly ReplicaRowset[];
  /** All versions from 0 to this are there without a gap. */
  readonly version: number;
  readonly isBad: boolean;
}

/** An upload that may have left objects that nothing refers to yet. */
export interface PendingUpload {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly resourceId: ResourceId;
  /** Wall clock, milliseconds. */
  readonly startedMs: number;
}

export interface ReplicaChange {
  readonly replicaId: ReplicaId;
  readonly remove: readonly RowsetId[];
  readonly add: readonly ReplicaRowset[];
  /** The new one; absent: it stays as it is. */
  readonly metaId?: string;
}

/** Segments on the local disk that nothing refers to any more. */
export interface LocalGarbage {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly segments: readonly SegmentMeta[];
}

export interface PreparedTxn {
  readonly txnId: TxnId;
  readonly rowsets: readonly PreparedRowset[];
}

/** Gets the replica as it was, and what has taken the place of some of its rowsets. */
type ReplaceListener = (before: ReplicaState, add: readonly ReplicaRowset[]) => void;

export class ReplicaStore {
  readonly #tables: ReplicaTables;
  readonly #backend: BackendId | string;
  readonly #replicas = new Map<TabletId, ReplicaState>();
  readonly #listeners = new Set<(tabletId: TabletId) => void>();
  readonly #replaceListeners = new Set<ReplaceListener>();
  /** Changes of the running transaction: in memory only when they are on disk. */
  #uncommitted: Map<TabletId, ReplicaState | undefined> | undefined;

  /**
   * `:memory:` keeps everything in memory. Throws when the file is damaged or of a newer version.
   * `backend` is for messages.
   */
  static open(file: string, backend: BackendId | string = file): ReplicaStore {
    return ReplicaStore.over(new ReplicaTables(new Database(file)), backend);
  }

  /** Over tables that are open already; `close` closes them. */
  static over(tables: ReplicaTables, backend: BackendId | string): ReplicaStore {
    return new ReplicaStore(tables, backend);
  }

  private constructor(tables: ReplicaTables, backend: BackendId | string) {
    this.#tables = tables;
    this.#backend = backend;
    for (const row of tables.loadReplicas()) {
      this.#replicas.set(row.tabletId, row);
    }
  }

  list(): readonly ReplicaState[] {
    return [...this.#replicas.values()];
  }

  /** How many replicas there are. */
  get size(): number {
    return this.#replicas.size;
  }

  get(tabletId: TabletId): ReplicaState | undefined {
    const pending = this.#uncommitted;
    return pending?.has(tabletId) === true ? pending.get(tabletId) : this.#replicas.get(tabletId);
  }

  /** All writes of `work` are one durable transaction: all or, when it throws, none. */
  batch<T>(work: () => T): T {
    if (this.#uncommitted !== undefined) return work();
    const pending = new Map<TabletId, ReplicaState | undefined>();
    this.#uncommitted = pending;
    let result: T;
    try {
      result = this.#tables.transaction(work);
    } finally {
      this.#uncommitted = undefined;
    }
    for (const [tabletId, state] of pending) {
      if (state === undefined) this.#replicas.delete(tabletId);
      else this.#replicas.set(tabletId, state);
    }
    for (const tabletId of pending.keys()) {
      for (const listener of this.#listeners) listener(tabletId);
    }
    return result;
  }

  /**
   * An empty replica, with the rowset [0-1] as of `nowMs`. Idempotent, and then only the policy
   * changes; throws CONFUSED_REPLICA when the tablet has another replica here.
   */
  create(replica: NewReplica, nowMs = 0): void {
    const { tabletId, replicaId } = replica;
    this.batch(() => {
      const known = this.get(tabletId);
      if (known !== undefined) {
        this.#requireReplica(known, replicaId);
        this.setPolicy(tabletId, replica.policyId);
        return;
      }
      const rowset: ReplicaRowset = {
        rowsetId: initialRowsetId(tabletId),
        startVersion: 0,
        endVersion: FIRST_VERSION,
        rows: 0,
        bytes: 0,
        segments: [],
        createdMs: nowMs,
        newestWriteMs: nowMs,
        place: { kind: 'local' },
      };
      const { tableId, partitionId, indexId, policyId } = replica;
      const policy = policyId === undefined ? {} : { policyId };
      const identity = { tabletId, replicaId, tableId, partitionId, indexId, ...policy };
      const state = { ...identity, rowsets: [rowset], version: FIRST_VERSION, isBad: false };
      this.#tables.insertReplica(state);
      this.#tables.insertRowset(tabletId, rowset);
      this.#changed(tabletId, state);
    });
  }

  /** Idempotent. What lay locally, prepared rowsets included, is to be deleted by the caller. */
  drop(tabletId: TabletId, replicaId: ReplicaId): readonly LocalGarbage[] {
    return this.batch(() => {
      const known = this.get(tabletId);
      if (known?.replicaId !== replicaId) return [];
      const prepared = this.#tables.preparedOfTablet(tabletId);
      const local = known.rowsets.filter(({ place }) => place.kind === 'local');
      this.#tables.deleteReplica(tabletId);
      this.#changed(tabletId, undefined);
      return [...local, ...prepared].map((rowset) => garbage(tabletId, rowset));
    });
  }

  /** undefined: none. A tablet without a replica here is left out. */
  setPolicy(tabletId: TabletId, policyId: StoragePolicyId | undefined): void {
    const known = this.get(tabletId);
    if (known === undefined || known.policyId === policyId) return;
    this.batch(() => {
      const { policyId: _, ...rest } = known;
      this.#tables.setPolicy(tabletId, policyId);
      this.#changed(tabletId, policyId === undefined ? rest : { ...rest, policyId });
    });
  }

  /** Takes a larger term only; durable before it returns. */
  setLead({ tabletId, replicaId, term }: CooldownConf): ConfOutcome {
    return this.batch((): ConfOutcome => {
      const known = this.get(tabletId);
      if (known === undefined) return { tabletId, outcome: 'MISSING' };
      const { lead } = known;
      if (lead !== undefined && lead.term > term) return { tabletId, outcome: 'STALE', lead };
      if (lead?.term === term) {
        const isSame = lead.replicaId === replicaId;
        return { tabletId, outcome: isSame ? 'SAME' : 'CONFLICT', lead };
      }
      const next = { replicaId, term };
      this.#tables.setLead(tabletId, next);
      this.#changed(tabletId, { ...known, lead: next });
      return { tabletId, outcome: 'ACCEPTED', lead: next };
    });
  }

  // -------------------------------------------------------------------------------------------
  // Loads

  /**
   * Idempotent by (transaction, tablet, rowset). Throws REPLICA_MISSING or CONFUSED_REPLICA when a
   * replica is not here, TXN_CONFLICT when the transaction has another rowset of a tablet; then
   * nothing is prepared.
   */
  prepare(txnId: TxnId, rowsets: readonly PreparedRowset[]): void {
    this.batch(() => {
      for (const rowset of rowsets) {
        const { tabletId, replicaId, rowsetId } = rowset;
        const known = this.get(tabletId);
        if (known === undefined) {
          throw new SqlError('REPLICA_MISSING', { tablet: tabletId, backend: this.#backend });
        }
        this.#requireReplica(known, replicaId);
        // Published before this repeat came.
        if (known.rowsets.some((visible) => visible.rowsetId === rowsetId)) continue;
        const before = this.#tables.preparedRowset(txnId, tabletId);
        if (before !== undefined && before.rowsetId !== rowsetId) {
          throw new SqlError('TXN_CONFLICT', { txn: txnId, tablet: tabletId });
        }
        if (before === undefined) this.#tables.insertPrepared(txnId, rowset);
      }
    });
  }

  /** What a failed load prepared is forgotten; published rowsets stay. Returns files to delete. */
  discard(txnId: TxnId, rowsets: readonly LocalGarbage[]): readonly LocalGarbage[] {
    return this.batch(() =>
      rowsets.filter(({ tabletId, rowsetId }) => {
        const prepared = this.#tables.preparedRowset(txnId, tabletId);
        if (prepared?.rowsetId === rowsetId) this.#tables.deletePrepared(txnId, tabletId);
        return !this.hasLocal(tabletId, rowsetId);
      }),
    );
  }

  /** Whether the files of a rowset are needed: it is visible and local, or prepared. */
  hasLocal(tabletId: TabletId, rowsetId: RowsetId): boolean {
    const known = this.get(tabletId);
    if (known === undefined) return false;
    const rowset = known.rowsets.find((visible) => visible.rowsetId === rowsetId);
    if (rowset !== undefined) return rowset.place.kind === 'local';
    return this.#tables.preparedOfTablet(tabletId).some((each) => each.rowsetId === rowsetId);
  }

  /** Transactions that have prepared a rowset of the tablet. */
  preparedTxns(tabletId: TabletId): readonly TxnId[] {
    return this.#tables.preparedTxns(tabletId);
  }

  /** All transactions that have prepared something here. */
  openTxns(): readonly TxnId[] {
    return this.#tables.openTxns();
  }

  prepared(): readonly PreparedTxn[] {
    return this.#tables.prepared();
  }

  /**
   * VISIBLE: prepared rowsets get their versions. ABORTED, UNKNOWN: they are forgotten. Idempotent,
   * in any order. A rowset whose partition the outcome does not name stays prepared. Returns the
   * files to delete.
   */
  settle(outcome: TxnOutcome): readonly LocalGarbage[] {
    const { txnId } = outcome;
    if (outcome.state === 'RUNNING') return [];
    const versions = outcome.state === 'VISIBLE' ? outcome.versions : undefined;
    const rowsets = this.#tables.preparedOf(txnId);
    if (rowsets.length === 0) return [];
    const byPartition = new Map(versions?.map((each) => [each.partitionId, each.version]));
    return this.batch(() => {
      const files: LocalGarbage[] = [];
      for (const rowset of rowsets) {
        const known = this.get(rowset.tabletId);
        const version = known === undefined ? undefined : byPartition.get(known.partitionId);
        if (versions !== undefined && known !== undefined && version === undefined) continue;
        this.#tables.deletePrepared(txnId, rowset.tabletId);
        const isTaken =
          known !== undefined && version !== undefined && this.#publish(known, rowset, version);
        const isLocal = known?.rowsets.some(
          ({ rowsetId, place }) => rowsetId === rowset.rowsetId && place.kind === 'local',
        );
        if (!isTaken && isLocal !== true) files.push(garbage(rowset.tabletId, rowset));
      }
      return files;
    });
  }

  /** False: the version is there already (a clone brought it, merged with others perhaps). */
  #publish(known: ReplicaState, prepared: PreparedRowset, version: number): boolean {
    const covers = (rowset: ReplicaRowset): boolean =>
      rowset.startVersion <= version && version <= rowset.endVersion;
    if (known.rowsets.some(covers)) return false;
    const { rowsetId, rows, bytes, segments, newestWriteMs } = prepared;
    const rowset: ReplicaRowset = {
      rowsetId,
      startVersion: version,
      endVersion: version,
      rows,
      bytes,
      segments,
      createdMs: newestWriteMs,
      newestWriteMs,
      place: { kind: 'local' },
    };
    this.#tables.insertRowset(known.tabletId, rowset);
    if (known.rowsets.at(-1)?.endVersion === known.version && version === known.version + 1) {
      // Nearly always: no need to look at all of them.
      this.#changed(known.tabletId, { ...known, rowsets: [...known.rowsets, rowset], version });
      return true;
    }
    const rowsets = sortedRowsets([...known.rowsets, rowset]);
    this.#changed(known.tabletId, { ...known, rowsets, version: contiguousVersion(rowsets) });
    return true;
  }

  // -------------------------------------------------------------------------------------------
  // Rowsets

  /**
   * One durable transaction. False, and nothing changed, when the replica or one of `remove` is
   * gone. Throws when rowsets would overlap, or fewer contiguous versions be there than before.
   */
  replace(tabletId: TabletId, change: ReplicaChange): boolean {
    const known = this.get(tabletId);
    if (known?.replicaId !== change.replicaId) return false;
    const removed = new Set(change.remove);
    const kept = known.rowsets.filter(({ rowsetId }) => !removed.has(rowsetId));
    if (kept.length + removed.size !== known.rowsets.length) return false;
    // Throws when they overlap.
    const rowsets = sortedRowsets([...kept, ...change.add]);
    const version = contiguousVersion(rowsets);
    if (version < known.version) {
      throw new Error(`tablet ${tabletId} would fall from version ${known.version} to ${version}`);
    }
    this.batch(() => {
      for (const rowsetId of removed) this.#tables.deleteRowset(tabletId, rowsetId);
      for (const rowset of change.add) this.#tables.insertRowset(tabletId, rowset);
      const { metaId = known.metaId } = change;
      if (metaId !== known.metaId) this.#tables.setMetaId(tabletId, metaId);
      const meta = metaId === undefined ? {} : { metaId };
      this.#changed(tabletId, { ...known, ...meta, rowsets, version });
    });
    for (const listener of this.#replaceListeners) listener(known, change.add);
    return true;
  }

  /** Called with each change of `replace`; the transaction that it is part of may still fail. */
  onReplace(listener: ReplaceListener): () => void {
    this.#replaceListeners.add(listener);
    return () => {
      this.#replaceListeners.delete(listener);
    };
  }

  /** A local segment is missing or damaged. */
  markBad(tabletId: TabletId, why: string): void {
    this.#setBad(tabletId, why);
  }

  /** What was damaged has been copied anew. */
  clearBad(tabletId: TabletId): void {
    this.#setBad(tabletId, undefined);
  }

  /** Why it is bad; undefined: it is not. */
  badReason(tabletId: TabletId): string | undefined {
    return this.get(tabletId)?.isBad === true ? this.#tables.badReason(tabletId) : undefined;
  }

  #setBad(tabletId: TabletId, why: string | undefined): void {
    const known = this.get(tabletId);
    const isBad = why !== undefined;
    if (known === undefined || known.isBad === isBad) return;
    this.batch(() => {
      this.#tables.setBad(tabletId, why);
      this.#changed(tabletId, { ...known, isBad });
    });
  }

  // -------------------------------------------------------------------------------------------
  // Uploads, policies

  /** Of all tablets, or of one. */
  uploads(tabletId?: TabletId): readonly PendingUpload[] {
    return this.#tables.uploads(tabletId);
  }

  /** Durable before the first byte goes out. Idempotent: the first start counts. */
  beginUpload(upload: PendingUpload): void {
    this.batch(() => {
      this.#tables.insertUpload(upload);
    });
  }

  endUpload(rowsetId: RowsetId): void {
    this.batch(() => {
      this.#tables.deleteUpload(rowsetId);
    });
  }

  policies(): readonly AgentPolicy[] {
    return this.#tables.policies();
  }

  resources(): readonly { readonly resourceId: ResourceId; readonly version: number }[] {
    return this.#tables.resources();
  }

  /** Newer versions replace older ones; what is older is ignored. */
  applyPolicies(request: AgentCalls['pushStoragePolicies']['request']): void {
    this.batch(() => {
      for (const policy of request.policies) this.#tables.putPolicy(policy);
      for (const resource of request.resources) this.#tables.putResource(resource);
      for (const policyId of request.dropped) this.#tables.deletePolicy(policyId);
    });
  }

  /** Called with each tablet that was changed, made or dropped, when it is durable. */
  onChange(listener: (tabletId: TabletId) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  close(): void {
    this.#tables.close();
  }

  #changed(tabletId: TabletId, state: ReplicaState | undefined): void {
    if (this.#uncommitted === undefined) throw new Error('a change outside of a transaction');
    this.#uncommitted.set(tabletId, state);
  }

  #requireReplica({ tabletId, replicaId }: ReplicaState, asked: ReplicaId): void {
    if (replicaId === asked) return;
    const where = { tablet: tabletId, backend: this.#backend };
    throw new SqlError('CONFUSED_REPLICA', { ...where, has: replicaId, asked });
  }
}

function garbage(
  tabletId: TabletId,
  { rowsetId, segments }: Pick<ReplicaRowset, 'rowsetId' | 'segments'>,
): LocalGarbage {
  return { tabletId, rowsetId, segments };
}
