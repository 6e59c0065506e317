/** Seeds of runs of the cooldown world: those that once found something, and planted defects. */
export interface KnownCoolSeed {
  readonly seed: number;
  readonly control: 'real' | 'model';
  /** What was wrong. */
  readonly found: string;
}

/** What is fixed stays fixed. */
export const KNOWN_SEEDS: readonly KnownCoolSeed[] = [
  {
    seed: 127,
    control: 'model',
    found: 'a backend was refused for ever after a second process with its id had reported',
  },
  {
    seed: 101,
    control: 'real',
    found: 'a prepared rowset was kept for ever whose version all replicas had from elsewhere',
  },
  {
    seed: 3,
    control: 'real',
    found: 'a request for the next batch of a scan that came twice took rows away from the query',
  },
  {
    seed: 4,
    control: 'real',
    found: 'a follower whose policy was taken away before it had looked kept its copies for ever',
  },
];

export interface PlantedRun {
  readonly plant: string;
  /** It shows within so many runs from here on. */
  readonly firstSeed: number;
  readonly runs: number;
  readonly invariant: string;
}

/** Defects that show in runs and not in a schedule: they are in the real control plane. */
export const PLANTED_RUNS: readonly PlantedRun[] = [
  {
    plant: 'collects-under-scan',
    firstSeed: 5,
    runs: 10,
    invariant: 'I8-only-garbage-goes',
  },
  {
    plant: 'holds-from-scan-on',
    firstSeed: 73,
    runs: 10,
    invariant: 'I8-only-garbage-goes',
  },
];
