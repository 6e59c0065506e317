/** Small scans that come again: what the backend is asked, and when their rows are used. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  AgentTransport,
  OpenedScan,
  OpenScanRequest,
  ScanBatch,
  ScanRepeats,
} from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { LeaseMemory } from '../../base/scan_lease.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import type { BackendScan } from '../../server/backend_scan.ts';
import { RecentScans } from '../../server/recent_scans.ts';
import type { ScanRows } from '../../server/select/table_provider.ts';
import { ManualClock } from '../manual_clock.ts';

const ONE = id<BackendId>(1);
const TWO = id<BackendId>(2);
const COLUMNS: OpenScanRequest['columns'] = [];

let clock: ManualClock;
let registry: BackendRegistry;
let scans: RecentScans;
let opened: OpenScanRequest[];
let asked: { readonly backendId: BackendId; readonly scans: ScanRepeats['scans'] }[];
/** What backends say. */
let first: (request: OpenScanRequest) => ScanBatch;
let isHere: (ticket: string) => boolean | Promise<boolean>;
let lease: Pick<OpenedScan, 'lease'>;

const transport: AgentTransport = {
  call: async (backendId, name, request, { signal }) => {
    await Promise.resolve();
    if (name === 'openScan') {
      const opening = request as OpenScanRequest;
      opened.push(opening);
      const batch = first(opening);
      const ticket = `${backendId}-${opened.length}`;
      return { scanId: 's', first: batch, ...(batch.done ? { ticket, ...lease } : {}) } as never;
    }
    if (name !== 'repeatScans') throw new Error(`unexpected ${name}`);
    const repeats = request as ScanRepeats;
    asked.push({ backendId, scans: repeats.scans });
    const answers = Promise.all(repeats.scans.map(async ({ ticket }) => await isHere(ticket)));
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
    });
    return { same: await Promise.race([answers, aborted]) } as never;
  },
};

beforeEach(() => {
  clock = new ManualClock();
  registry = new BackendRegistry(clock, new Config());
  for (const backendId of [ONE, TWO]) beat(backendId);
  scans = new RecentScans({ transport, registry, clock, log: SILENT_LOG });
  opened = [];
  asked = [];
  first = () => ({ rows: 2, columns: [[1, 2]], done: true });
  isHere = () => true;
  lease = {};
});

function beat(backendId: BackendId, incarnation = 'one'): void {
  registry.heartbeat({ backendId, incarnation } as Parameters<BackendRegistry['heartbeat']>[0]);
}

function scanOf(more: Partial<OpenScanRequest> = {}, backendId = ONE): BackendScan {
  const tablet = { tabletId: 1, partitionId: 2, rowsets: [{ rowsetId: 'r1', vaultId: 1 }] };
  const request = { tableId: 1, indexId: 1, ttlSeconds: 0, predicates: COLUMNS, ...more };
  return {
    backendId,
    request: { columns: COLUMNS, tablets: [tablet], ...request } as unknown as OpenScanRequest,
  };
}

async function read(scan: BackendScan, signal = new AbortController().signal) {
  const batches: ScanRows[] = [];
  for await (const rows of scans.read(scan, signal)) batches.push(rows);
  return batches;
}

describe('a scan that comes again', () => {
  it('is not opened while the backend has all of it, and gives the very same rows', async () => {
    const [rows] = await read(scanOf());
    expect(rows).toMatchObject({ rows: 2, columns: [[1, 2]] });
    const [again] = await read(scanOf());
    expect(again).toBe(rows);
    expect(opened).toHaveLength(1);
    expect(asked).toEqual([{ backendId: ONE, scans: [{ ticket: '1-1', times: 1 }] }]);
    expect(scans.repeats).toBe(1);
  });

  it('asks once for all that ask in one turn', async () => {
    await read(scanOf());
    await read(scanOf({ tableId: id(9) }));
    const wanted = [scanOf(), scanOf(), scanOf({ tableId: id(9) }), scanOf()];
    const all = await Promise.all(wanted.map(async (scan) => await read(scan)));
    expect(all.flat()).toHaveLength(4);
    expect(asked).toEqual([
      {
        backendId: ONE,
        scans: [
          { ticket: '1-1', times: 3 },
          { ticket: '1-2', times: 1 },
        ],
      },
    ]);
    expect(opened).toHaveLength(2);
  });

  it.each([
    ['another table', { tableId: id(7) }],
    ['another index', { indexId: id(7) }],
    ['another time to live', { ttlSeconds: 5 }],
    ['other conditions', { predicates: [{ column: 'a', op: '=', values: [1] }] }],
    ['other columns', { columns: [] }],
    ['no tablets', { tablets: [] }],
    ['another rowset', { tablets: tabletsOf({ rowsetId: 'r2', vaultId: 1 }) }],
    ['a rowset of another vault', { tablets: tabletsOf({ rowsetId: 'r1', vaultId: 2 }) }],
    ['no rowset', { tablets: tabletsOf() }],
    ['a replica', { tablets: [{ ...tabletsOf()[0], replica: { replicaId: 1, version: 3 } }] }],
  ])('is opened for %s', async (_what, more) => {
    await read(scanOf());
    await read(scanOf(more as unknown as Partial<OpenScanRequest>));
    expect(opened).toHaveLength(2);
    expect(asked).toEqual([]);
  });

  function tabletsOf(...rowsets: readonly unknown[]): Record<string, unknown>[] {
    return [{ tabletId: 1, partitionId: 2, rowsets }];
  }

  it('is opened on another backend', async () => {
    await read(scanOf());
    await read(scanOf({}, TWO));
    expect(opened).toHaveLength(2);
  });

  it('is opened for another version of the same replica', async () => {
    const at = (version: number) =>
      [{ tabletId: 1, partitionId: 2, rowsets: [], replica: { replicaId: 1, version } }] as never;
    await read(scanOf({ tablets: at(2) }));
    await read(scanOf({ tablets: at(2) }));
    expect(opened).toHaveLength(1);
    await read(scanOf({ tablets: at(3) }));
    expect(opened).toHaveLength(2);
  });

  it('is opened when something of it is not there any more, with what is found then', async () => {
    await read(scanOf());
    isHere = () => false;
    first = () => ({ rows: 1, columns: [[3]], done: true });
    expect(await read(scanOf())).toMatchObject([{ rows: 1, columns: [[3]] }]);
    isHere = (ticket) => ticket === '1-2';
    expect(await read(scanOf())).toMatchObject([{ rows: 1, columns: [[3]] }]);
    expect(opened).toHaveLength(2);
  });

  it('is opened when the backend does not answer, and tells why that fails', async () => {
    await read(scanOf());
    isHere = async () => await Promise.reject(new SqlError('NOT_SUPPORTED', { what: 'it' }));
    expect(await read(scanOf())).toHaveLength(1);
    first = () => {
      throw new SqlError('AGENT_LOST', { backend: ONE, what: 'openScan', why: 'for a test' });
    };
    await expect(read(scanOf())).rejects.toMatchObject({ code: 'AGENT_LOST' });
  });

  it('does not wait for a backend that has died', async () => {
    await read(scanOf());
    isHere = async () => await new Promise<never>(() => undefined);
    first = () => {
      throw new SqlError('AGENT_LOST', { backend: ONE, what: 'openScan', why: 'for a test' });
    };
    const reading = read(scanOf());
    reading.catch(() => undefined);
    await nextTurn();
    await nextTurn();
    registry.forget(ONE);
    clock.advance(1000);
    await expect(reading).rejects.toMatchObject({ code: 'AGENT_LOST' });
  });

  it('ends when it is killed while the backend is asked', async () => {
    await read(scanOf());
    isHere = async () => await new Promise<never>(() => undefined);
    const abort = new AbortController();
    const reading = read(scanOf(), abort.signal);
    await nextTurn();
    abort.abort(new SqlError('QUERY_INTERRUPTED'));
    await expect(reading).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
    const late = read(scanOf(), AbortSignal.abort(new SqlError('QUERY_TIMEOUT')));
    await expect(late).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
  });

  it.each([
    ['rows', { rows: 2001, columns: [Array<number>(2001).fill(1)] }],
    ['characters', { rows: 1, columns: [['x'.repeat(40_000)]] }],
  ])('is opened when it has many %s', async (_what, many) => {
    first = () => ({ ...many, done: true });
    expect(await read(scanOf())).toMatchObject([many]);
    expect(await read(scanOf())).toMatchObject([many]);
    expect(opened).toHaveLength(2);
  });

  it('keeps only so many of one list of columns', async () => {
    for (let tableId = 1; tableId <= 20; tableId += 1) await read(scanOf({ tableId: id(tableId) }));
    await read(scanOf({ tableId: id(20) }));
    expect(opened).toHaveLength(20);
    await read(scanOf({ tableId: id(1) }));
    expect(opened).toHaveLength(21);
  });
});

describe('scans of several backends', () => {
  const both = [scanOf(), scanOf({}, TWO)];
  const readAll = async (): Promise<ScanRows[]> => {
    const batches: ScanRows[] = [];
    const { signal } = new AbortController();
    const known = await scans.begin(both, signal);
    for await (const rows of scans.readAll(both, signal, known)) batches.push(rows);
    return batches;
  };

  it('are asked at once, and each is opened that has lost something', async () => {
    first = ({ tablets }) => ({ rows: 1, columns: [[opened.length + tablets.length]], done: true });
    const once = await readAll();
    expect(once).toHaveLength(2);
    expect(asked).toEqual([]);
    const again = await readAll();
    expect(again[0]).toBe(once[0]);
    expect(again[1]).toBe(once[1]);
    expect(asked).toHaveLength(2);
    isHere = (ticket) => ticket.startsWith('1');
    const third = await readAll();
    expect(third[0]).toBe(once[0]);
    expect(third[1]).not.toBe(once[1]);
    expect(opened).toHaveLength(3);
    expect(asked).toHaveLength(4);
  });

  it('are not asked at once when they have many rows together: the first may be enough', async () => {
    first = () => ({ rows: 1500, columns: [], done: true });
    await readAll();
    asked = [];
    expect(await scans.begin(both, new AbortController().signal)).toEqual([]);
    expect(asked).toEqual([]);
  });
});

describe('a lease', () => {
  const memory = new LeaseMemory(4);

  beforeEach(() => {
    lease = { lease: { memory: memory.memory, slot: 2 } };
    memory.takeCount(2);
  });

  it('saves the question while its era lasts, and counts', async () => {
    const [rows] = await read(scanOf());
    // The first time the backend is asked: what was read may not be written yet.
    await read(scanOf());
    expect(asked).toHaveLength(1);
    for (let time = 0; time < 3; time += 1) expect(await read(scanOf())).toEqual([rows]);
    expect(asked).toHaveLength(1);
    expect(memory.takePending()).toBe(true);
    expect(memory.takeCount(2)).toBe(3);
    memory.endEra();
    await read(scanOf());
    expect(asked).toHaveLength(2);
    expect(memory.takeCount(2)).toBe(0);
    await read(scanOf());
    expect(asked).toHaveLength(2);
    memory.endEra();
    isHere = () => false;
    first = () => ({ rows: 1, columns: [[7]], done: true });
    expect(await read(scanOf())).toMatchObject([{ columns: [[7]] }]);
    expect(opened).toHaveLength(2);
  });

  it('of several scans counts all of them or none', async () => {
    const both = [scanOf(), scanOf({}, TWO)];
    expect(scans.leased(both)).toBeUndefined();
    for (const scan of both) {
      await read(scan);
      expect(scans.leased(both)).toBeUndefined();
      await read(scan);
    }
    expect(memory.takeCount(2)).toBe(0);
    expect(scans.leased(both)).toMatchObject([{ rows: 2 }, { rows: 2 }]);
    expect(memory.takeCount(2)).toBe(2);
    expect(scans.leased([])).toEqual([]);
    memory.endEra();
    expect(scans.leased(both)).toBeUndefined();
    expect(memory.takeCount(2)).toBe(0);
  });

  it('is of one life of the backend, which may have crashed', async () => {
    await read(scanOf());
    await read(scanOf());
    beat(ONE, 'two');
    isHere = () => false;
    await read(scanOf());
    expect(opened).toHaveLength(2);
  });
});
