/** Scans that are being read: a scan that ends early must not look as if it had been read. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { OpenScanRequest, ScanBatch } from '../../base/agent_messages.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { systemRandom } from '../../base/system_ports.ts';
import { type OpenedScan, OpenScans } from '../../be-agent/open_scans.ts';
import type { RepeatableScan } from '../../be-agent/scan_tickets.ts';
import { ManualClock } from '../manual_clock.ts';

const REQUEST = { tablets: [] } as unknown as OpenScanRequest;
const BATCH: ScanBatch = { rows: 2, columns: [[1, 2]], done: false };
const IDLE_MS = 600_000;

let clock: ManualClock;
let scans: OpenScans;
let broken: Error | undefined;
let repeatable: RepeatableScan | undefined;
let opened: { answer: (batch: ScanBatch) => void; isClosed: boolean; released: number };

beforeEach(() => {
  clock = new ManualClock();
  broken = undefined;
  repeatable = undefined;
  opened = { answer: () => undefined, isClosed: false, released: 0 };
  const make = async (): Promise<OpenedScan> => {
    const scan = {
      nextBatch: async () => {
        if (broken !== undefined) throw broken;
        return await new Promise<ScanBatch>((resolve) => {
          opened.answer = resolve;
        });
      },
      close: () => {
        opened.isClosed = true;
        opened.answer({ rows: 1, columns: [[1]], done: true });
      },
    };
    const release = (): void => {
      opened.released += 1;
    };
    return await Promise.resolve({ scan, release, repeatable: () => repeatable });
  };
  scans = new OpenScans(clock, systemRandom, make, id<BackendId>(7));
});

describe('an open scan', () => {
  it('gives batch after batch, and is released with the last one', async () => {
    const { scanId } = await scans.open(REQUEST);
    const first = scans.nextBatch(scanId, 0);
    opened.answer(BATCH);
    expect(await first).toEqual(BATCH);
    const last = scans.nextBatch(scanId, 1);
    opened.answer({ ...BATCH, done: true });
    expect(await last).toEqual({ ...BATCH, done: true });
    expect(opened.released).toBe(1);
    await expect(scans.nextBatch(scanId, 2)).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
  });

  it('answers a request that comes twice twice with the same batch', async () => {
    const { scanId } = await scans.open(REQUEST);
    const first = scans.nextBatch(scanId, 0);
    const during = scans.nextBatch(scanId, 0);
    opened.answer(BATCH);
    expect(await first).toEqual(BATCH);
    expect(await during).toEqual(BATCH);
    expect(await scans.nextBatch(scanId, 0)).toEqual(BATCH);
    const second = scans.nextBatch(scanId, 1);
    await expect(scans.nextBatch(scanId, 0)).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
    await expect(scans.nextBatch(scanId, 3)).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
    opened.answer({ rows: 1, columns: [[3]], done: false });
    expect(await second).toMatchObject({ rows: 1 });
  });

  it('fails, and does not end short, when the backend stops in the middle of a batch', async () => {
    const { scanId } = await scans.open(REQUEST);
    const batch = scans.nextBatch(scanId, 0);
    scans.closeAll();
    await expect(batch).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(opened.released).toBe(1);
    await expect(scans.nextBatch(scanId, 2)).rejects.toMatchObject({ code: 'AGENT_LOST' });
    await expect(scans.open(REQUEST)).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(opened.released).toBe(2);
  });

  it('is dropped when nobody reads it, but not while a batch is being read', async () => {
    const { scanId } = await scans.open(REQUEST);
    const batch = scans.nextBatch(scanId, 0);
    clock.advance(IDLE_MS);
    opened.answer(BATCH);
    expect(await batch).toEqual(BATCH);
    expect(opened.isClosed).toBe(false);
    clock.advance(IDLE_MS);
    expect(opened.isClosed).toBe(true);
  });
});

describe('a scan that is opened and read', () => {
  const readNow = async (): Promise<Awaited<ReturnType<OpenScans['openAndRead']>>> => {
    const opening = scans.openAndRead(REQUEST);
    await nextTurn();
    opened.answer(BATCH);
    return await opening;
  };

  it('has its first batch in the answer, and goes on behind it', async () => {
    const { scanId, first, ticket } = await readNow();
    expect(first).toEqual(BATCH);
    expect(ticket).toBeUndefined();
    // Come twice.
    expect(await scans.nextBatch(scanId, 0)).toEqual(BATCH);
    const last = scans.nextBatch(scanId, 1);
    opened.answer({ ...BATCH, done: true });
    expect((await last).done).toBe(true);
    expect(opened.released).toBe(1);
  });

  it('is answered without rows when they are slow, and reads each once', async () => {
    const opening = scans.openAndRead(REQUEST);
    await nextTurn();
    clock.advance(1000);
    const { scanId, first } = await opening;
    expect(first).toBeUndefined();
    const batch = scans.nextBatch(scanId, 0);
    opened.answer(BATCH);
    expect(await batch).toEqual(BATCH);
  });

  it('is closed when its first rows cannot be read', async () => {
    broken = new Error('no such object');
    await expect(scans.openAndRead(REQUEST)).rejects.toThrow('no such object');
    expect(opened.isClosed).toBe(true);
    expect(opened.released).toBe(1);
  });

  it('has a ticket when that was all, and is closed', async () => {
    let counted = 0;
    repeatable = {
      isHere: async () => await Promise.resolve(true),
      count: () => {
        counted += 1;
      },
      isLeasable: false,
    };
    const opening = scans.openAndRead(REQUEST);
    await nextTurn();
    opened.answer({ ...BATCH, done: true });
    const { ticket = '', first } = await opening;
    expect(first?.done).toBe(true);
    expect(opened.released).toBe(1);
    expect(await scans.repeat({ scans: [{ ticket, times: 3 }] })).toEqual({ same: [true] });
    expect(counted).toBe(3);
    scans.closeAll();
    const repeating = scans.repeat({ scans: [{ ticket, times: 1 }] });
    await expect(repeating).rejects.toMatchObject({ code: 'AGENT_LOST' });
  });
});
