/** What of a replica is cold: when, in which order, and how much at once. */
import type { ReplicaRowset } from '../../base/replica.ts';
import type { CooldownTime } from '../../base/schema.ts';

/** Rowsets published with one manifest. */
const BATCH_ROWSETS_MAX = 100;
/** Bytes published with one manifest, from which on it is not made larger. */
const BATCH_BYTES = 2 ** 30;

/** Rowsets in version order; `version`: contiguous from 0 to it. */
export interface Coolable {
  readonly rowsets: readonly ReplicaRowset[];
  readonly version: number;
}

/** When something is cold: from its policy, and what an administrator asked for. */
export interface Coldness {
  /** undefined: never by itself. */
  readonly time: CooldownTime | undefined;
  /** Cold whatever the time says, up to this version; -1: nothing. */
  readonly forcedVersion: number;
}

/** End of the last cooled rowset; -1: nothing is cooled. */
export function cooledVersionOf(rowsets: readonly ReplicaRowset[]): number {
  let version = -1;
  for (const { place, endVersion } of rowsets) {
    if (place.kind !== 'remote') break;
    version = endVersion;
  }
  return version;
}

export function cooledRowsets(rowsets: readonly ReplicaRowset[]): ReplicaRowset[] {
  return rowsets.filter(({ place }) => place.kind === 'remote');
}

/** Local ones that follow the cooled ones without a gap, in order: what may be cooled at all. */
function localRun({ rowsets, version }: Coolable): ReplicaRowset[] {
  const cooled = cooledVersionOf(rowsets);
  return rowsets.filter(({ startVersion, endVersion }) => {
    return startVersion > cooled && endVersion <= version;
  });
}

/** A rowset is cold when this is in the past; Infinity: never. */
function dueMsOf(rowset: ReplicaRowset, { time, forcedVersion }: Coldness): number {
  if (rowset.endVersion <= forcedVersion) return Number.NEGATIVE_INFINITY;
  if (time === undefined) return Number.POSITIVE_INFINITY;
  switch (time.kind) {
    case 'datetime':
      return time.atMs;
    case 'ttl':
      return rowset.newestWriteMs + time.seconds * 1000;
  }
}

/**
 * When the next rowset may be cooled; Infinity: never, -Infinity: it was asked for. undefined:
 * there is none, or only empty ones of a tablet of which nothing is cooled.
 */
export function nextDueMs(replica: Coolable, coldness: Coldness): number | undefined {
  let due = Number.NEGATIVE_INFINITY;
  const hasCooled = cooledVersionOf(replica.rowsets) >= 0;
  for (const rowset of localRun(replica)) {
    // Versions go in order: one that is not due holds up those after it.
    due = Math.max(due, dueMsOf(rowset, coldness));
    if (hasCooled || rowset.segments.length > 0) return due;
  }
  return undefined;
}

/**
 * The next rowsets to be cooled together, in order. The first manifest of a tablet begins with its
 * empty rowset [0-1] and has data; a tablet that is empty as a whole is left alone.
 */
export function pickDue(
  replica: Coolable,
  coldness: Coldness,
  nowMs: number,
): readonly ReplicaRowset[] {
  const picked: ReplicaRowset[] = [];
  let hasData = cooledVersionOf(replica.rowsets) >= 0;
  let bytes = 0;
  for (const rowset of localRun(replica)) {
    const isFull = picked.length >= BATCH_ROWSETS_MAX || bytes >= BATCH_BYTES;
    if ((hasData && isFull) || !(dueMsOf(rowset, coldness) < nowMs)) break;
    picked.push(rowset);
    bytes += rowset.bytes;
    hasData ||= rowset.segments.length > 0;
  }
  return hasData ? picked : [];
}

/** Bytes that are on the local disk. */
export function localBytesOf(rowsets: readonly ReplicaRowset[]): number {
  return rowsets.reduce((sum, { place, bytes }) => sum + (place.kind === 'local' ? bytes : 0), 0);
}

export interface Candidate {
  /** Wall clock, milliseconds. */
  readonly dueMs: number;
  readonly bytes: number;
}

/** The longest overdue first; of equal ones the largest. */
export function byUrgency(a: Candidate, b: Candidate): number {
  if (a.dueMs !== b.dueMs) return a.dueMs < b.dueMs ? -1 : 1;
  return b.bytes - a.bytes;
}
