/**
 * Merges the cooled rowsets of tablets that this backend leads, so that many small loads do not stay
 * many small objects for ever. The output is published as a cooled rowset is; the inputs' objects
 * are unused then and wait for their collection.
 */
import type { Config } from '../../base/config.ts';
import { rowsetId as checkedRowsetId, type TabletId } from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type { ReplicaRowset } from '../../base/replica.ts';
import { segmentKey } from '../../base/schema.ts';
import type { LocalSegments } from '../replica/local_segments.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import type { ColdMerge, Merged } from './cold_merge.ts';
import { readBack } from './content_check.ts';
import type { CooldownEngine } from './cooldown_engine.ts';
import { damaged } from './manifest.ts';
import { cooledRowsets } from './pick.ts';
import type { TurnOf } from './tablet_cooling.ts';

/** A rowset of this size, and larger than all that would be merged into it, stays as it is. */
const LARGE_BYTES = 2 ** 30;

export interface ColdCompactionOptions {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly merge: ColdMerge;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * All cooled rowsets, but for large ones at the beginning that would be rewritten for little.
 * Empty: fewer than `scoreMin` are left.
 */
export function pickColdInputs(
  rowsets: readonly ReplicaRowset[],
  scoreMin: number,
): readonly ReplicaRowset[] {
  let inputs: readonly ReplicaRowset[] = cooledRowsets(rowsets);
  for (;;) {
    const [first, ...rest] = inputs;
    if (first === undefined) break;
    const restBytes = rest.reduce((sum, { bytes }) => sum + bytes, 0);
    if (first.bytes < LARGE_BYTES || first.bytes <= restBytes) break;
    inputs = rest;
  }
  return inputs.length < scoreMin ? [] : inputs;
}

/**
 * Pages have no checksums: what has changed in the bucket would be merged into something that has
 * one, and the inputs, in which it can be found, are deleted. So each is read once more before.
 */
async function requireWhole(
  { tabletId, resource, signal }: TurnOf,
  inputs: readonly ReplicaRowset[],
): Promise<void> {
  for (const { rowsetId, segments } of inputs) {
    for (const segment of segments) {
      const key = segmentKey(tabletId, rowsetId, segment.segment);
      const problem = await readBack(resource.store, key, segment, signal);
      if (problem !== undefined) throw damaged(key, problem);
    }
  }
}

export class ColdCompaction {
  readonly #options: ColdCompactionOptions;
  #running = 0;
  #pending: TabletId[] = [];

  constructor(options: ColdCompactionOptions) {
    this.#options = options;
  }

  /** Begins what has enough to merge, those with the most first; the rest waits for the next look. */
  look(): void {
    const { store, engine } = this.#options;
    const candidates = store.list().flatMap((replica) => {
      const inputs = this.#inputs(replica);
      if (inputs.length === 0 || replica.isBad || !engine.leads(replica)) return [];
      if (engine.isResting(replica)) return [];
      return [{ tabletId: replica.tabletId, score: inputs.length }];
    });
    candidates.sort((a, b) => b.score - a.score);
    this.#pending = candidates.map(({ tabletId }) => tabletId);
    this.#pump();
  }

  /** Merges what the tablet has, if it is enough. Throws what went wrong. */
  async compact(tabletId: TabletId): Promise<boolean> {
    const { engine } = this.#options;
    const isDone = await engine.leaderTurn(tabletId, async (turn) => await this.#inTurn(turn));
    return isDone ?? false;
  }

  #inputs(replica: ReplicaState): readonly ReplicaRowset[] {
    const { config } = this.#options;
    return pickColdInputs(replica.rowsets, config.get('cold_data_compaction_score_threshold'));
  }

  #pump(): void {
    const { config, log, engine } = this.#options;
    while (this.#running < config.get('cold_data_compaction_thread_num')) {
      const tabletId = this.#pending.shift();
      if (tabletId === undefined) return;
      // Cooling, following or being copied: next time.
      if (engine.isBusy(tabletId)) continue;
      this.#running += 1;
      void this.compact(tabletId)
        .catch((error: unknown) => {
          engine.counts.failures += 1;
          log.warn('a compaction of cooled rowsets failed', { tabletId, error: String(error) });
        })
        .finally(() => {
          this.#running -= 1;
          this.#pump();
        });
    }
  }

  async #inTurn(turn: TurnOf): Promise<boolean> {
    const { engine, store, local, random, log } = this.#options;
    const { tabletId, signal } = turn;
    const published = await engine.cooling.takeOver(turn);
    const replica = store.get(tabletId);
    if (published === undefined || replica === undefined) return false;
    const inputs = this.#inputs(replica);
    if (inputs.length === 0) return false;
    const rowsetId = checkedRowsetId(Buffer.from(random.bytes(16)).toString('hex'));
    const { partitionId } = replica;
    const unpin = local.pin(rowsetId);
    let merged: Merged = { rows: 0, bytes: 0, segments: [] };
    try {
      await requireWhole(turn, inputs);
      if (inputs.some(({ segments }) => segments.length > 0)) {
        const request = { tabletId, partitionId, inputs, rowsetId };
        merged = await this.#options.merge(request, local.store, signal);
      }
      const output = this.#outputOf(turn, rowsetId, inputs, merged);
      await this.#upload(turn, output);
      await engine.cooling.replaceCooled(turn, published, inputs, [output]);
      engine.counts.compactions += 1;
      engine.counts.compactedRowsets += inputs.length;
      const { bytes } = output;
      log.info('merged cooled rowsets', { tabletId, rowsets: inputs.length, bytes });
      return true;
    } finally {
      unpin();
      await local.delete(tabletId, [{ rowsetId, segments: merged.segments }]);
    }
  }

  #outputOf(
    { resource }: TurnOf,
    rowsetId: ReplicaRowset['rowsetId'],
    inputs: readonly ReplicaRowset[],
    merged: Merged,
  ): ReplicaRowset {
    const rows = inputs.reduce((sum, input) => sum + input.rows, 0);
    if (merged.rows !== rows) throw new Error(`merged ${merged.rows} rows of ${rows}`);
    return {
      rowsetId,
      startVersion: inputs[0]?.startVersion ?? 0,
      endVersion: inputs.at(-1)?.endVersion ?? 0,
      rows,
      bytes: merged.segments.reduce((sum, { bytes }) => sum + bytes, 0),
      segments: merged.segments,
      createdMs: this.#options.clock.now(),
      newestWriteMs: Math.max(...inputs.map((input) => input.newestWriteMs)),
      place: { kind: 'remote', resourceId: resource.resourceId },
    };
  }

  async #upload(turn: TurnOf, output: ReplicaRowset): Promise<void> {
    const { engine, store, clock } = this.#options;
    const { tabletId, resource, signal } = turn;
    if (output.segments.length === 0) return;
    const { rowsetId } = output;
    const { resourceId } = resource;
    store.beginUpload({ tabletId, rowsetId, resourceId, startedMs: clock.now() });
    await engine.uploads.upload(resource, tabletId, [output], signal);
  }
}
