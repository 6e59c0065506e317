/**
 * What backends ask of each other about replicas. A backend reaches its own replicas directly,
 * those of other processes over HTTP.
 */
import { agentLost } from '../../base/agent_lost.ts';
import type { BackendId, ReplicaId, RowsetId, TabletId, TxnId } from '../../base/ids.ts';
import type { BackendAddress, PreparedRowset, ReplicaSnapshot } from '../../base/replica.ts';
import type { LocalGarbage } from './replica_store.ts';

/** A snapshot whose local rowsets stay on the source's disk until it is released. */
export interface HeldSnapshot {
  readonly snapshotId: string;
  readonly snapshot: ReplicaSnapshot;
}

/**
 * Every call may be repeated. Failures are SqlErrors: AGENT_LOST when it cannot be reached,
 * REPLICA_MISSING, CONFUSED_REPLICA, REPLICA_BAD, CORRUPT_OBJECT.
 */
export interface ReplicaPeer {
  /** Durable when it resolves. CORRUPT_OBJECT when the checksum (CRC-32) is another one. */
  putSegment(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    body: Uint8Array,
    crc32: number,
    signal: AbortSignal,
  ): Promise<void>;
  /** After all segments. Durable when it resolves; all of them or none. */
  prepare(txnId: TxnId, rowsets: readonly PreparedRowset[], signal: AbortSignal): Promise<void>;
  /**
   * These rowsets of a load that failed are deleted, prepared or only written. By name, because a
   * repeat of the load may have prepared others; published ones stay.
   */
  discard(txnId: TxnId, rowsets: readonly LocalGarbage[], signal: AbortSignal): Promise<void>;
  /** Held for a while at most, see SNAPSHOT_IDLE_MS; each read of it renews that. */
  snapshot(tabletId: TabletId, replicaId: ReplicaId, signal: AbortSignal): Promise<HeldSnapshot>;
  /** Part of a local segment. */
  readSegment(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  releaseSnapshot(snapshotId: string, signal: AbortSignal): Promise<void>;
}

/** Milliseconds after which a snapshot that nobody reads from is released by itself. */
export const SNAPSHOT_IDLE_MS = 600_000;

export type Peers = (address: BackendAddress) => ReplicaPeer;

/** The backends of this process. */
export class OwnPeers {
  readonly #peers = new Map<BackendId, ReplicaPeer>();

  /** A backend that starts again takes its place; the returned function takes `peer` out. */
  add(backendId: BackendId, peer: ReplicaPeer): () => void {
    this.#peers.set(backendId, peer);
    return () => {
      if (this.#peers.get(backendId) === peer) this.#peers.delete(backendId);
    };
  }

  get(backendId: BackendId): ReplicaPeer | undefined {
    return this.#peers.get(backendId);
  }
}

/** A backend that is in no way to be reached: every call is AGENT_LOST. */
export function lostPeer({ backendId }: BackendAddress): ReplicaPeer {
  const lost = async (): Promise<never> => {
    throw agentLost(
      backendId,
      'a call about replicas',
      'it is not in this process and has no address',
    );
  };
  return {
    putSegment: lost,
    prepare: lost,
    discard: lost,
    snapshot: lost,
    readSegment: lost,
    releaseSnapshot: lost,
  };
}
