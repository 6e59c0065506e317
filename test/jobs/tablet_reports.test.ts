/** Reports of replicas, with messages that come twice, late, or never. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  type BackendId,
  type PartitionId,
  type ReplicaId,
  type TabletId,
  id,
} from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { ReplicaReport, TabletsReport } from '../../base/replica.ts';
import { reportSum } from '../../base/report_sum.ts';
import { ReplicaBoard } from '../../jobs/replica_board.ts';
import { TabletReports } from '../../jobs/tablet_reports.ts';

const BACKEND = id<BackendId>(7);

function replica(tablet: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    tabletId: id<TabletId>(tablet),
    replicaId: id<ReplicaId>(tablet * 10 + 7),
    partitionId: id<PartitionId>(Math.floor(tablet / 10)),
    version: 3,
    rows: 30,
    localBytes: 300,
    remoteBytes: 0,
    rowsets: 3,
    isBad: false,
    cooldownState: 'NONE',
    cooldownWaits: '',
    cooldownError: '',
    busy: false,
    ...more,
  };
}

function sumsOf(replicas: readonly ReplicaReport[]): TabletsReport['sums'] {
  const partitions = new Set(replicas.map(({ partitionId }) => partitionId));
  return [...partitions].map((partitionId) => {
    const own = replicas.filter((one) => one.partitionId === partitionId);
    return { partitionId, replicas: own.length, sum: reportSum(own) };
  });
}

let alive: string | undefined;
let board: ReplicaBoard;
let reports: TabletReports;
let told: number[];

beforeEach(() => {
  alive = 'a';
  board = new ReplicaBoard();
  told = [];
  board.onChange(({ tablets }) => told.push(...tablets));
  const registry = {
    status: () => (alive === undefined ? undefined : ({ incarnation: alive } as never)),
  };
  reports = new TabletReports({ board, registry, log: SILENT_LOG });
});

const message = (more: Partial<TabletsReport>): TabletsReport => ({
  backendId: BACKEND,
  incarnation: 'a',
  seq: 1,
  kind: 'FULL',
  isLast: true,
  replicas: [],
  gone: [],
  sums: [],
  policies: [],
  resources: [],
  ...more,
});

const full = (replicas: readonly ReplicaReport[], seq = 1, incarnation = 'a'): TabletsReport =>
  message({ replicas, sums: sumsOf(replicas), seq, incarnation });

const stored = (): number[] => [...board.ofBackend(BACKEND)].map(({ tabletId }) => tabletId);

describe('a full report', () => {
  it('comes in parts, and gives back every field as it was', () => {
    const all = [
      replica(11),
      replica(12, {
        policyId: id(5),
        lead: { replicaId: id<ReplicaId>(99), term: 4 },
        metaId: '0123456789abcdef0123456789abcdef',
        cooledVersion: 2,
        cooldownState: 'WAITING',
        dueMs: 1_700_000_000_123,
        cooldownWaits: 'for its turn',
        cooldownError: 'HTTP 503',
        busy: true,
        isBad: true,
      }),
      replica(25, { metaId: 'not hex', cooldownState: 'FAILED', cooledVersion: 0 }),
    ];
    const last = full(all);
    expect(
      reports.receive({ ...last, replicas: all.slice(0, 2), isLast: false, sums: [] }),
    ).toEqual({ again: [], sendFull: false });
    expect(board.isComplete(BACKEND)).toBe(false);
    expect(reports.receive({ ...last, replicas: all.slice(2) })).toEqual({
      again: [],
      sendFull: false,
    });
    expect(board.isComplete(BACKEND)).toBe(true);
    expect([...board.ofBackend(BACKEND)]).toEqual(all);
    expect(board.ofTablet(id(12))).toEqual([{ backendId: BACKEND, report: all[1] }]);
    expect(board.get(BACKEND, id(12), id(127))).toEqual(all[1]);
    expect(board.get(BACKEND, id(12), id(1))).toBeUndefined();
  });

  it('removes what is not in it any more, and repeats change nothing', () => {
    reports.receive(full([replica(11), replica(12), replica(25)]));
    told = [];
    const second = full([replica(11)], 2);
    reports.receive(second);
    expect(stored()).toEqual([11]);
    expect(told.toSorted((a, b) => a - b)).toEqual([12, 25]);
    reports.receive(second);
    expect(told).toHaveLength(2);
  });

  it('of which a part was lost leaves what was known and has its partitions sent again', () => {
    reports.receive(full([replica(11), replica(12), replica(25)]));
    const now = [replica(11, { version: 9 }), replica(12), replica(25)];
    const lost = { ...full(now, 2), replicas: [replica(25)] };
    expect(reports.receive(lost)).toEqual({ again: [1], sendFull: false });
    expect(stored()).toEqual([11, 12, 25]);
    const again = { ...full(now, 3), kind: 'CHANGES', replicas: now.slice(0, 2) } as const;
    expect(reports.receive(again)).toEqual({ again: [], sendFull: false });
    expect(board.get(BACKEND, id(11), id(117))?.version).toBe(9);
  });
});

describe('changes', () => {
  it('are refused before there was a full report', () => {
    const changes = { ...full([replica(11)]), kind: 'CHANGES' } as const;
    expect(reports.receive(changes)).toEqual({ again: [], sendFull: true });
    expect(stored()).toEqual([]);
    // A part of a full report is not one.
    reports.receive({ ...full([replica(11)], 2), isLast: false, sums: [] });
    expect(reports.receive({ ...changes, seq: 3 }).sendFull).toBe(true);
  });

  it('change and remove, and late ones do not', () => {
    reports.receive(full([replica(11), replica(12)]));
    const now = [replica(11, { version: 4 })];
    const gone = [{ tabletId: id<TabletId>(12), replicaId: id<ReplicaId>(127) }];
    const change = { ...full(now, 3), kind: 'CHANGES', gone } as const;
    expect(reports.receive(change)).toEqual({ again: [], sendFull: false });
    expect(stored()).toEqual([11]);
    reports.receive({ ...full([replica(11), replica(12)], 2), kind: 'CHANGES' });
    expect(stored()).toEqual([11]);
    expect(board.get(BACKEND, id(11), id(117))?.version).toBe(4);
  });

  it('that say that a replica is gone do not remove the one that came after it', () => {
    const next = replica(12, { replicaId: id<ReplicaId>(500) });
    reports.receive(full([next]));
    const gone = [{ tabletId: id<TabletId>(12), replicaId: id<ReplicaId>(127) }];
    reports.receive({ ...full([next], 2), kind: 'CHANGES', replicas: [], gone });
    expect(stored()).toEqual([12]);
  });

  it('that were lost are noticed by the sums', () => {
    reports.receive(full([replica(11), replica(12), replica(25)]));
    const now = [replica(11), replica(12, { rows: 31 }), replica(25)];
    const next = { ...full(now, 3), kind: 'CHANGES', replicas: [] } as const;
    expect(reports.receive(next).again).toEqual([1]);
    expect(reports.receive({ ...next, seq: 4, replicas: now.slice(0, 2) }).again).toEqual([]);
    expect(board.get(BACKEND, id(12), id(127))?.rows).toBe(31);
  });

  it('leave a partition out that has no replica any more', () => {
    reports.receive(full([replica(11), replica(25)]));
    reports.receive({ ...full([replica(11)], 2), kind: 'CHANGES', replicas: [] });
    expect(stored()).toEqual([11]);
  });
});

describe('lives of a backend', () => {
  it('the present one is that of the heartbeat; an earlier one is refused', () => {
    reports.receive(full([replica(11)]));
    // It restarted, and its report overtook its heartbeat.
    expect(reports.receive(full([replica(12)], 1, 'b'))).toEqual({ again: [], sendFull: true });
    expect(stored()).toEqual([11]);
    alive = 'b';
    expect(() => reports.receive(full([replica(13)], 2))).toThrow('earlier life');
    expect(reports.receive(full([replica(12)], 1, 'b')).sendFull).toBe(false);
    expect(stored()).toEqual([12]);
    // Even when nobody knows what lives.
    alive = undefined;
    expect(() => reports.receive(full([replica(13)], 9))).toThrow('earlier life');
    expect(stored()).toEqual([12]);
    expect(reports.counts.refused).toBe(2);
  });

  it('an earlier one whose heartbeats go on is the present one again', () => {
    reports.receive(full([replica(11)]));
    // A second process of the same id, for a while.
    alive = 'b';
    reports.receive(full([replica(12)], 1, 'b'));
    alive = 'a';
    const changes = { ...full([replica(11)], 2), kind: 'CHANGES' as const };
    expect(reports.receive(changes)).toEqual({ again: [], sendFull: true });
    expect(reports.receive(full([replica(11)], 3)).sendFull).toBe(false);
    expect(stored()).toEqual([11]);
    expect(() => reports.receive(full([replica(12)], 2, 'b'))).toThrow('earlier life');
  });

  it('what was known counts until the new one has reported in full', () => {
    reports.receive(full([replica(11), replica(12)]));
    alive = 'b';
    const last = full([replica(11)], 1, 'b');
    reports.receive({ ...last, isLast: false, sums: [] });
    expect(stored()).toEqual([11, 12]);
    expect(board.isComplete(BACKEND)).toBe(false);
    reports.receive(last);
    expect(stored()).toEqual([11]);
  });

  it('a confirmed conf counts until a report shows it, and not in another life', () => {
    const conf = { tabletId: id<TabletId>(11), replicaId: id<ReplicaId>(117), term: 2 };
    const lead = { replicaId: conf.replicaId, term: 2 };
    board.acknowledge(BACKEND, conf, 'a');
    expect(board.leadOf(BACKEND, conf.tabletId)).toEqual(lead);
    // Built before it was confirmed.
    reports.receive(full([replica(11)]));
    expect(board.leadOf(BACKEND, conf.tabletId)).toEqual(lead);
    reports.receive(full([replica(11, { lead: { ...lead, term: 3 } })], 2));
    expect(board.leadOf(BACKEND, conf.tabletId)?.term).toBe(3);
    board.acknowledge(BACKEND, { ...conf, term: 4 }, 'a');
    alive = 'b';
    reports.receive(full([replica(11)], 1, 'b'));
    expect(board.leadOf(BACKEND, conf.tabletId)).toBeUndefined();
  });
});

describe('100,000 replicas', () => {
  it('come and change, and stay what was reported', () => {
    const all = Array.from({ length: 100_000 }, (_, at) => replica(at + 1));
    const sums = new Map<number, ReplicaReport[]>();
    for (const one of all) sums.set(one.partitionId, [...(sums.get(one.partitionId) ?? []), one]);
    const sumList = [...sums].map(([partitionId, own]) => ({
      partitionId: id<PartitionId>(partitionId),
      replicas: own.length,
      sum: reportSum(own),
    }));
    for (let at = 0; at < all.length; at += 5000) {
      const isLast = at + 5000 >= all.length;
      const part = all.slice(at, at + 5000);
      const answer = reports.receive(
        message({ replicas: part, isLast, sums: isLast ? sumList : [] }),
      );
      expect(answer).toEqual({ again: [], sendFull: false });
    }
    expect(board.size).toBe(100_000);
    expect(reports.receive(message({ seq: 2, kind: 'CHANGES', sums: sumList }))).toEqual({
      again: [],
      sendFull: false,
    });
    expect(board.ofTablet(id(54_321))[0]?.report).toEqual(replica(54_321));
  });
});
