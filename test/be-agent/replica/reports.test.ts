import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Config } from '../../../base/config.ts';
import { type PartitionId, type TabletId, id } from '../../../base/ids.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import {
  REPORT_REPLICAS_MAX,
  type ReplicaReport,
  type TabletsReport,
} from '../../../base/replica.ts';
import { reportSum } from '../../../base/report_sum.ts';
import { newReplicaCounts } from '../../../be-agent/replica/replica_counts.ts';
import { ReplicaStore } from '../../../be-agent/replica/replica_store.ts';
import type { CooldownStatus } from '../../../be-agent/replica/report_rows.ts';
import { ReplicaReports } from '../../../be-agent/replica/reports.ts';
import { StepClock } from '../store/test_ports.ts';
import { FakeServer, until } from './replica_cluster.ts';
import { newReplica, preparedRowset, txn } from './replica_fixture.ts';

let server: FakeServer;
let clock: StepClock;
let store: ReplicaStore;
let reports: ReplicaReports;
let cooldown: Map<TabletId, CooldownStatus>;
let config: Config;

beforeEach(() => {
  server = new FakeServer();
  clock = new StepClock();
  store = ReplicaStore.open(':memory:');
  cooldown = new Map();
  config = new Config({ report_tablet_interval_seconds: '60' });
  reports = new ReplicaReports({
    backendId: id(1),
    incarnation: 'life',
    store,
    cooldown: (tabletId) => cooldown.get(tabletId),
    counts: newReplicaCounts(),
    frontend: server.port,
    config,
    clock,
    log: SILENT_LOG,
  });
});

afterEach(() => {
  reports.close();
  store.close();
});

function tablet(n: number): TabletId {
  return id(n);
}

/** Replicas 1 to `count`, ten to a partition. */
function create(count: number, from = 1): void {
  store.batch(() => {
    for (let n = from; n < from + count; n += 1) {
      store.create(newReplica(tablet(n), { partitionId: id(Math.ceil(n / 10)) }));
    }
  });
}

/** Lets that time pass, and waits until everything that was sent then has been answered. */
async function pass(ms: number): Promise<TabletsReport[]> {
  const before = server.reports.length;
  clock.advance(ms);
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
  return server.reports.slice(before);
}

/** What a server knows that has had all reports from one on. */
function known(all: readonly TabletsReport[]): Map<TabletId, ReplicaReport> {
  const rows = new Map<TabletId, ReplicaReport>();
  for (const report of all) {
    for (const { tabletId, replicaId } of report.gone) {
      if (rows.get(tabletId)?.replicaId === replicaId) rows.delete(tabletId);
    }
    for (const row of report.replicas) rows.set(row.tabletId, row);
  }
  return rows;
}

/** The sums of the last report are those of what the server knows. */
function expectSums(): void {
  const rows = [...known(server.reports).values()];
  const partitions = new Map<PartitionId, ReplicaReport[]>();
  for (const row of rows) {
    partitions.set(row.partitionId, [...(partitions.get(row.partitionId) ?? []), row]);
  }
  const expected = [...partitions].map(([partitionId, own]) => ({
    partitionId,
    replicas: own.length,
    sum: reportSum(own),
  }));
  const sums = [...(server.reports.at(-1)?.sums ?? [])];
  const order = (a: { partitionId: number }, b: { partitionId: number }) =>
    a.partitionId - b.partitionId;
  expect(sums.toSorted(order)).toEqual(expected.toSorted(order));
}

describe('a full report', () => {
  it('goes out at the start, also without any replica', async () => {
    reports.start();
    const sent = await pass(0);
    expect(sent).toEqual([
      {
        backendId: 1,
        incarnation: 'life',
        seq: 1,
        kind: 'FULL',
        isLast: true,
        replicas: [],
        gone: [],
        sums: [],
        policies: [],
        resources: [],
      },
    ]);
  });

  it.each([1, 0])('is cut into parts that are not too long (%s more)', async (more) => {
    create(REPORT_REPLICAS_MAX * 2 + more);
    reports.start();
    const sent = await pass(0);
    const sizes = sent.map(({ replicas }) => replicas.length);
    const [max, rest] = [REPORT_REPLICAS_MAX, more === 0 ? [] : [more]];
    expect(sizes).toEqual([max, max, ...rest]);
    expect(sent.map(({ isLast }) => isLast)).toEqual(sizes.map((_, n) => n === sizes.length - 1));
    expect(new Set(sent.map(({ seq }) => seq))).toEqual(new Set([1]));
    expect(known(sent).size).toBe(REPORT_REPLICAS_MAX * 2 + more);
    expectSums();
  });

  it('is tried again until the server has it, less often each time', async () => {
    create(3);
    server.replies.push(new Error('away'), { again: [], sendFull: true }, new Error('away'));
    reports.start();
    expect(await pass(0)).toHaveLength(1);
    expect(await pass(1000)).toHaveLength(1);
    expect(await pass(1000)).toHaveLength(0);
    expect(await pass(1000)).toHaveLength(1);
    const [last] = await pass(4000);
    expect(last).toMatchObject({ kind: 'FULL', seq: 4 });
    expect(last?.replicas).toHaveLength(3);
    expect(await pass(59_000)).toHaveLength(0);
    expect((await pass(1000))[0]?.kind).toBe('CHANGES');
  });

  it('follows soon when the server is heard of again', async () => {
    server.isAway = true;
    reports.start();
    await pass(0);
    for (const ms of [1000, 2000, 4000, 8000, 16_000]) await pass(ms);
    server.isAway = false;
    expect(await pass(1000)).toEqual([]);
    reports.heard();
    expect((await pass(1000))[0]?.kind).toBe('FULL');
    reports.heard();
    expect(await pass(1000)).toEqual([]);
  });
});

describe('changes', () => {
  beforeEach(async () => {
    create(25);
    reports.start();
    await pass(0);
  });

  it('without any are sums only, each interval', async () => {
    expect(await pass(59_000)).toEqual([]);
    const [report] = await pass(1000);
    expect(report).toMatchObject({ kind: 'CHANGES', seq: 2, replicas: [], gone: [] });
    expect(report?.sums).toHaveLength(3);
    expectSums();
  });

  it('without any come sooner as soon as the interval is shorter', async () => {
    expect(await pass(10_000)).toEqual([]);
    config.replace({ report_tablet_interval_seconds: '5' });
    expect(await pass(4999)).toEqual([]);
    expect(await pass(1)).toHaveLength(1);
    expect(await pass(5000)).toHaveLength(1);
  });

  it('of loads go out within about a second, with few partitions', async () => {
    const { replicaId } = newReplica(tablet(7));
    store.prepare(txn(1), [preparedRowset(1, { tabletId: tablet(7), replicaId })]);
    store.settle({
      txnId: txn(1),
      state: 'VISIBLE',
      versions: [{ partitionId: id(1), version: 2 }],
    });
    expect(await pass(900)).toEqual([]);
    const [report] = await pass(200);
    expect(report?.replicas).toMatchObject([
      { tabletId: 7, version: 2, rows: 10, localBytes: 100, remoteBytes: 0, rowsets: 2 },
    ]);
    expectSums();
  });

  it('that are important go together within a second', async () => {
    create(2, 26);
    store.drop(tablet(1), newReplica(tablet(1)).replicaId);
    store.setLead({ tabletId: tablet(2), replicaId: id(21), term: 1 });
    store.replace(tablet(3), { replicaId: id(31), remove: [], add: [], metaId: 'm' });
    store.markBad(tablet(4), 'why');
    const sent = await pass(1000);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.replicas.map(({ tabletId }) => tabletId)).toEqual([26, 27, 2, 3, 4]);
    expect(sent[0]?.gone).toEqual([{ tabletId: 1, replicaId: 11 }]);
    expect(sent[0]?.replicas.at(-1)?.isBad).toBe(true);
    expect(sent[0]?.replicas[3]).toMatchObject({ metaId: 'm' });
    expectSums();
    expect(await pass(1000)).toEqual([]);
  });

  it('that the server did not confirm are said again', async () => {
    store.markBad(tablet(4), 'why');
    store.drop(tablet(1), newReplica(tablet(1)).replicaId);
    server.replies.push(new Error('lost'));
    await pass(1000);
    const [again] = await pass(1000);
    expect(again?.replicas.map(({ tabletId }) => tabletId)).toEqual([4]);
    expect(again?.gone).toEqual([{ tabletId: 1, replicaId: 11 }]);
    expect((await pass(60_000))[0]).toMatchObject({ replicas: [], gone: [] });
  });

  it('whose sums differ are said again, a partition each', async () => {
    server.replies.push({ again: [id(2)], sendFull: false });
    await pass(60_000);
    const [again] = await pass(1000);
    const expected = Array.from({ length: 10 }, (_, n) => n + 11);
    expect(again?.replicas.map(({ tabletId }) => tabletId)).toEqual(expected);
    expect((await pass(60_000))[0]?.replicas).toEqual([]);
  });

  it('give way to a full report when the server wants one', async () => {
    server.replies.push({ again: [], sendFull: true });
    await pass(60_000);
    const [full] = await pass(1000);
    expect(full).toMatchObject({ kind: 'FULL', seq: 3 });
    expect(full?.replicas).toHaveLength(25);
  });

  it('that happen while a report is on its way go with the next one', async () => {
    reports.now();
    clock.advance(0);
    store.markBad(tablet(4), 'why');
    await until('the first answer', () => server.reports.length === 2);
    const sent = [...server.reports.slice(1), ...(await pass(1000))];
    const bad = sent.flatMap(({ replicas }) => replicas.filter(({ isBad }) => isBad));
    expect(bad).toHaveLength(1);
    expectSums();
  });

  it('of a replica that has taken the place of another are both said', async () => {
    store.drop(tablet(1), newReplica(tablet(1)).replicaId);
    store.create(newReplica(tablet(1), { replicaId: id(999), partitionId: id(1) }));
    await pass(1000);
    expect(known(server.reports).get(tablet(1))?.replicaId).toBe(999);
    expectSums();
  });

  it('more than a message holds come in parts', async () => {
    create(REPORT_REPLICAS_MAX + 1, 100);
    const sent = await pass(1000);
    expect(sent.map(({ isLast }) => isLast)).toEqual([false, true]);
    expect(new Set(sent.map(({ seq }) => seq)).size).toBe(1);
    expectSums();
  });
});

describe('what cooldown says', () => {
  const status = (more: Partial<CooldownStatus>): CooldownStatus => ({
    state: 'HOT',
    waits: '',
    error: '',
    busy: false,
    ...more,
  });

  it('is looked at again while it may change by itself', async () => {
    create(3);
    cooldown.set(tablet(1), status({ state: 'COOLING', busy: true }));
    cooldown.set(tablet(2), status({ dueMs: clock.now() + 90_000 }));
    reports.start();
    const [full] = await pass(0);
    expect(full?.replicas[0]).toMatchObject({ cooldownState: 'COOLING', busy: true });
    cooldown.set(tablet(1), status({ state: 'FAILED', error: 'no bucket' }));
    const [changes] = await pass(60_000);
    expect(changes?.replicas).toMatchObject([{ tabletId: 1, cooldownError: 'no bucket' }]);
    cooldown.set(tablet(1), status({ state: 'COOLED' }));
    cooldown.set(tablet(2), status({ state: 'WAITING', waits: 'its turn' }));
    const [later] = await pass(60_000);
    expect(later?.replicas.map(({ tabletId }) => tabletId)).toEqual([1, 2]);
    expectSums();
  });

  it('is looked at when it says so', async () => {
    create(1);
    reports.start();
    await pass(0);
    cooldown.set(tablet(1), status({ dueMs: 5 }));
    reports.touched(tablet(1));
    expect((await pass(60_000))[0]?.replicas).toMatchObject([{ dueMs: 5 }]);
  });
});
