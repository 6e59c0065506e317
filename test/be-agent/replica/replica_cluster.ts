/** Backends with replicas on real files, and a server that answers what the test says. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type {
  FrontendCallName,
  FrontendCalls,
  FrontendPort,
  LoadOutcome,
  LoadTarget,
} from '../../../base/agent_messages.ts';
import { Config } from '../../../base/config.ts';
import { SqlError } from '../../../base/errors.ts';
import { type BackendId, type TabletId, type TxnId, id } from '../../../base/ids.ts';
import { type ObjectStore, SILENT_LOG } from '../../../base/ports.ts';
import type {
  BackendAddress,
  NewReplica,
  TabletsReport,
  TabletsReportReply,
  TxnOutcome,
} from '../../../base/replica.ts';
import { segmentKey } from '../../../base/schema.ts';
import type { SqlRow } from '../../../base/values.ts';
import { FooterCache } from '../../../be-agent/data/footer_cache.ts';
import { runLoad } from '../../../be-agent/data/load.ts';
import type { SourceRow } from '../../../be-agent/data/row_batch.ts';
import { Scan } from '../../../be-agent/data/scan.ts';
import { OwnPeers } from '../../../be-agent/replica/peers.ts';
import { LocalSegments } from '../../../be-agent/replica/local_segments.ts';
import { ReplicaStore } from '../../../be-agent/replica/replica_store.ts';
import { FileStore } from '../../../be-agent/store/file_store.ts';
import { ReplicaHost } from '../../../be-agent/replica/replica_host.ts';
import { column, target } from '../data/table_fixture.ts';
import { StepClock, seededRandom } from '../store/test_ports.ts';
import { removeDir, tempDir } from './replica_fixture.ts';

export const COLUMNS = [column('k', 'INT', { isKey: true }), column('v', 'STRING')];
export const NEVER = new AbortController().signal;

/** What the server would say. */
export class FakeServer {
  readonly reports: TabletsReport[] = [];
  readonly asked: TxnId[][] = [];
  readonly outcomes = new Map<TxnId, TxnOutcome>();
  /** The next replies to reports; then nothing is wanted. */
  readonly replies: (TabletsReportReply | Error)[] = [];
  isAway = false;

  readonly port: FrontendPort = {
    call: async <Name extends FrontendCallName>(
      name: Name,
      request: FrontendCalls[Name]['request'],
    ) => (await this.#answer(name, request)) as FrontendCalls[Name]['reply'],
  };

  async #answer(name: FrontendCallName, request: unknown): Promise<unknown> {
    await Promise.resolve();
    if (this.isAway)
      throw new SqlError('AGENT_LOST', { backend: 0, what: name, why: 'for a test' });
    if (name === 'reportTablets') {
      this.reports.push(structuredClone(request) as TabletsReport);
      const reply = this.replies.shift() ?? { again: [], sendFull: false };
      if (reply instanceof Error) throw reply;
      return reply;
    }
    if (name === 'txnOutcomes') {
      const { txnIds } = request as { txnIds: TxnId[] };
      this.asked.push(txnIds);
      return {
        txns: txnIds.map((txnId) => this.outcomes.get(txnId) ?? { txnId, state: 'UNKNOWN' }),
      };
    }
    throw new SqlError('NOT_SUPPORTED', { what: name });
  }
}

export class Cluster {
  readonly server = new FakeServer();
  readonly clock = new StepClock();
  readonly peers = new OwnPeers();
  readonly hosts = new Map<BackendId, ReplicaHost>();
  readonly config: Record<string, string>;
  readonly #dir = tempDir();
  #lives = 0;

  constructor(config: Record<string, string> = {}) {
    this.config = config;
  }

  /** `wrap`: what it gets for its files. */
  async start(
    backend: number,
    wrap: (files: ObjectStore) => ObjectStore = (files) => files,
  ): Promise<ReplicaHost> {
    this.#lives += 1;
    const backendId = id<BackendId>(backend);
    const dir = join(this.#dir, String(backend));
    await mkdir(dir, { recursive: true });
    const options = {
      backendId,
      dir,
      incarnation: `life ${this.#lives}`,
      config: new Config({ object_store_retries: '0', ...this.config }),
      clock: this.clock,
      random: seededRandom(this.#lives),
      log: SILENT_LOG,
      frontend: this.server.port,
      stores: { reopen: () => undefined },
      ownPeers: this.peers,
    };
    const { config, clock, random } = options;
    const limits = () => ({ retries: config.get('object_store_retries'), timeoutMs: 600_000 });
    const files = await FileStore.open(join(dir, 'storage'), { clock, random, limits });
    const store = ReplicaStore.open(join(dir, 'agent.db'), backendId);
    const host = ReplicaHost.over(options, store, new LocalSegments(wrap(files), SILENT_LOG));
    this.hosts.set(backendId, host);
    host.start();
    return host;
  }

  /** As a crash: what is on the disk is all that is left. */
  kill(backend: number): void {
    this.host(backend).close();
    this.hosts.delete(id(backend));
  }

  async restart(backend: number): Promise<ReplicaHost> {
    this.kill(backend);
    return await this.start(backend);
  }

  /** Its disk is empty afterwards. */
  async loseDisk(backend: number): Promise<ReplicaHost> {
    this.kill(backend);
    removeDir(join(this.#dir, String(backend)));
    return await this.start(backend);
  }

  host(backend: number): ReplicaHost {
    const host = this.hosts.get(id(backend));
    if (host === undefined) throw new Error(`no backend ${backend}`);
    return host;
  }

  close(): void {
    for (const host of this.hosts.values()) host.close();
    removeDir(this.#dir);
  }

  address(backend: number): BackendAddress {
    return { backendId: id(backend), host: '127.0.0.1', httpPort: 1 };
  }

  /** The file of a local segment. */
  file(backend: number, tablet: TabletId, version: number): string {
    const state = this.host(backend).store.get(tablet);
    const rowset = state?.rowsets.find(({ endVersion }) => endVersion === version);
    if (rowset === undefined) throw new Error(`no version ${version}`);
    const key = segmentKey(tablet, rowset.rowsetId, 0);
    return join(this.#dir, String(backend), 'storage', key);
  }

  flipByte(backend: number, tablet: TabletId, version: number): void {
    const path = this.file(backend, tablet, version);
    const bytes = readFileSync(path);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }

  /** Names of the local segments of a backend. */
  async files(backend: number): Promise<string[]> {
    const root = join(this.#dir, String(backend), 'storage');
    for (;;) {
      try {
        const all = await readdir(root, { recursive: true });
        return all.filter((name) => name.endsWith('.dat')).toSorted();
      } catch (error) {
        // A directory went while it was listed: look again.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}

/** What a backend's files are when they are `expected`, or after a while. */
export async function filesBecome(
  cluster: Cluster,
  backend: number,
  expected: readonly string[],
): Promise<readonly string[]> {
  for (let turns = 0; ; turns += 1) {
    const files = await cluster.files(backend);
    if (turns >= 5000 || files.join() === expected.join()) return files;
    await setTimeout(1);
  }
}

/** Bounded: the real file system answers when it likes. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let turns = 0; turns < 10_000; turns += 1) {
    if (isSo()) return;
    await setTimeout(1);
  }
  throw new Error(`it did not happen: ${what}`);
}

export function replicaOf(tablet: TabletId, backend: number): NewReplica {
  return {
    tabletId: tablet,
    replicaId: id(tablet * 10 + backend),
    tableId: id(1),
    partitionId: id(1),
    indexId: id(3),
  };
}

/** A table with `buckets` tablets 1, 2, ..., each with a replica on each of the backends. */
export function loadTarget(buckets: number, backends: readonly number[]): LoadTarget {
  const shared = target(COLUMNS, { buckets });
  const tablets = shared.tablets.flat();
  return {
    ...shared,
    replicas: {
      backends: backends.map((backend) => ({
        backendId: id<BackendId>(backend),
        host: '127.0.0.1',
        httpPort: 1,
      })),
      tablets: tablets.map((tabletId) => ({
        tabletId,
        partitionId: id(1),
        replicas: backends.map((backend) => ({
          replicaId: replicaOf(tabletId, backend).replicaId,
          backendId: id<BackendId>(backend),
        })),
        required: Math.floor(backends.length / 2) + 1,
      })),
    },
  };
}

export async function createTable(cluster: Cluster, into: LoadTarget): Promise<void> {
  for (const [backendId, host] of cluster.hosts) {
    const replicas = into.tablets.flat().map((tablet) => replicaOf(tablet, backendId));
    await host.handlers.createReplicas({ replicas }, NEVER);
  }
}

export async function load(
  cluster: Cluster,
  into: LoadTarget,
  txn: number,
  rows: readonly SourceRow[],
  seed = txn,
): Promise<LoadOutcome> {
  const [first] = cluster.hosts.values();
  if (first === undefined) throw new Error('no backend');
  const sink = first.sink(id(txn), into, NEVER);
  if (sink === undefined) throw new Error('no replicas');
  const { clock } = cluster;
  const services = { store: first.local.store, sink, clock, random: seededRandom(seed) };
  return await runLoad(
    into,
    [{ rows, bytes: 0 }],
    { columns: ['k', 'v'] },
    { ...services, config: new Config(cluster.config), log: SILENT_LOG },
  );
}

export function visibleAs(txn: number, version: number): TxnOutcome {
  return { txnId: id(txn), state: 'VISIBLE', versions: [{ partitionId: id(1), version }] };
}

/** As the server does after a commit. */
export async function settle(cluster: Cluster, outcome: TxnOutcome): Promise<void> {
  cluster.server.outcomes.set(outcome.txnId, outcome);
  for (const host of cluster.hosts.values()) {
    await host.handlers.settleTxns({ txns: [outcome] }, NEVER);
  }
}

/** Rows of the backend's replicas of these tablets at a version, in order. */
export async function read(
  host: ReplicaHost,
  backend: number,
  tablets: readonly TabletId[],
  version: number,
): Promise<SqlRow[]> {
  const planned = await host.scans.plan({
    tableId: id(1),
    tableName: 'db.t',
    indexId: id(3),
    ttlSeconds: 0,
    columns: COLUMNS,
    predicates: [],
    tablets: tablets.map((tabletId) => ({
      tabletId,
      partitionId: id(1),
      rowsets: [],
      replica: { replicaId: replicaOf(tabletId, backend).replicaId, version },
    })),
  });
  const open = (source: Parameters<typeof planned.open>[0]) => {
    const object = planned.open(source);
    if (object === undefined) throw new Error('a remote rowset');
    return object;
  };
  const scan = new Scan(planned.request, open, new FooterCache());
  const rows: SqlRow[] = [];
  try {
    for (;;) {
      const batch = await scan.nextBatch();
      for (let row = 0; row < batch.rows; row += 1) {
        rows.push(batch.columns.map((values) => values[row] ?? null));
      }
      if (batch.done) return rows.toSorted((a, b) => Number(a[0]) - Number(b[0]));
    }
  } finally {
    planned.release();
  }
}
