/**
 * What reports of 100,000 replicas cost: in full, unchanged, and with 1 % changed; at the backend
 * that makes them (the real builder over a real agent.db), as text as it goes over HTTP, and at the
 * server that takes them. The text is made and read in between and counted for its side.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { FrontendPort } from '../base/agent_messages.ts';
import { Config } from '../base/config.ts';
import { type BackendId, type StoragePolicyId, type TabletId, id } from '../base/ids.ts';
import { type Clock, SILENT_LOG } from '../base/ports.ts';
import type { TabletsReport } from '../base/replica.ts';
import { fromWireText, toWireText } from '../base/wire_json.ts';
import { newReplicaCounts } from '../be-agent/replica/replica_counts.ts';
import { ReplicaStore } from '../be-agent/replica/replica_store.ts';
import { ReplicaReports } from '../be-agent/replica/reports.ts';
import { ReplicaBoard } from '../jobs/replica_board.ts';
import { TabletReports } from '../jobs/tablet_reports.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { median } from './statistics.ts';

const REPLICAS = 100_000;
const REPLICAS_QUICK = 20_000;
const PER_PARTITION = 100;
const CHANGED_SHARE = 0.01;
const ROUNDS = 15;
const ROUNDS_QUICK = 5;
/** One transaction of the set-up. */
const BATCH = 2000;
/** As many backends as the issue speaks of, each reporting once a minute. */
const BACKENDS = 100;
const BACKEND: BackendId = id(1);
/** Milliseconds; when rows of data that is not cold are due. */
const FAR_MS = 1e14;

export const TABLET_REPORTS: Bench = {
  name: 'reports',
  about: 'reports of 100,000 replicas: full, unchanged, 1 % changed',
  run: async (context) => {
    const replicas = context.quick ? REPLICAS_QUICK : REPLICAS;
    const store = ReplicaStore.open(join(await context.directory(), 'agent.db'));
    context.defer(() => {
      store.close();
    });
    create(store, replicas);
    const line = new Line(store, context);
    line.start();
    const full = await line.next();
    context.say(`full: ${full.messages} messages`);
    const rounds = context.quick ? ROUNDS_QUICK : ROUNDS;
    const unchanged: Cost[] = [];
    const changed: Cost[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      unchanged.push(await line.next());
      change(store, replicas, round);
      changed.push(await line.next());
    }
    return [
      ...figuresOf('full', [full]),
      ...figuresOf('unchanged', unchanged),
      ...figuresOf('1 % changed', changed),
      {
        name: `server, ${BACKENDS} backends a minute, unchanged: share of a core`,
        value: (BACKENDS * median(unchanged.map(({ serverMs }) => serverMs))) / 60_000,
        unit: '',
      },
      {
        name: `server, ${BACKENDS} backends a minute, 1 % changed: share of a core`,
        value: (BACKENDS * median(changed.map(({ serverMs }) => serverMs))) / 60_000,
        unit: '',
      },
    ];
  },
};

/** Of one report with all its messages. */
interface Cost {
  backendMs: number;
  serverMs: number;
  bytes: number;
  messages: number;
}

function figuresOf(name: string, costs: readonly Cost[]): Figure[] {
  const of = (pick: (cost: Cost) => number): number => median(costs.map(pick));
  const note = costs.length === 1 ? 'one round' : `median of ${costs.length} rounds`;
  return [
    { name: `${name}: backend`, value: of((cost) => cost.backendMs), unit: 'ms', note },
    { name: `${name}: server`, value: of((cost) => cost.serverMs), unit: 'ms', note },
    { name: `${name}: text`, value: of((cost) => cost.bytes) / 1024, unit: 'KiB', note },
  ];
}

/** A backend's reports, from the backend to the server and back. */
class Line {
  readonly #server = new TabletReports({
    board: new ReplicaBoard(),
    registry: { status: () => undefined },
    log: SILENT_LOG,
  });
  readonly #reports: ReplicaReports;
  readonly #timers: (() => void)[] = [];
  #cost: Cost = { backendMs: 0, serverMs: 0, bytes: 0, messages: 0 };
  #sinceMs = 0;
  #ended: () => void = () => undefined;

  constructor(store: ReplicaStore, context: BenchContext) {
    this.#reports = new ReplicaReports({
      backendId: BACKEND,
      incarnation: 'one',
      store,
      cooldown: () => ({
        state: 'HOT',
        dueMs: FAR_MS,
        waits: '',
        error: '',
        busy: false,
      }),
      counts: newReplicaCounts(),
      frontend: this.#frontend(),
      config: new Config({}),
      clock: this.#clock(),
      log: SILENT_LOG,
    });
    context.defer(() => {
      this.#reports.close();
    });
  }

  start(): void {
    this.#reports.start();
  }

  /** The next report, from its making to the last answer. */
  async next(): Promise<Cost> {
    this.#cost = { backendMs: 0, serverMs: 0, bytes: 0, messages: 0 };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = resolve;
    const [send] = this.#timers.splice(0).slice(-1);
    if (send === undefined) throw new Error('no report is planned');
    this.#sinceMs = performance.now();
    send();
    await promise;
    // It plans the next one when it has the answer.
    await setImmediate();
    return this.#cost;
  }

  #frontend(): FrontendPort {
    return {
      call: async (_name: string, request: unknown) => {
        const text = toWireText(request);
        const sentMs = performance.now();
        const report = fromWireText(text) as TabletsReport;
        const reply = this.#server.receive(report);
        const doneMs = performance.now();
        this.#cost.backendMs += sentMs - this.#sinceMs;
        this.#cost.serverMs += doneMs - sentMs;
        this.#cost.bytes += text.length;
        this.#cost.messages += 1;
        this.#sinceMs = doneMs;
        if (reply.sendFull || reply.again.length > 0) throw new Error('the sums differ');
        if (report.isLast) this.#ended();
        return await Promise.resolve(reply as never);
      },
    };
  }

  /** Its timers go off when the bench says so. */
  #clock(): Clock {
    return {
      now: () => Date.now(),
      monotonic: () => 0,
      sleep: async () => await Promise.resolve(),
      after: (_ms, fn) => {
        this.#timers.push(fn);
        return () => undefined;
      },
    };
  }
}

function create(store: ReplicaStore, replicas: number): void {
  for (let from = 1; from <= replicas; from += BATCH) {
    store.batch(() => {
      for (let n = from; n < from + BATCH; n += 1) {
        const tabletId = id<TabletId>(n);
        const partitionId = id<never>(Math.ceil(n / PER_PARTITION));
        const identity = { tabletId, replicaId: id<never>(n), partitionId };
        store.create({ ...identity, tableId: id(1), indexId: id(1) });
      }
    });
  }
}

/** One of a hundred replicas gets another policy, others each time, from all partitions. */
function change(store: ReplicaStore, replicas: number, round: number): void {
  store.batch(() => {
    for (let n = round; n <= replicas; n += 1 / CHANGED_SHARE) {
      store.setPolicy(id(n), id<StoragePolicyId>(1000 + round));
    }
  });
}
