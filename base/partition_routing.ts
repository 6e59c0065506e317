/** Which partition of a table a row belongs to. */
import type { PartitionDef, RangeValue, TableDef } from './schema.ts';
import type { SqlValue } from './values.ts';
import { type ValueOrder, valueOrder } from './value_order.ts';

/**
 * Canonical values of the partition columns, in their order → index in `table.partitions`, or -1
 * when no partition takes them.
 */
export type PartitionRouter = (values: readonly SqlValue[]) => number;

/** Built once per load. NULL belongs to the lowest range, as in MySQL and Doris. */
export function partitionRouter(table: TableDef): PartitionRouter {
  switch (table.partitionKind) {
    case 'NONE':
      return () => (table.partitions.length === 0 ? -1 : 0);
    case 'LIST':
      return listRouter(table.partitions);
    case 'RANGE':
      return rangeRouter(table);
  }
}

function listRouter(partitions: readonly PartitionDef[]): PartitionRouter {
  const byTuple = new Map<string, number>();
  partitions.forEach((partition, index) => {
    if (partition.values.kind !== 'LIST') return;
    for (const tuple of partition.values.tuples) byTuple.set(tupleKey(tuple), index);
  });
  return (values) => byTuple.get(tupleKey(values)) ?? -1;
}

/** Canonical values of one column have one type, so their texts tell them apart. */
function tupleKey(values: readonly SqlValue[]): string {
  return values
    .map((value) => (value === null ? 'n' : `${String(value).length}:${String(value)}`))
    .join(',');
}

interface Range {
  readonly index: number;
  readonly lower: readonly RangeValue[] | undefined;
  readonly upper: readonly RangeValue[];
}

function rangeRouter(table: TableDef): PartitionRouter {
  const orders = partitionOrders(table);
  const ranges = table.partitions
    .flatMap((partition, index): Range[] =>
      partition.values.kind === 'RANGE'
        ? [{ index, lower: partition.values.lower, upper: partition.values.upper }]
        : [],
    )
    .sort((a, b) => compareBounds(a.upper, b.upper, orders));
  return (values) => {
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = ranges[middle];
      if (range !== undefined && compareToBound(values, range.upper, orders) < 0) high = middle;
      else low = middle + 1;
    }
    const found = ranges[low];
    if (found === undefined) return -1;
    const above = found.lower === undefined || compareToBound(values, found.lower, orders) >= 0;
    return above ? found.index : -1;
  };
}

/** The orders of the partition columns; a column that is not there is a broken definition. */
function partitionOrders(table: TableDef): ValueOrder[] {
  return table.partitionColumns.map((name) => {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw new TypeError(`partition column ${name} not in ${table.name}`);
    return valueOrder(column.type);
  });
}

/** A bound with fewer values than columns goes on with the lowest ones, as in Doris. */
function compareToBound(
  values: readonly SqlValue[],
  bound: readonly RangeValue[],
  orders: readonly ValueOrder[],
): number {
  for (const [i, order] of orders.entries()) {
    const limit = bound[i];
    if (limit === undefined) return values.slice(i).every((value) => value === null) ? 0 : 1;
    if ('max' in limit) return -1;
    const compared = order(values[i] ?? null, limit.value);
    if (compared !== 0) return compared;
  }
  return 0;
}

export function compareBounds(
  left: readonly RangeValue[],
  right: readonly RangeValue[],
  orders: readonly ValueOrder[],
): number {
  for (const [i, order] of orders.entries()) {
    const [a, b] = [left[i], right[i]];
    if (a === undefined || b === undefined) return left.length - right.length;
    if ('max' in a || 'max' in b) {
      const difference = Number('max' in a) - Number('max' in b);
      if (difference !== 0) return difference;
      continue;
    }
    const compared = order(a.value, b.value);
    if (compared !== 0) return compared;
  }
  return 0;
}
