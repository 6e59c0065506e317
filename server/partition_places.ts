/**
 * Which values the partitions of a table have taken, so that one more is compared with few of them:
 * each with each was 60 ms of the main thread for 100 partitions, and grew with their square.
 */
import { compareBounds } from '../base/partition_routing.ts';
import type { ColumnDef, PartitionValues, RangeValue } from '../base/schema.ts';
import { type ValueOrder, valueOrder } from '../base/value_order.ts';
import type { SqlValue } from '../base/values.ts';

type Bound = readonly RangeValue[];

interface NamedRange {
  readonly name: string;
  readonly lower: Bound | undefined;
  readonly upper: Bound;
}

/** Ranges and lists that do not overlap: whoever adds one has asked `overlapped` before. */
export class PartitionPlaces {
  readonly #orders: readonly ValueOrder[];
  /** By their bounds, which are in the same order, since they do not overlap. */
  readonly #ranges: NamedRange[] = [];
  /** Name of the partition that has a tuple. */
  readonly #tuples = new Map<string, string>();

  /** `columns`: those that the table is partitioned by. */
  constructor(columns: readonly ColumnDef[]) {
    this.#orders = columns.map(({ type }) => valueOrder(type));
  }

  compare(a: Bound, b: Bound): number {
    return compareBounds(a, b, this.#orders);
  }

  /** End of the highest range; undefined: there is none. */
  get highest(): Bound | undefined {
    return this.#ranges.at(-1)?.upper;
  }

  /** Name of a partition that has some of these values. */
  overlapped(values: PartitionValues): string | undefined {
    switch (values.kind) {
      case 'NONE':
        return undefined;
      case 'LIST':
        return values.tuples
          .map((tuple) => this.#tuples.get(tupleText(tuple)))
          .find((name) => name !== undefined);
      case 'RANGE': {
        const { lower, upper } = values;
        const next = this.#ranges[lower === undefined ? 0 : this.#placeAfter(lower)];
        if (next === undefined) return undefined;
        const begins = next.lower === undefined || this.compare(next.lower, upper) < 0;
        return begins ? next.name : undefined;
      }
    }
  }

  add(name: string, values: PartitionValues): void {
    switch (values.kind) {
      case 'NONE':
        return;
      case 'LIST':
        for (const tuple of values.tuples) this.#tuples.set(tupleText(tuple), name);
        return;
      case 'RANGE': {
        const { lower, upper } = values;
        this.#ranges.splice(this.#placeAfter(upper), 0, { name, lower, upper });
      }
    }
  }

  /** Of the first range that ends above the bound. */
  #placeAfter(bound: Bound): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && this.compare(range.upper, bound) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function tupleText(tuple: readonly SqlValue[]): string {
  return tuple.map((value) => (value === null ? 'n' : `v${String(value)}`)).join('\u0000');
}
