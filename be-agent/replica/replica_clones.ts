/**
 * Copies of replicas: a replica that missed versions, or is new, takes them from a complete one on
 * another backend. Local segments come with their bytes, cooled rowsets by their description only.
 * It becomes visible in one durable step at the end; what was copied before a failure is used by
 * the next try.
 */
import { crc32 } from 'node:zlib';
import type { CloneRequest } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { ReplicaRowset, ReplicaSnapshot } from '../../base/replica.ts';
import { type SegmentMeta, segmentKey } from '../../base/schema.ts';
import { MIB } from '../../base/units.ts';
import { type ClonePlan, planClone } from './clone_plan.ts';
import type { LocalSegments } from './local_segments.ts';
import type { OwnReplicas } from './own_replicas.ts';
import type { Peers, ReplicaPeer } from './peers.ts';
import type { ReplicaCounts } from './replica_counts.ts';
import type { LocalGarbage, ReplicaState, ReplicaStore } from './replica_store.ts';
import { DamagedSegment } from './segment_checks.ts';

/** Bytes of a segment asked for at once. */
const READ_BYTES = 8 * MIB;
/** Milliseconds for the source to hear that its snapshot is not needed any more. */
const RELEASE_TIMEOUT_MS = 10_000;
/** Loads and cooling change the replica meanwhile; each change can make another plan. */
const PLANS_MAX = 20;

export interface ReplicaClonesDeps {
  readonly backendId: BackendId;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly own: OwnReplicas;
  readonly peers: Peers;
  readonly counts: ReplicaCounts;
  readonly clock: Clock;
  readonly log: Log;
  /** Keeps cooldown off the tablet meanwhile. */
  readonly turn: <T>(
    tabletId: TabletId,
    work: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ) => Promise<T>;
  /** A replica has got versions. */
  readonly onCloned: (tabletId: TabletId) => void;
}

interface Source {
  readonly peer: ReplicaPeer;
  readonly snapshot: ReplicaSnapshot;
  readonly signal: AbortSignal;
}

interface Running {
  readonly request: CloneRequest;
  readonly ended: AbortController;
  readonly done: Promise<{ readonly version: number }>;
}

export class ReplicaClones {
  readonly #deps: ReplicaClonesDeps;
  readonly #running = new Map<TabletId, Running>();

  constructor(deps: ReplicaClonesDeps) {
    this.#deps = deps;
  }

  /**
   * Answers with the version that the replica has then. A repeat joins the one that runs. Throws
   * AGENT_LOST, REPLICA_MISSING, CONFUSED_REPLICA, REPLICA_BAD (of the source too), CORRUPT_OBJECT,
   * CLONE_FAILED, or the end of its time.
   */
  async clone(request: CloneRequest): Promise<{ readonly version: number }> {
    const { tabletId, replica, timeoutMs } = request;
    const known = this.#running.get(tabletId);
    if (known?.request.replica.replicaId === replica.replicaId) return await known.done;
    if (known !== undefined) {
      const ids = { has: known.request.replica.replicaId, asked: replica.replicaId };
      const { backendId: backend } = this.#deps;
      throw new SqlError('CONFUSED_REPLICA', { tablet: tabletId, backend, ...ids });
    }
    const ended = new AbortController();
    const stopTimer = this.#deps.clock.after(timeoutMs, () => {
      const why = `it took longer than ${timeoutMs} ms`;
      ended.abort(new SqlError('CLONE_FAILED', { tablet: tabletId, why }));
    });
    const work = async (signal: AbortSignal) => await this.#clone(request, signal);
    const done = this.#counted(this.#deps.turn(tabletId, work, ended.signal)).finally(() => {
      stopTimer();
      this.#running.delete(tabletId);
    });
    this.#running.set(tabletId, { request, ended, done });
    return await done;
  }

  async #counted<T>(cloning: Promise<T>): Promise<T> {
    const { counts } = this.#deps;
    try {
      const result = await cloning;
      counts.clones += 1;
      return result;
    } catch (error) {
      counts.failedClones += 1;
      throw error;
    }
  }

  /** Those that run end with an error. */
  close(): void {
    for (const { ended, request } of this.#running.values()) {
      const why = 'the backend stops';
      ended.abort(new SqlError('CLONE_FAILED', { tablet: request.tabletId, why }));
    }
  }

  async #clone(request: CloneRequest, signal: AbortSignal): Promise<{ readonly version: number }> {
    const { store, own, peers, clock, log } = this.#deps;
    const { tabletId, replica, source } = request;
    store.create(replica, clock.now());
    const peer = peers(source);
    const held = await peer.snapshot(tabletId, source.replicaId, signal);
    const { snapshot } = held;
    const copied = new Map<RowsetId, LocalGarbage>();
    try {
      const damaged = await this.damagedOf(tabletId);
      const from = { peer, snapshot, signal };
      for (let plans = 0; plans < PLANS_MAX; plans += 1) {
        const state = this.#own(request);
        const plan = planClone(state, snapshot, damaged);
        if (plan.kind === 'STUCK') throw cloneFailed(tabletId, plan.why);
        const missing =
          plan.kind === 'CHANGE' ? plan.add.filter((rowset) => needsCopy(rowset, copied)) : [];
        if (missing.length === 0) {
          this.#commit(state, plan, snapshot);
          await own.deleteFiles(this.#unused(state, copied));
          const { version } = this.#own(request);
          log.info('a replica has got what it missed', { tabletId, version });
          return { version };
        }
        for (const rowset of missing) {
          await this.#copy(tabletId, rowset, from);
          const { rowsetId, segments } = rowset;
          copied.set(rowsetId, { tabletId, rowsetId, segments });
        }
        signal.throwIfAborted();
      }
      throw cloneFailed(tabletId, `its rowsets changed ${PLANS_MAX} times meanwhile`);
    } finally {
      void this.#release(peer, held.snapshotId);
    }
  }

  /** In the same turn of the event loop as the plan. */
  #commit(state: ReplicaState, plan: ClonePlan, snapshot: ReplicaSnapshot): void {
    const { store, local, onCloned } = this.#deps;
    const { tabletId, replicaId, lead } = state;
    store.batch(() => {
      // Who leads is true whoever says it, and an older term is never taken.
      if (snapshot.lead !== undefined && snapshot.lead.term > (lead?.term ?? 0)) {
        store.setLead({ tabletId, ...snapshot.lead });
      }
      if (plan.kind === 'CHANGE') {
        const { remove, add, metaId } = plan;
        const meta = metaId === undefined ? {} : { metaId };
        const isDone = store.replace(tabletId, { replicaId, remove, add, ...meta });
        if (!isDone) throw new Error(`tablet ${tabletId} changed within a step`);
      }
      store.clearBad(tabletId);
    });
    if (plan.kind === 'CHANGE') for (const { rowsetId } of plan.add) local.unclaim(rowsetId);
    onCloned(tabletId);
  }

  /** Files of what was replaced, and of what was copied and then not needed. */
  #unused(before: ReplicaState, copied: ReadonlyMap<RowsetId, LocalGarbage>): LocalGarbage[] {
    const { store } = this.#deps;
    const { tabletId } = before;
    const replaced = before.rowsets
      .filter(({ place }) => place.kind === 'local')
      .map(({ rowsetId, segments }) => ({ tabletId, rowsetId, segments }));
    const all = new Map([...replaced.map((each) => [each.rowsetId, each] as const), ...copied]);
    return [...all.values()].filter(({ rowsetId }) => !store.hasLocal(tabletId, rowsetId));
  }

  /** Of a replica that is bad: local rowsets that are not whole. */
  async damagedOf(tabletId: TabletId): Promise<Set<RowsetId>> {
    const { store, own } = this.#deps;
    const damaged = new Set<RowsetId>();
    const state = store.get(tabletId);
    if (state?.isBad !== true) return damaged;
    for (const { rowsetId, segments, place } of state.rowsets) {
      if (place.kind !== 'local') continue;
      for (const meta of segments) {
        if (!(await isWhole(own, tabletId, rowsetId, meta))) damaged.add(rowsetId);
      }
    }
    return damaged;
  }

  async #copy(tabletId: TabletId, rowset: ReplicaRowset, from: Source): Promise<void> {
    const { own, counts } = this.#deps;
    const { rowsetId, segments } = rowset;
    for (const meta of segments) {
      from.signal.throwIfAborted();
      // Left by an earlier try, or by a load that has prepared the rowset here.
      if (await isWhole(own, tabletId, rowsetId, meta)) continue;
      const body = await this.#read(tabletId, rowsetId, meta, from);
      await own.write(tabletId, rowsetId, meta.segment, body, meta.crc32, from.signal);
      counts.cloneBytes += body.byteLength;
    }
  }

  async #read(
    tabletId: TabletId,
    rowsetId: RowsetId,
    { segment, bytes, crc32: checksum }: SegmentMeta,
    { peer, signal }: Source,
  ): Promise<Uint8Array> {
    const body = new Uint8Array(bytes);
    const key = segmentKey(tabletId, rowsetId, segment);
    for (let offset = 0; offset < bytes; offset += READ_BYTES) {
      const length = Math.min(READ_BYTES, bytes - offset);
      const part = await peer.readSegment(tabletId, rowsetId, segment, { offset, length }, signal);
      if (part.byteLength !== length) {
        throw new SqlError('CORRUPT_OBJECT', { key, what: 'it is shorter at the source' });
      }
      body.set(part, offset);
    }
    if (crc32(body) === checksum) return body;
    throw new SqlError('CORRUPT_OBJECT', {
      key,
      what: 'its checksum is another one at the source',
    });
  }

  /** Throws REPLICA_MISSING or CONFUSED_REPLICA when it was dropped meanwhile. */
  #own({ tabletId, replica }: CloneRequest): ReplicaState {
    const { store, backendId: backend } = this.#deps;
    const state = store.get(tabletId);
    if (state?.replicaId === replica.replicaId) return state;
    throw new SqlError('REPLICA_MISSING', { tablet: tabletId, backend });
  }

  async #release(peer: ReplicaPeer, snapshotId: string): Promise<void> {
    const { clock } = this.#deps;
    const ended = new AbortController();
    const stopTimer = clock.after(RELEASE_TIMEOUT_MS, () => {
      ended.abort();
    });
    try {
      await peer.releaseSnapshot(snapshotId, ended.signal);
    } catch {
      // It is released by itself when nobody reads from it.
    } finally {
      stopTimer();
    }
  }
}

function needsCopy({ rowsetId, place }: ReplicaRowset, copied: ReadonlyMap<RowsetId, unknown>) {
  return place.kind === 'local' && !copied.has(rowsetId);
}

async function isWhole(
  own: OwnReplicas,
  tabletId: TabletId,
  rowsetId: RowsetId,
  meta: SegmentMeta,
): Promise<boolean> {
  try {
    await own.checks.verify({ tabletId, rowsetId, meta });
    return true;
  } catch (error) {
    if (error instanceof DamagedSegment) return false;
    throw error;
  }
}

function cloneFailed(tabletId: TabletId, why: string): SqlError {
  return new SqlError('CLONE_FAILED', { tablet: tabletId, why });
}
