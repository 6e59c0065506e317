/**
 * The replicas that a load writes: each segment goes to all replicas of its tablet with the same
 * bytes and the same rowset id, then all of them prepare, durably. A backend that fails or lags
 * behind the majority is left out from then on, and its replicas miss the version; with fewer
 * than `required` replicas of a tablet the load fails, and what was prepared is discarded.
 */
import type { LoadOutcome } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import {
  type BackendId,
  type RowsetId,
  type TabletId,
  type TxnId,
  rowsetId,
} from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type {
  BackendAddress,
  LoadReplicas,
  PreparedReplicas,
  PreparedRowset,
} from '../../base/replica.ts';
import type { NewRowset } from '../../base/schema.ts';
import type { LoadSink } from '../data/load.ts';
import type { BuiltSegment } from '../data/segment_writer.ts';
import type { Peers, ReplicaPeer } from './peers.ts';
import type { LocalGarbage } from './replica_store.ts';

/** Segments of one load on their way at once. */
const SEGMENTS_MAX = 4;
/** Rowsets prepared with one message and one durable step. */
const PREPARE_MAX = 1000;
/** Milliseconds for a backend to drop what a failed load left; later it finds out by itself. */
const DISCARD_TIMEOUT_MS = 10_000;

export interface ReplicaLoadDeps {
  readonly txnId: TxnId;
  readonly replicas: LoadReplicas;
  readonly peers: Peers;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
}

type TabletTarget = LoadReplicas['tablets'][number];

/** A backend of the load, until it fails. */
interface Lane {
  readonly address: BackendAddress;
  readonly peer: ReplicaPeer;
  readonly given: AbortController;
  readonly signal: AbortSignal;
  /** Why it is left out; undefined: it is not. */
  failure: string | undefined;
}

export class ReplicaLoad implements LoadSink {
  readonly #deps: ReplicaLoadDeps;
  readonly #lanes = new Map<BackendId, Lane>();
  readonly #tablets = new Map<TabletId, TabletTarget>();
  readonly #running = new Set<Promise<void>>();
  /** By rowset: all that was sent to anybody. */
  readonly #written = new Map<
    RowsetId,
    { readonly tabletId: TabletId; segments: NewRowset['segments'] }
  >();
  #failure: unknown;
  #bytes = 0;

  constructor(deps: ReplicaLoadDeps) {
    this.#deps = deps;
    for (const address of deps.replicas.backends) {
      const given = new AbortController();
      const signal = AbortSignal.any([deps.signal, given.signal]);
      const peer = deps.peers(address);
      this.#lanes.set(address.backendId, { address, peer, given, signal, failure: undefined });
    }
    for (const tablet of deps.replicas.tablets) this.#tablets.set(tablet.tabletId, tablet);
  }

  get bytesInFlight(): number {
    return this.#bytes;
  }

  async add(
    { tabletId, rowsetId: rowset }: Pick<NewRowset, 'tabletId' | 'rowsetId'>,
    { meta, body }: BuiltSegment,
  ): Promise<void> {
    while (this.#running.size >= SEGMENTS_MAX) await Promise.race(this.#running);
    this.#throwFailure();
    const known = this.#written.get(rowset);
    if (known === undefined) this.#written.set(rowset, { tabletId, segments: [meta] });
    else known.segments = [...known.segments, meta];
    this.#bytes += body.byteLength;
    const target = this.#target(tabletId);
    const writing = this.#withMost([target], async ({ peer, signal }) => {
      await peer.putSegment(tabletId, rowset, meta.segment, body, meta.crc32, signal);
    })
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#bytes -= body.byteLength;
        this.#running.delete(writing);
      });
    this.#running.add(writing);
  }

  async waitForOne(): Promise<void> {
    if (this.#running.size > 0) await Promise.race(this.#running);
    this.#throwFailure();
  }

  async finish(rowsets: readonly NewRowset[]): Promise<Pick<LoadOutcome, 'rowsets' | 'prepared'>> {
    await Promise.all(this.#running);
    this.#throwFailure();
    const all = this.#withEmptyRowsets(rowsets);
    const got = new Set(all.map(({ tabletId }) => tabletId));
    const targets = this.#deps.replicas.tablets.filter(({ tabletId }) => got.has(tabletId));
    const prepared = new Map<TabletId, PreparedReplicas['replicaIds'][number][]>();
    const newestWriteMs = this.#deps.clock.now();
    await this.#withMost(targets, async (lane) => {
      for (const rowset of await this.#prepareOn(lane, all, newestWriteMs)) {
        const known = prepared.get(rowset.tabletId);
        if (known === undefined) prepared.set(rowset.tabletId, [rowset.replicaId]);
        else known.push(rowset.replicaId);
      }
    });
    // Taken now: a replica that prepares later than this is not counted, and asks what became of it.
    const result = targets.map(({ tabletId, required, replicas }): PreparedReplicas => {
      const done = new Set(prepared.get(tabletId));
      const wanted = replicas.map(({ replicaId }) => replicaId);
      const replicaIds = wanted.filter((replicaId) => done.has(replicaId));
      if (replicaIds.length < required) {
        throw this.#tooFew(tabletId, replicaIds.length, required, replicas.length);
      }
      return { tabletId, replicaIds };
    });
    return { rowsets, prepared: result };
  }

  async discard(): Promise<void> {
    for (const { given } of this.#lanes.values()) given.abort();
    await Promise.allSettled(this.#running);
    const rowsets = [...this.#written].map(([rowset, { tabletId, segments }]): LocalGarbage => ({
      tabletId,
      rowsetId: rowset,
      segments,
    }));
    if (rowsets.length === 0) return;
    const { clock, txnId, log } = this.#deps;
    const ended = new AbortController();
    const stopTimer = clock.after(DISCARD_TIMEOUT_MS, () => {
      ended.abort();
    });
    await Promise.all(
      [...this.#lanes.values()].map(async ({ peer, address }) => {
        const own = rowsets.filter(({ tabletId }) => this.#replicaOn(address.backendId, tabletId));
        try {
          if (own.length === 0) return;
          await orAborted(peer.discard(txnId, own, ended.signal), ended.signal);
        } catch (error) {
          const { backendId } = address;
          log.info('what a failed load left is dropped later', {
            txnId,
            replicaOf: backendId,
            error: String(error),
          });
        }
      }),
    );
    stopTimer();
  }

  /** The replicas of the tablet on that backend, when the load goes there. */
  #replicaOn(backendId: BackendId, tabletId: TabletId): PreparedRowset['replicaId'] | undefined {
    const target = this.#tablets.get(tabletId);
    return target?.replicas.find((replica) => replica.backendId === backendId)?.replicaId;
  }

  /** Every tablet of a partition that got rows gets a version, those without rows an empty one. */
  #withEmptyRowsets(rowsets: readonly NewRowset[]): NewRowset[] {
    const touched = new Set(rowsets.map(({ partitionId }) => partitionId));
    const full = new Set(rowsets.map(({ tabletId }) => tabletId));
    const all = [...rowsets];
    for (const { tabletId, partitionId } of this.#deps.replicas.tablets) {
      if (!touched.has(partitionId) || full.has(tabletId)) continue;
      const rowset = rowsetId(Buffer.from(this.#deps.random.bytes(16)).toString('hex'));
      this.#written.set(rowset, { tabletId, segments: [] });
      all.push({ rowsetId: rowset, tabletId, partitionId, rows: 0, bytes: 0, segments: [] });
    }
    return all;
  }

  /** What it has prepared; a tablet that it does not have (any more) does not harm the others. */
  async #prepareOn(
    lane: Lane,
    rowsets: readonly NewRowset[],
    newestWriteMs: number,
  ): Promise<PreparedRowset[]> {
    const own = rowsets.flatMap((each): PreparedRowset[] => {
      const { tabletId, rowsetId: rowset, rows, bytes, segments } = each;
      const replicaId = this.#replicaOn(lane.address.backendId, tabletId);
      if (replicaId === undefined) return [];
      return [{ tabletId, replicaId, rowsetId: rowset, rows, bytes, segments, newestWriteMs }];
    });
    const prepared: PreparedRowset[] = [];
    for (let from = 0; from < own.length; from += PREPARE_MAX) {
      const some = own.slice(from, from + PREPARE_MAX);
      try {
        await lane.peer.prepare(this.#deps.txnId, some, lane.signal);
        prepared.push(...some);
      } catch (error) {
        if (!isOfOneTablet(error)) throw error;
        prepared.push(...(await this.#prepareEach(lane, some)));
      }
    }
    return prepared;
  }

  async #prepareEach(lane: Lane, rowsets: readonly PreparedRowset[]): Promise<PreparedRowset[]> {
    const prepared: PreparedRowset[] = [];
    for (const rowset of rowsets) {
      try {
        await lane.peer.prepare(this.#deps.txnId, [rowset], lane.signal);
        prepared.push(rowset);
      } catch (error) {
        if (!isOfOneTablet(error)) throw error;
        const { tabletId } = rowset;
        this.#deps.log.warn('a replica did not take a load', { tabletId, error: String(error) });
      }
    }
    return prepared;
  }

  /**
   * Does `work` on all backends that have one of the tablets and have not failed. When a majority of
   * every tablet is done, the others get a little more time; then they are out.
   */
  async #withMost(
    targets: readonly TabletTarget[],
    work: (lane: Lane) => Promise<void>,
  ): Promise<void> {
    const missing = new Map(targets.map((target) => [target, target.required]));
    const perLane = new Map<Lane, TabletTarget[]>();
    for (const target of targets) {
      const lanes = this.#lanesOf(target);
      this.#requireLanes(target, lanes);
      for (const lane of lanes) {
        const known = perLane.get(lane);
        if (known === undefined) perLane.set(lane, [target]);
        else known.push(target);
      }
    }
    const done = new Set<Lane>();
    const lag = new LagTimer(this.#deps, () => {
      this.#giveUp([...perLane.keys()].filter((lane) => !done.has(lane)));
    });
    await Promise.all(
      [...perLane].map(async ([lane, own]) => {
        try {
          await orAborted(work(lane), lane.signal);
        } catch (error) {
          this.#deps.signal.throwIfAborted();
          this.#fail(lane, String(error instanceof Error ? error.message : error));
          // Without a majority there is nothing to wait for.
          for (const target of own) this.#requireLanes(target, this.#lanesOf(target));
          return;
        } finally {
          done.add(lane);
        }
        for (const target of own) {
          const left = (missing.get(target) ?? 0) - 1;
          if (left > 0) missing.set(target, left);
          else missing.delete(target);
        }
        if (missing.size === 0) lag.start();
      }),
    ).finally(() => {
      lag.stop();
    });
    for (const target of targets) this.#requireLanes(target, this.#lanesOf(target));
  }

  #giveUp(lanes: readonly Lane[]): void {
    const limit = this.#deps.config.get('replica_write_lag_ms');
    for (const lane of lanes) {
      this.#fail(lane, `it was ${limit} ms later than the majority`);
      lane.given.abort();
    }
  }

  #fail(lane: Lane, why: string): void {
    if (lane.failure !== undefined) return;
    lane.failure = why;
    const { backendId } = lane.address;
    const { txnId, log } = this.#deps;
    log.warn('a load goes on without a backend', { txnId, replicaOf: backendId, why });
  }

  #lanesOf({ replicas }: TabletTarget): Lane[] {
    return replicas.flatMap(({ backendId }) => {
      const lane = this.#lanes.get(backendId);
      return lane === undefined || lane.failure !== undefined ? [] : [lane];
    });
  }

  #requireLanes({ tabletId, required, replicas }: TabletTarget, lanes: readonly Lane[]): void {
    if (lanes.length >= required) return;
    throw this.#tooFew(tabletId, lanes.length, required, replicas.length);
  }

  #tooFew(tabletId: TabletId, have: number, required: number, all: number): SqlError {
    const reasons = [...this.#lanes.values()].flatMap(({ address, failure }) =>
      failure === undefined ? [] : [`backend ${address.backendId}: ${failure}`],
    );
    const why =
      `tablet ${tabletId} could be written on ${have} of ${all} replicas, ${required} are needed` +
      (reasons.length === 0 ? '' : ` (${reasons.join('; ')})`);
    return new SqlError('LOAD_FAILED', { why });
  }

  #target(tabletId: TabletId): TabletTarget {
    const target = this.#tablets.get(tabletId);
    if (target === undefined) throw new TypeError(`tablet ${tabletId} has no replicas`);
    return target;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Runs once, when the majority is done. */
class LagTimer {
  readonly #deps: Pick<ReplicaLoadDeps, 'clock' | 'config'>;
  readonly #late: () => void;
  #stop: (() => void) | undefined;

  constructor(deps: Pick<ReplicaLoadDeps, 'clock' | 'config'>, late: () => void) {
    this.#deps = deps;
    this.#late = late;
  }

  start(): void {
    const { clock, config } = this.#deps;
    this.#stop ??= clock.after(config.get('replica_write_lag_ms'), this.#late);
  }

  stop(): void {
    this.#stop?.();
  }
}

/** The replica is gone or another one: its own affair, not its backend's. */
function isOfOneTablet(error: unknown): boolean {
  return (
    error instanceof SqlError &&
    (error.code === 'REPLICA_MISSING' ||
      error.code === 'CONFUSED_REPLICA' ||
      error.code === 'REPLICA_BAD' ||
      error.code === 'TXN_CONFLICT')
  );
}

/** A peer that does not heed its signal must not hold up the load. */
async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}
