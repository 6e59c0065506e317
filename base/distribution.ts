/** How often values fell below each of some bounds: a histogram as Prometheus has them. */
export class Distribution {
  /** Upper bounds, rising; a value belongs to the first that is not smaller. */
  readonly bounds: readonly number[];
  /** Values per bound, not added up; those above the last bound are in `count` alone. */
  readonly counts: number[];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.count += 1;
    this.sum += value;
    const at = this.bounds.findIndex((bound) => value <= bound);
    if (at !== -1) this.counts[at] = (this.counts[at] ?? 0) + 1;
  }
}
