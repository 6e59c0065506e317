/**
 * Compares the local disk with `agent.db`, at the start and from time to time: files that nothing
 * refers to go, and a replica whose file is missing or too short is found before somebody needs it
 * (checksums are compared by who reads, see SegmentChecks). One that was found so is looked at again,
 * with checksums.
 */
import { setImmediate } from 'node:timers/promises';
import type { TabletId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { LocalSegments } from './local_segments.ts';
import type { ReplicaState, ReplicaStore } from './replica_store.ts';
import { DamagedSegment, type SegmentChecks } from './segment_checks.ts';

/** Milliseconds between the end of an inspection and the next one. */
const EVERY_MS = 6 * 3_600_000;
/** Replicas whose files are looked at before other work of the thread gets its turn. */
const REPLICAS_WITHOUT_PAUSE = 16;

export interface DiskInspectionDeps {
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly checks: SegmentChecks;
  readonly clock: Clock;
  readonly log: Log;
  /** A local segment of the tablet is not what it should be. */
  readonly onDamage: (tabletId: TabletId, why: string) => void;
}

export class DiskInspection {
  readonly #deps: DiskInspectionDeps;
  #stopTimer: () => void = () => undefined;
  #isClosed = false;

  constructor(deps: DiskInspectionDeps) {
    this.#deps = deps;
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
  }

  async #run(): Promise<void> {
    const { store, local, clock, log } = this.#deps;
    try {
      const files = await local.removeLeftovers((tablet, rowset) => store.hasLocal(tablet, rowset));
      if (files > 0) log.info('files without a replica were removed', { files });
      await this.#lookAtAll();
    } catch (error) {
      if (!this.#isClosed)
        log.warn('the local disk could not be inspected', { error: String(error) });
    }
    if (this.#isClosed) return;
    this.#stopTimer = clock.after(EVERY_MS, () => {
      void this.#run();
    });
  }

  async #lookAtAll(): Promise<void> {
    for (const [at, { tabletId }] of this.#deps.store.list().entries()) {
      if (this.#isClosed) return;
      const state = this.#deps.store.get(tabletId);
      if (state?.isBad === true) await this.#lookAgain(state);
      else if (state !== undefined) await this.#lookAt(state);
      if (at % REPLICAS_WITHOUT_PAUSE === 0) await setImmediate();
    }
  }

  async #lookAt({ tabletId, rowsets }: ReplicaState): Promise<void> {
    const { store, checks, onDamage } = this.#deps;
    for (const { rowsetId, segments, place } of rowsets) {
      if (place.kind !== 'local') continue;
      for (const meta of segments) {
        try {
          await checks.requireSize({ tabletId, rowsetId, meta });
        } catch (error) {
          if (!(error instanceof DamagedSegment)) throw error;
          // Not damaged, but replaced or cooled meanwhile.
          if (this.#isClosed || !store.hasLocal(tabletId, rowsetId)) return;
          onDamage(tabletId, error.message);
          return;
        }
      }
    }
  }

  /**
   * What was missing may be back, a disk that was mounted late for instance: the only copy of
   * something must not be taken for lost when it is there, checksums and all.
   */
  async #lookAgain(state: ReplicaState): Promise<void> {
    const { store, checks, log } = this.#deps;
    const { tabletId, rowsets } = state;
    for (const { rowsetId, segments, place } of rowsets) {
      if (place.kind !== 'local') continue;
      for (const meta of segments) {
        try {
          await checks.verify({ tabletId, rowsetId, meta });
        } catch (error) {
          if (error instanceof DamagedSegment) return;
          throw error;
        }
      }
    }
    if (this.#isClosed || store.get(tabletId) !== state) return;
    store.clearBad(tabletId);
    log.warn('a replica that was damaged is whole again', { tabletId });
  }
}
