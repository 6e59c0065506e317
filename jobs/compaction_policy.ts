/**
 * Which rowsets of a tablet to merge. Only neighbours, because the result stands for their versions
 * `[start-end]`; size-tiered, so that every byte is rewritten a logarithmic number of times.
 *
 * Automatic: a rowset belongs to a tier by its size, and the tiers grow by the factor that is also
 * the number of rowsets a merge needs. The lowest tier with enough neighbours is merged, and none of
 * them may be larger than all others together: so every merge at least doubles what a byte lies in.
 * The point between Doris's cumulative and base compaction is a size here, not a version.
 */
import type { CompactionKind } from '../catalog/rows.ts';

export interface PolicyRowset {
  readonly startVersion: number;
  readonly endVersion: number;
  readonly bytes: number;
}

export interface CompactionRules {
  /** Neighbours a merge of small rowsets needs at least. */
  readonly cumulativeMinDeltas: number;
  /** Most rowsets merged at once. */
  readonly maxDeltas: number;
  /** From this size on a rowset is large. */
  readonly promotionBytes: number;
  /** Neighbours a merge with large rowsets needs at least. */
  readonly baseMinRowsets: number;
}

/** Rowsets `[from, to)` of the list. */
export interface CompactionChoice {
  readonly kind: CompactionKind;
  readonly from: number;
  readonly to: number;
}

/** AUTO: when it pays. The others do what was asked for, also when it does not. */
export type CompactionMode = 'AUTO' | CompactionKind;

/** Below this, bytes do not matter: an object costs a request and its footer whatever it holds. */
const LOWEST_TIER_BYTES = 16 * 1024;
/** Most bytes merged at once: a compaction that fails has rewritten no more for nothing. */
export const COMPACTION_BYTES_MAX = 16 * 2 ** 30;

/** A range of the list and what it weighs. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** undefined: there is nothing to do. `rowsets`: all visible ones of a tablet, by version. */
export function chooseCompaction(
  rowsets: readonly PolicyRowset[],
  mode: CompactionMode,
  rules: CompactionRules,
): CompactionChoice | undefined {
  switch (mode) {
    case 'AUTO':
      return automatic(rowsets, rules);
    case 'CUMULATIVE':
      return asked(rowsets, 'CUMULATIVE', smallRuns(rowsets, rules), rules);
    case 'BASE':
      return asked(rowsets, 'BASE', [{ from: 0, to: lastLarge(rowsets, rules) + 1 }], rules);
    case 'FULL':
      return asked(rowsets, 'FULL', [{ from: 0, to: rowsets.length }], rules);
  }
}

// ---------------------------------------------------------------------------------------------
// Automatic

function automatic(
  rowsets: readonly PolicyRowset[],
  rules: CompactionRules,
): CompactionChoice | undefined {
  const factor = Math.max(2, rules.cumulativeMinDeltas);
  const tiers = rowsets.map(({ bytes }) => tierOf(bytes, factor));
  for (const highest of [...new Set(tiers)].sort((a, b) => a - b)) {
    const runs = runsOf(rowsets.length, (at) => (tiers[at] ?? 0) <= highest);
    let best: CompactionChoice | undefined;
    for (const run of runs) {
      const choice = worthwhile(rowsets, run, rules);
      if (choice === undefined) continue;
      if (best === undefined || choice.to - choice.from > best.to - best.from) best = choice;
    }
    if (best !== undefined) return best;
  }
  return undefined;
}

function tierOf(bytes: number, factor: number): number {
  if (bytes < LOWEST_TIER_BYTES) return 0;
  return 1 + Math.floor(Math.log(bytes / LOWEST_TIER_BYTES) / Math.log(factor));
}

/** The part of a run that may be merged with the rules kept. */
function worthwhile(
  rowsets: readonly PolicyRowset[],
  run: Range,
  rules: CompactionRules,
): CompactionChoice | undefined {
  const { from, to } = run;
  const isBase = rowsets.slice(from, to).some(({ bytes }) => bytes >= rules.promotionBytes);
  const min = Math.max(2, isBase ? rules.baseMinRowsets : rules.cumulativeMinDeltas);
  if (to - from < min) return undefined;
  if (to - from > rules.maxDeltas) {
    const oldest = { from, to: from + rules.maxDeltas };
    return worthwhile(rowsets, oldest, rules) ?? worthwhile(rowsets, { from: from + 1, to }, rules);
  }
  const total = sum(rowsets, run);
  const largest = largestOf(rowsets, run);
  const { bytes = 0 } = rowsets[largest] ?? {};
  const isEven = bytes * 2 <= total || total < LOWEST_TIER_BYTES;
  if (isEven && total <= COMPACTION_BYTES_MAX) {
    return { kind: isBase ? 'BASE' : 'CUMULATIVE', from, to };
  }
  // Without the largest: what is before it, or behind.
  const before = worthwhile(rowsets, { from, to: largest }, rules);
  const behind = worthwhile(rowsets, { from: largest + 1, to }, rules);
  if (before === undefined || behind === undefined) return before ?? behind;
  return behind.to - behind.from > before.to - before.from ? behind : before;
}

// ---------------------------------------------------------------------------------------------
// Asked for

/** The most neighbours, out of some runs, that one compaction can take; two at least. */
function asked(
  rowsets: readonly PolicyRowset[],
  kind: CompactionKind,
  runs: readonly Range[],
  rules: CompactionRules,
): CompactionChoice | undefined {
  let best: Range | undefined;
  for (const run of runs) {
    const fitting = lightest(rowsets, run, rules.maxDeltas);
    if (fitting === undefined) continue;
    if (best === undefined || fitting.to - fitting.from > best.to - best.from) best = fitting;
  }
  return best === undefined ? undefined : { kind, ...best };
}

/**
 * As many neighbours as are allowed, those with the fewest bytes: when a tablet takes several
 * compactions, the large result of one is not rewritten by the next.
 */
function lightest(
  rowsets: readonly PolicyRowset[],
  { from, to }: Range,
  countMax: number,
): Range | undefined {
  for (let count = Math.min(to - from, countMax); count >= 2; count = Math.floor(count / 2)) {
    let best: Range = { from, to: from + count };
    let total = sum(rowsets, best);
    let least = total;
    for (let at = from + 1; at + count <= to; at += 1) {
      total += (rowsets[at + count - 1]?.bytes ?? 0) - (rowsets[at - 1]?.bytes ?? 0);
      if (total < least) [best, least] = [{ from: at, to: at + count }, total];
    }
    if (least <= COMPACTION_BYTES_MAX) return best;
  }
  return undefined;
}

function smallRuns(rowsets: readonly PolicyRowset[], rules: CompactionRules): Range[] {
  return runsOf(rowsets.length, (at) => (rowsets[at]?.bytes ?? 0) < rules.promotionBytes);
}

/** -1: there is none. */
function lastLarge(rowsets: readonly PolicyRowset[], rules: CompactionRules): number {
  return rowsets.findLastIndex(({ bytes }) => bytes >= rules.promotionBytes);
}

// ---------------------------------------------------------------------------------------------
// Ranges

/** Maximal ranges in which every place belongs. */
function runsOf(length: number, belongs: (at: number) => boolean): Range[] {
  const runs: Range[] = [];
  let from = 0;
  for (let at = 0; at <= length; at += 1) {
    if (at < length && belongs(at)) continue;
    if (at > from) runs.push({ from, to: at });
    from = at + 1;
  }
  return runs;
}

function sum(rowsets: readonly PolicyRowset[], { from, to }: Range): number {
  let bytes = 0;
  for (let at = from; at < to; at += 1) bytes += rowsets[at]?.bytes ?? 0;
  return bytes;
}

function largestOf(rowsets: readonly PolicyRowset[], { from, to }: Range): number {
  let largest = from;
  for (let at = from + 1; at < to; at += 1) {
    if ((rowsets[at]?.bytes ?? 0) > (rowsets[largest]?.bytes ?? 0)) largest = at;
  }
  return largest;
}
