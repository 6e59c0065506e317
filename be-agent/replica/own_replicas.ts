/** This backend's replicas as the other backends see them: what loads and clones ask of it. */
import { crc32 } from 'node:zlib';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, ReplicaId, RowsetId, TabletId, TxnId } from '../../base/ids.ts';
import { type Clock, ObjectStoreError, type Random } from '../../base/ports.ts';
import type { PreparedRowset, ReplicaSnapshot } from '../../base/replica.ts';
import { segmentKey } from '../../base/schema.ts';
import type { LocalSegments } from './local_segments.ts';
import { DamagedSegment, SegmentChecks } from './segment_checks.ts';
import type { ReplicaCounts } from './replica_counts.ts';
import { type HeldSnapshot, type ReplicaPeer, SNAPSHOT_IDLE_MS } from './peers.ts';
import type { LocalGarbage, ReplicaState, ReplicaStore } from './replica_store.ts';

/** Tablets whose files are deleted at once. */
const DELETE_TABLETS = 8;

export interface OwnReplicasDeps {
  readonly backendId: BackendId;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly counts: ReplicaCounts;
  readonly clock: Clock;
  readonly random: Random;
  /** A local segment of the tablet is not what it should be. */
  readonly onDamage: (tabletId: TabletId, why: string) => void;
}

interface Held {
  readonly tabletId: TabletId;
  readonly unpin: () => void;
  stopTimer: () => void;
}

export class OwnReplicas implements ReplicaPeer {
  /** Of this backend's local segments. */
  readonly checks: SegmentChecks;
  readonly #deps: OwnReplicasDeps;
  readonly #held = new Map<string, Held>();

  constructor(deps: OwnReplicasDeps) {
    this.#deps = deps;
    this.checks = new SegmentChecks(deps.local);
  }

  async putSegment(...written: Parameters<ReplicaPeer['putSegment']>): Promise<void> {
    const { counts, store } = this.#deps;
    const [tabletId, rowsetId] = written;
    const known = store.get(tabletId)?.rowsets.find((each) => each.rowsetId === rowsetId);
    // A repeat that comes when the rowset has been cooled: the file would be of no use.
    if (known?.place.kind === 'remote') return;
    await this.write(...written);
    counts.loadSegments += 1;
    counts.loadBytes += written[3].byteLength;
  }

  /** As `putSegment`, and not for a load. */
  async write(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    body: Uint8Array,
    checksum: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (crc32(body) !== checksum) {
      const key = segmentKey(tabletId, rowsetId, segment);
      const what = `its checksum is not ${checksum} as announced`;
      throw new SqlError('CORRUPT_OBJECT', { key, what });
    }
    await ofStore(this.#deps.local.put(tabletId, rowsetId, segment, body, { signal }));
    this.checks.trust(tabletId, rowsetId, segment);
  }

  async prepare(
    txnId: TxnId,
    rowsets: readonly PreparedRowset[],
    signal: AbortSignal,
  ): Promise<void> {
    const { local, store } = this.#deps;
    for (const { tabletId, rowsetId, segments } of rowsets) {
      signal.throwIfAborted();
      // Written before a crash of this backend, after which they were taken for leftovers.
      if (await ofStore(local.has(tabletId, rowsetId, segments))) continue;
      const key = segmentKey(tabletId, rowsetId, 0);
      throw new SqlError('CORRUPT_OBJECT', {
        key,
        what: 'not all segments of the rowset are here',
      });
    }
    signal.throwIfAborted();
    store.prepare(txnId, rowsets);
    this.#deps.counts.preparedRowsets += rowsets.length;
    for (const { rowsetId } of rowsets) local.unclaim(rowsetId);
  }

  async discard(txnId: TxnId, rowsets: readonly LocalGarbage[]): Promise<void> {
    await this.deleteFiles(this.#deps.store.discard(txnId, rowsets));
  }

  async snapshot(tabletId: TabletId, replicaId: ReplicaId): Promise<HeldSnapshot> {
    const { local, clock, random } = this.#deps;
    const snapshot = snapshotOf(this.require(tabletId, replicaId));
    const unpins = snapshot.rowsets.map(({ rowsetId }) => local.pin(rowsetId));
    const snapshotId = Buffer.from(random.bytes(16)).toString('hex');
    const held: Held = {
      tabletId,
      unpin: () => {
        for (const unpin of unpins) unpin();
      },
      stopTimer: () => undefined,
    };
    this.#held.set(snapshotId, held);
    this.#arm(snapshotId, held, clock);
    return { snapshotId, snapshot };
  }

  async readSegment(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { store, clock, onDamage } = this.#deps;
    for (const [snapshotId, held] of this.#held) {
      if (held.tabletId === tabletId) this.#arm(snapshotId, held, clock);
    }
    const found = store.get(tabletId)?.rowsets.find((each) => each.rowsetId === rowsetId);
    const meta = found?.segments.find((each) => each.segment === segment);
    if (found?.place.kind !== 'local' || meta === undefined) {
      // Cooled or merged since the snapshot; its pin keeps the file.
      return await ofStore(this.#deps.local.get(tabletId, rowsetId, segment, range, signal));
    }
    try {
      return await this.checks.read({ tabletId, rowsetId, meta }, range, signal);
    } catch (error) {
      if (error instanceof DamagedSegment) onDamage(tabletId, error.message);
      throw asSqlError(error);
    }
  }

  async releaseSnapshot(snapshotId: string): Promise<void> {
    const held = this.#held.get(snapshotId);
    if (held === undefined) return;
    this.#held.delete(snapshotId);
    held.stopTimer();
    held.unpin();
  }

  /** Throws REPLICA_MISSING, CONFUSED_REPLICA, REPLICA_BAD. */
  require(tabletId: TabletId, replicaId: ReplicaId): ReplicaState {
    const { backendId: backend, store } = this.#deps;
    const state = store.get(tabletId);
    if (state === undefined) throw new SqlError('REPLICA_MISSING', { tablet: tabletId, backend });
    if (state.replicaId !== replicaId) {
      const ids = { has: state.replicaId, asked: replicaId };
      throw new SqlError('CONFUSED_REPLICA', { tablet: tabletId, backend, ...ids });
    }
    if (state.isBad) {
      const why = store.badReason(tabletId) ?? '';
      throw new SqlError('REPLICA_BAD', { replica: replicaId, tablet: tabletId, backend, why });
    }
    return state;
  }

  async deleteFiles(files: readonly LocalGarbage[]): Promise<void> {
    const byTablet = new Map<TabletId, LocalGarbage[]>();
    for (const file of files) {
      this.#deps.local.unclaim(file.rowsetId);
      const known = byTablet.get(file.tabletId);
      if (known === undefined) byTablet.set(file.tabletId, [file]);
      else known.push(file);
    }
    const rest = byTablet.entries();
    const worker = async (): Promise<void> => {
      for (const [tabletId, rowsets] of rest) await this.#deps.local.delete(tabletId, rowsets);
    };
    await Promise.all(Array.from({ length: DELETE_TABLETS }, worker));
  }

  close(): void {
    for (const { stopTimer } of this.#held.values()) stopTimer();
    this.#held.clear();
  }

  #arm(snapshotId: string, held: Held, clock: Clock): void {
    held.stopTimer();
    held.stopTimer = clock.after(SNAPSHOT_IDLE_MS, () => {
      void this.releaseSnapshot(snapshotId);
    });
  }
}

export function snapshotOf(state: ReplicaState): ReplicaSnapshot {
  const { tabletId, replicaId, version, lead, metaId } = state;
  const rowsets = state.rowsets.filter(({ endVersion }) => endVersion <= version);
  const later = state.rowsets.length - rowsets.length;
  return {
    tabletId,
    replicaId,
    rowsets,
    version,
    ...(later === 0 ? {} : { later }),
    ...(lead === undefined ? {} : { lead }),
    ...(metaId === undefined ? {} : { metaId }),
  };
}

async function ofStore<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asSqlError(error);
  }
}

function asSqlError(error: unknown): unknown {
  if (error instanceof DamagedSegment) return error.toSqlError();
  if (!(error instanceof ObjectStoreError)) return error;
  return new SqlError('STORE_FAILED', { what: error.message }, { cause: error });
}
