/**
 * Seeds that once found something: what is fixed stays fixed. A change of what a run draws from
 * its seed (sim/options.ts, sim/workload.ts) makes another run of it; then the sentence only says
 * where it came from.
 */
export interface KnownSeed {
  readonly seed: number;
  /** What was wrong. */
  readonly found: string;
}

export const KNOWN_SEEDS: readonly KnownSeed[] = [
  {
    seed: 54,
    found:
      'a batch of a silent backend was moved and its number given again: FINISHED, but not warm',
  },
  { seed: 88, found: 'the same, with fewer tablets than the backend answered for: -1 skipped' },
  {
    seed: 209,
    found: 'what a dropped backend had been given was cold on the heirs of its tablets',
  },
  { seed: 223, found: 'the same, after a pause' },
];

export interface Canary {
  readonly plant: string;
  /** A bug that nobody finds within this many runs from here on is not watched. */
  readonly firstSeed: number;
  readonly runs: number;
  /** The invariants that may find it. */
  readonly invariants: readonly string[];
}

/** Each planted bug, and a seed in which it shows; the margin is for changes of what is drawn. */
export const CANARIES: readonly Canary[] = [
  {
    plant: 'slot-not-re-owned',
    firstSeed: 2,
    runs: 30,
    invariants: ['one-running-per-target', 'slots-match-running'],
  },
  {
    plant: 'acknowledged-before-durable',
    firstSeed: 2,
    runs: 30,
    invariants: ['finished-means-warm'],
  },
  {
    plant: 'cancel-ignored-when-busy',
    firstSeed: 3,
    runs: 60,
    invariants: ['cancelled-jobs-stop'],
  },
  { plant: 'event-lost-while-down', firstSeed: 20, runs: 60, invariants: ['events-arrive'] },
];
