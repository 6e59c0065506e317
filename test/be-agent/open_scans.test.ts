/** Scans that are being read: a scan that ends early must not look as if it had been read. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { OpenScanRequest, ScanBatch } from '../../base/agent_messages.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { systemRandom } from '../../base/system_ports.ts';
import { type OpenedScan, OpenScans } from '../../be-agent/open_scans.ts';
import { ManualClock } from '../manual_clock.ts';

const REQUEST = { tablets: [] } as unknown as OpenScanRequest;
const BATCH: ScanBatch = { rows: 2, columns: [[1, 2]], done: false };
const IDLE_MS = 600_000;

let clock: ManualClock;
let scans: OpenScans;
let opened: { answer: (batch: ScanBatch) => void; isClosed: boolean; released: number };

beforeEach(() => {
  clock = new ManualClock();
  opened = { answer: () => undefined, isClosed: false, released: 0 };
  const make = async (): Promise<OpenedScan> => {
    const scan = {
      nextBatch: async () =>
        await new Promise<ScanBatch>((resolve) => {
          opened.answer = resolve;
        }),
      close: () => {
        opened.isClosed = true;
        opened.answer({ rows: 1, columns: [[1]], done: true });
      },
    };
    const release = (): void => {
      opened.released += 1;
    };
    return await Promise.resolve({ scan: scan as never, release });
  };
  scans = new OpenScans(clock, systemRandom, make, id<BackendId>(7));
});

describe('an open scan', () => {
  it('gives batch after batch, and is released with the last one', async () => {
    const { scanId } = await scans.open(REQUEST);
    const first = scans.nextBatch(scanId);
    opened.answer(BATCH);
    expect(await first).toEqual(BATCH);
    const last = scans.nextBatch(scanId);
    opened.answer({ ...BATCH, done: true });
    expect(await last).toEqual({ ...BATCH, done: true });
    expect(opened.released).toBe(1);
    await expect(scans.nextBatch(scanId)).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
  });

  it('fails, and does not end short, when the backend stops in the middle of a batch', async () => {
    const { scanId } = await scans.open(REQUEST);
    const batch = scans.nextBatch(scanId);
    scans.closeAll();
    await expect(batch).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(opened.released).toBe(1);
    await expect(scans.nextBatch(scanId)).rejects.toMatchObject({ code: 'AGENT_LOST' });
    await expect(scans.open(REQUEST)).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(opened.released).toBe(2);
  });

  it('is dropped when nobody reads it, but not while a batch is being read', async () => {
    const { scanId } = await scans.open(REQUEST);
    const batch = scans.nextBatch(scanId);
    clock.advance(IDLE_MS);
    opened.answer(BATCH);
    expect(await batch).toEqual(BATCH);
    expect(opened.isClosed).toBe(false);
    clock.advance(IDLE_MS);
    expect(opened.isClosed).toBe(true);
  });
});
