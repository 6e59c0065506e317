/**
 * What a SELECT reads is held from before its tables are looked up until its last row: a table of a
 * join is read when those before it are, minutes after its version was decided on.
 */
import type { RowsResult, SqlRow } from '../base/values.ts';
import type { ReleaseHold, SnapshotHolds } from '../jobs/snapshot_holds.ts';

/** `run` looks tables up and begins to read; rows that it hands out bit by bit go on being held. */
export async function whileHeld<T extends RowsResult>(
  holds: SnapshotHolds,
  run: () => Promise<T>,
): Promise<T> {
  const release = holds.take();
  let isOver = true;
  try {
    const result = await run();
    const { rows } = result;
    if (!(Symbol.asyncIterator in rows)) return result;
    isOver = false;
    return { ...result, rows: heldRows(rows, release) };
  } finally {
    if (isOver) release();
  }
}

/** Released at the end, whatever it is, also when nobody has asked for the first row. */
function heldRows(
  rows: AsyncIterable<readonly SqlRow[]>,
  release: ReleaseHold,
): AsyncIterable<readonly SqlRow[]> {
  return {
    [Symbol.asyncIterator]: () => {
      const iterator = rows[Symbol.asyncIterator]();
      return {
        next: async () => {
          try {
            const result = await iterator.next();
            if (result.done === true) release();
            return result;
          } catch (error) {
            release();
            throw error;
          }
        },
        return: async () => {
          try {
            await iterator.return?.();
            return { done: true, value: undefined };
          } finally {
            release();
          }
        },
      };
    },
  };
}
