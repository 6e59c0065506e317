/** What a bench is, and what it may use of its surroundings. */

/** One measured number. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  /** e.g. `MiB/s`, `s`, `1/s`; '' for a ratio. */
  readonly unit: string;
  /** What issue and design ask for; a figure without one is for orientation. */
  readonly goal?: Goal;
  /** How it came about, in a few words. */
  readonly note?: string;
}

export interface Goal {
  readonly is: 'at least' | 'below';
  readonly value: number;
}

export interface BenchContext {
  /** Smaller sizes and fewer rounds: for a look, not for the record. */
  readonly quick: boolean;
  /** A new directory; removed when the bench is over. */
  directory(): Promise<string>;
  /** Runs when the bench is over, in the reverse order, also after a failure or a signal. */
  defer(stop: () => Promise<void> | void): void;
  /** A line about what is going on, on stderr. */
  say(text: string): void;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  run(context: BenchContext): Promise<readonly Figure[]>;
}
