/** What a SELECT reads is held from before its tables are looked up until its end. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { RowsResult, SqlRow } from '../../base/values.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { whileHeld } from '../../server/held_rows.ts';

let holds: SnapshotHolds;

beforeEach(() => {
  holds = new SnapshotHolds();
});

async function* batches(error?: Error): AsyncGenerator<readonly SqlRow[]> {
  yield [[1]];
  if (error !== undefined) throw error;
  yield [[2]];
}

async function slowly(rows: AsyncIterable<readonly SqlRow[]>): Promise<RowsResult> {
  return await whileHeld(holds, async () => {
    expect(holds.size).toBe(1);
    return await Promise.resolve({ kind: 'rows', columns: [], rows });
  });
}

function iteratorOf({ rows }: RowsResult): AsyncIterator<readonly SqlRow[]> {
  return (rows as AsyncIterable<readonly SqlRow[]>)[Symbol.asyncIterator]();
}

describe('a SELECT', () => {
  it('holds nothing any more when all its rows are there', async () => {
    const rows: readonly SqlRow[] = [[1]];
    const result = await whileHeld(holds, async () => {
      expect(holds.size).toBe(1);
      return await Promise.resolve<RowsResult>({ kind: 'rows', columns: [], rows });
    });
    expect(result.rows).toBe(rows);
    expect(holds.size).toBe(0);
  });

  it('holds nothing any more when it has failed', async () => {
    const failing = whileHeld(holds, async () => await Promise.reject(new Error('no such table')));
    await expect(failing).rejects.toThrow('no such table');
    expect(holds.size).toBe(0);
  });

  it('holds what it reads until its last row', async () => {
    const iterator = iteratorOf(await slowly(batches()));
    expect(await iterator.next()).toEqual({ done: false, value: [[1]] });
    expect(await iterator.next()).toEqual({ done: false, value: [[2]] });
    expect(holds.size).toBe(1);
    expect((await iterator.next()).done).toBe(true);
    expect(holds.size).toBe(0);
  });

  it('holds nothing any more when its reader leaves, also before the first row', async () => {
    for await (const _ of (await slowly(batches())).rows as AsyncIterable<unknown>) break;
    expect(holds.size).toBe(0);
    await iteratorOf(await slowly(batches())).return?.();
    expect(holds.size).toBe(0);
  });

  it('holds nothing any more when it fails in the middle of its rows', async () => {
    const iterator = iteratorOf(await slowly(batches(new Error('the backend died'))));
    await iterator.next();
    await expect(iterator.next()).rejects.toThrow('the backend died');
    expect(holds.size).toBe(0);
  });
});
