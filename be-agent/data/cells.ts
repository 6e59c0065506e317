/**
 * The collected values of one column, as compact as they allow: numbers and 64-bit integers lie in
 * typed arrays (a bigint in an ordinary array takes four times as much, and the collector visits
 * it again and again), texts and wide numbers in an ordinary array.
 */
import type { DecodedArray } from 'hyparquet';
import type { Physical } from './column_codec.ts';

export type CellStorage = 'int32' | 'float64' | 'int64' | 'any';

export interface Cells {
  push(value: Physical | null): void;
  /** NULL first; texts in UTF-16 order: only the closeness of equal keys matters here. */
  compare(left: number, right: number): number;
  /** Rows `start..end-1`, or the rows that `order` names there. NULL is null. */
  slice(order: Uint32Array | undefined, start: number, end: number): DecodedArray;
}

export function newCells(storage: CellStorage): Cells {
  switch (storage) {
    case 'int32':
      return new TypedCells((length) => new Int32Array(length), asNumber);
    case 'float64':
      return new TypedCells((length) => new Float64Array(length), asNumber);
    case 'int64':
      return new TypedCells((length) => new BigInt64Array(length), asBigint);
    case 'any':
      return new PlainCells();
  }
}

function asNumber(value: Physical): number {
  if (typeof value === 'number') return value;
  throw new TypeError(`expected a number, got ${typeof value}`);
}

function asBigint(value: Physical): bigint {
  if (typeof value === 'bigint') return value;
  throw new TypeError(`expected a 64-bit integer, got ${typeof value}`);
}

class PlainCells implements Cells {
  readonly #values: (Physical | null)[] = [];

  push(value: Physical | null): void {
    this.#values.push(value);
  }

  compare(left: number, right: number): number {
    return comparePlain(this.#values[left] ?? null, this.#values[right] ?? null);
  }

  slice(order: Uint32Array | undefined, start: number, end: number): DecodedArray {
    const values = this.#values;
    if (order === undefined) return values.slice(start, end);
    return Array.from(order.subarray(start, end), (row) => values[row] ?? null);
  }
}

function comparePlain(left: Physical | null, right: Physical | null): number {
  if (left === right) return 0;
  if (left === null) return -1;
  if (right === null) return 1;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** What Int32Array, Float64Array and BigInt64Array have in common. */
interface TypedArray<Value> {
  readonly length: number;
  [index: number]: Value;
  set(source: ArrayLike<Value>): void;
}

const FIRST_LENGTH = 64;

class TypedCells<Value extends number | bigint> implements Cells {
  readonly #make: (length: number) => TypedArray<Value>;
  readonly #accept: (value: Physical) => Value;
  #values: TypedArray<Value>;
  /** 1 where the row is NULL; made at the first one. */
  #nulls: Uint8Array | undefined;
  #length = 0;

  constructor(make: (length: number) => TypedArray<Value>, accept: (value: Physical) => Value) {
    this.#make = make;
    this.#accept = accept;
    this.#values = make(FIRST_LENGTH);
  }

  push(value: Physical | null): void {
    const at = this.#length;
    if (at === this.#values.length) this.#grow();
    if (value === null) {
      this.#nulls ??= new Uint8Array(this.#values.length);
      this.#nulls[at] = 1;
    } else {
      this.#values[at] = this.#accept(value);
    }
    this.#length += 1;
  }

  compare(left: number, right: number): number {
    const nulls = this.#nulls;
    if (nulls !== undefined) {
      const [a = 0, b = 0] = [nulls[left], nulls[right]];
      if (a !== 0 || b !== 0) return b - a;
    }
    const a = this.#values[left] ?? 0;
    const b = this.#values[right] ?? 0;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  slice(order: Uint32Array | undefined, start: number, end: number): DecodedArray {
    const [values, nulls] = [this.#values, this.#nulls];
    if (nulls === undefined) {
      const part = this.#make(end - start);
      for (let i = start; i < end; i += 1) {
        const value = values[order === undefined ? i : (order[i] ?? 0)];
        if (value !== undefined) part[i - start] = value;
      }
      return part as unknown as DecodedArray;
    }
    return Array.from({ length: end - start }, (_, i) => {
      const row = order === undefined ? start + i : (order[start + i] ?? 0);
      return nulls[row] === 1 ? null : values[row];
    });
  }

  #grow(): void {
    const wider = this.#make(this.#values.length * 2);
    wider.set(this.#values);
    this.#values = wider;
    if (this.#nulls === undefined) return;
    const nulls = new Uint8Array(wider.length);
    nulls.set(this.#nulls);
    this.#nulls = nulls;
  }
}
