/**
 * Columns of rows as bytes. Whoever passes rows on without looking at them passes these: bytes are
 * one object and outside the heap, the values of a batch are tens of thousands in it.
 */
import { deserialize, serialize } from 'node:v8';
import type { SqlValue } from './values.ts';

type Columns = readonly (readonly SqlValue[])[];

export function packColumns(columns: Columns): Uint8Array<ArrayBuffer> {
  return serialize(columns);
}

/** The reverse of `packColumns`; bytes of another process must be of the same version of Node. */
export function unpackColumns(packed: Uint8Array): Columns {
  return deserialize(packed) as Columns;
}
