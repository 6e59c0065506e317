import { describe, expect, it } from '@jest/globals';
import type { LoadOutcome } from '../../../base/agent_messages.ts';
import { type TxnId, id } from '../../../base/ids.ts';
import { RunningLoads } from '../../../be-agent/data/running_loads.ts';

const TXN: TxnId = id(1);

function outcome(loadedRows: number): LoadOutcome {
  return { rowsets: [], loadedRows, filteredRows: 0, unselectedRows: 0, loadBytes: 0 };
}

describe('a load that is asked for twice', () => {
  it('runs once while it runs', async () => {
    const loads = new RunningLoads();
    const { promise, resolve } = Promise.withResolvers<LoadOutcome>();
    let runs = 0;
    const load = async (): Promise<LoadOutcome> => {
      runs += 1;
      return await promise;
    };
    const both = [loads.run(TXN, load), loads.run(TXN, load)];
    const other = loads.run(id(2), async () => await Promise.resolve(outcome(2)));
    resolve(outcome(1));
    expect(await Promise.all(both)).toEqual([outcome(1), outcome(1)]);
    expect(await other).toEqual(outcome(2));
    expect(runs).toBe(1);
  });

  it('is refused after its end, however it ended', async () => {
    const loads = new RunningLoads();
    const failing = loads.run(TXN, async () => await Promise.reject(new Error('no disk')));
    await expect(failing).rejects.toThrow('no disk');
    const again = loads.run(TXN, async () => await Promise.resolve(outcome(1)));
    await expect(again).rejects.toThrow(/transaction 1 has been loaded before/);
  });
});
