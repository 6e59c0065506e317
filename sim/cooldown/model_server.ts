/**
 * A control plane in a few lines: what is durable is a plain object that outlives its processes.
 * It loads, elects, pushes, confirms and drops as DESIGN section 5 says. Small scopes are explored
 * with it, because it does little else; runs of whole clusters have the real one.
 */
import { crc32 } from 'node:zlib';
import type { CloneRequest, FrontendCalls } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import {
  type BackendId,
  type IndexId,
  type PartitionId,
  type ReplicaId,
  type ResourceId,
  type RowsetId,
  type TableId,
  type TabletId,
  type TxnId,
  id,
  rowsetId,
} from '../../base/ids.ts';
import {
  type AgentPolicy,
  type CooldownConf,
  type CooldownLead,
  type PreparedRowset,
  type ReplicaReport,
  type TabletsReport,
  type TxnOutcome,
} from '../../base/replica.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { BackendRegistry } from '../../jobs/backend_registry.ts';
import { ReplicaBoard } from '../../jobs/replica_board.ts';
import { type ReportedVersions, TabletReports } from '../../jobs/tablet_reports.ts';
import type { SeededRandom } from '../seeded_random.ts';
import type { Endpoint, SimNetwork } from '../sim_network.ts';
import type { Trace } from '../trace.ts';
import { SimProcess, type VirtualTime } from '../virtual_time.ts';
import { type Content, segmentBody, segmentMeta } from './content.ts';
import type { ControlSeen, ReplicaPlace } from './seen.ts';
import type { CooldownWatch } from './watch.ts';

export interface ModelReplica {
  readonly replicaId: ReplicaId;
  readonly backendId: BackendId;
  /** The first version that it missed. */
  missingFrom?: number;
  /** Its backend has not made it yet. */
  isNew?: boolean;
}

export interface ModelTablet {
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  readonly replicas: ModelReplica[];
  visibleVersion: number;
  isDropped: boolean;
}

/** All that is on the disk of the control plane. */
export interface Journal {
  readonly tablets: Map<TabletId, ModelTablet>;
  readonly leads: Map<TabletId, CooldownLead>;
  readonly outcomes: Map<TxnId, TxnOutcome>;
  policy: AgentPolicy;
  nextId: number;
}

export interface ModelServerDeps {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly random: SeededRandom;
  readonly content: Content;
  readonly watch: CooldownWatch;
  readonly backends: () => readonly Endpoint[];
  readonly journal: Journal;
  /** How long a durable step takes, milliseconds. */
  readonly writeMs: () => number;
  /** Deletes what lies under a prefix of the bucket. */
  readonly deletePrefix: (process: SimProcess, prefix: string) => Promise<void>;
  readonly rules: ControlRules;
  readonly deadMs: number;
  readonly tickMs: number;
}

/** What the control plane decides; a plant may decide otherwise. */
export interface ControlRules {
  /** Which of the candidates is to lead. */
  readonly elect: (candidates: readonly Candidate[]) => Candidate | undefined;
  /** Whether a leader may stay. */
  readonly mayStay: (isAlive: boolean) => boolean;
  /** Whether a replica that has `known` has to be told. */
  readonly needsPush: (known: CooldownLead | undefined, conf: CooldownConf) => boolean;
  readonly nextTerm: (last: CooldownLead | undefined) => number;
  /** Whether a push waits for the journal. */
  readonly isJournalFirst: boolean;
  readonly mayCollect: (isAgreed: boolean) => boolean;
  /** Whether a dropped tablet's objects wait for this answer of a backend. */
  readonly mayDelete: (isDropped: boolean) => boolean;
  /** What a server finds that starts again. */
  readonly recover: (journal: Journal) => void;
}

export const RULES: ControlRules = {
  elect: electMostAdvanced,
  mayStay: (isAlive) => isAlive,
  needsPush: (known, { term, replicaId }) =>
    (known?.term ?? 0) < term || (known?.term === term && known.replicaId !== replicaId),
  nextTerm: (last) => (last?.term ?? 0) + 1,
  isJournalFirst: true,
  mayCollect: (isAgreed) => isAgreed,
  mayDelete: (isDropped) => isDropped,
  recover: () => undefined,
};

export interface Candidate {
  readonly replica: ModelReplica;
  readonly isAlive: boolean;
  readonly report: ReplicaReport | undefined;
}

const CALL_TIMEOUT_MS = 2000;
/** A clone takes more than one message. */
const CLONE_TIMEOUT_MS = 12_000;

type BackendStatus = NonNullable<ReturnType<BackendRegistry['status']>>;

interface Life {
  readonly process: SimProcess;
  /** In memory only: the real ones. */
  readonly board: ReplicaBoard;
  readonly reports: TabletReports;
  readonly incarnations: Map<BackendId, string>;
  readonly heardMs: Map<BackendId, number>;
  readonly repairing: Set<TabletId>;
}

interface ReportLife {
  readonly incarnation: string;
  readonly seq: number;
}

export class ModelServer implements Endpoint, ControlSeen {
  readonly name = 'server';
  /** A collection was confirmed; the answer is not sent yet. */
  onConfirmed: (tabletId: TabletId) => void = () => undefined;
  readonly #deps: ModelServerDeps;
  #life: Life | undefined;
  #lives = 0;

  constructor(deps: ModelServerDeps) {
    this.#deps = deps;
  }

  get process(): SimProcess | undefined {
    return this.#life?.process;
  }

  get isRunning(): boolean {
    return this.#life !== undefined && !this.#life.process.isDead;
  }

  start(): void {
    if (this.isRunning) return;
    const { time, trace } = this.#deps;
    this.#lives += 1;
    if (this.#lives > 1) this.#deps.rules.recover(this.#deps.journal);
    const process = new SimProcess(`server.${this.#lives}`, time);
    trace.note(time.nowMs, `${process.name} starts`);
    const board = new ReplicaBoard();
    const incarnations = new Map<BackendId, string>();
    const registry: Pick<BackendRegistry, 'status'> = {
      status: (backendId) => {
        const incarnation = incarnations.get(backendId);
        return incarnation === undefined ? undefined : ({ incarnation } as BackendStatus);
      },
    };
    const reports = new TabletReports({ board, registry, log: SILENT_LOG });
    const life = {
      process,
      board,
      reports,
      incarnations,
      heardMs: new Map(),
      repairing: new Set<TabletId>(),
    };
    this.#life = life;
    reports.onVersions(({ backendId, policies }) => {
      this.#sendPolicy(life, backendId, policies);
    });
    this.#tick(life);
  }

  /** All that its process has in memory, and what it draws ids from; for comparing states. */
  get memory(): readonly unknown[] {
    const { board, incarnations, heardMs, repairing } = this.#life ?? {};
    const backends = board
      ?.backends()
      .map((backendId) => [
        backendId,
        board.isComplete(backendId),
        board.incarnationOf(backendId),
        [...(board.reportsOf(backendId)?.all() ?? [])],
      ]);
    return [backends, incarnations, heardMs, repairing, this.#running, this.#deps.random];
  }

  /** Of each backend the life that it has reports of, also in memory. */
  get reportLives(): ReadonlyMap<BackendId, ReportLife> {
    const reports = this.#life?.reports as unknown as
      | { private_lives?: Map<BackendId, ReportLife> }
      | undefined;
    return reports?.private_lives ?? new Map();
  }

  crash(): void {
    if (!this.isRunning) return;
    this.#deps.trace.note(this.#deps.time.nowMs, 'the server is killed');
    this.#life?.process.kill();
  }

  // -- what is durable

  leads(): ReadonlyMap<TabletId, CooldownLead> {
    return this.#deps.journal.leads;
  }

  replicas(tabletId: TabletId): readonly ReplicaPlace[] {
    const tablet = this.#deps.journal.tablets.get(tabletId);
    return (tablet?.replicas ?? []).map(({ replicaId, backendId, missingFrom }) => ({
      tabletId,
      replicaId,
      backendId,
      isComplete: missingFrom === undefined,
    }));
  }

  visibleVersion(tabletId: TabletId): number | undefined {
    const tablet = this.#deps.journal.tablets.get(tabletId);
    return tablet === undefined || tablet.isDropped ? undefined : tablet.visibleVersion;
  }

  hasPolicy(): boolean {
    return true;
  }

  hasResource(resourceId: ResourceId): boolean {
    return this.#deps.journal.policy.resourceId === resourceId;
  }

  // -- what people ask for

  /** Whether the backend is alive and has reported all it has. */
  knows(backendId: BackendId): boolean {
    const life = this.#life;
    return life !== undefined && this.#isAlive(life, backendId) && life.board.isComplete(backendId);
  }

  /** A load of these rows into a tablet, by all replicas that answer. True: it is visible. */
  async load(tabletId: TabletId, rows: readonly string[]): Promise<boolean> {
    const life = this.#life;
    const tablet = this.#deps.journal.tablets.get(tabletId);
    if (life === undefined || life.process.isDead || tablet === undefined) return false;
    const { journal, content } = this.#deps;
    const txnId = this.#nextId<TxnId>();
    const bytes = this.#deps.random.bytes(16);
    const rowset = rowsetId(Buffer.from(bytes).toString('hex'));
    const bodies = rows.length === 0 ? [] : [segmentBody(rows)];
    content.built(rowset, rows);
    const alive = tablet.replicas.filter(({ backendId }) => this.#isAlive(life, backendId));
    const written = await Promise.all(
      alive.map(async (replica) => {
        const done = await this.#write(life, tabletId, replica, { txnId, rowset, bodies, rows });
        return done ? [replica] : [];
      }),
    );
    const prepared = written.flat();
    // Only complete ones count: else each replica may miss another version in the end.
    const complete = prepared.filter(({ missingFrom }) => missingFrom === undefined);
    const isEnough = complete.length > tablet.replicas.length / 2;
    await this.#durable(life);
    if (tablet.isDropped) return false;
    if (isEnough) {
      const version = tablet.visibleVersion + 1;
      const total = bodies.reduce((sum, body) => sum + body.length, 0);
      content.visible(tabletId, version, rows, total);
      tablet.visibleVersion = version;
      for (const replica of tablet.replicas) {
        if (!prepared.includes(replica)) replica.missingFrom ??= version;
      }
      const versions = [{ partitionId: tablet.partitionId, version }];
      journal.outcomes.set(txnId, { txnId, state: 'VISIBLE', versions });
    } else journal.outcomes.set(txnId, { txnId, state: 'ABORTED' });
    this.#changed();
    const outcome = journal.outcomes.get(txnId);
    if (outcome !== undefined) {
      for (const { backendId } of tablet.replicas) {
        void this.#call(life, backendId, 'settleTxns', { txns: [outcome] });
      }
    }
    return isEnough;
  }

  /** Gives the tablet another leader, as an operator may; refused when that is not complete. */
  async lead(tabletId: TabletId, replicaId: ReplicaId): Promise<void> {
    const life = this.#life;
    const term = this.#deps.rules.nextTerm(this.#deps.journal.leads.get(tabletId));
    if (life === undefined || !this.#isWhole(tabletId, replicaId)) return;
    await this.#elected(life, { tabletId, replicaId, term });
  }

  /** No load was published without it. */
  #isWhole(tabletId: TabletId, replicaId: ReplicaId): boolean {
    const replicas = this.#deps.journal.tablets.get(tabletId)?.replicas ?? [];
    const replica = replicas.find((one) => one.replicaId === replicaId);
    return replica !== undefined && replica.missingFrom === undefined;
  }

  /** The tablet is gone for readers; its replicas and objects follow. */
  drop(tabletId: TabletId): void {
    const tablet = this.#deps.journal.tablets.get(tabletId);
    if (tablet === undefined) return;
    tablet.isDropped = true;
    this.#deps.journal.leads.delete(tabletId);
    this.#changed();
  }

  /** One replica less, when its backend has answered. */
  async dropReplica(tabletId: TabletId, replicaId: ReplicaId): Promise<void> {
    const life = this.#life;
    const tablet = this.#deps.journal.tablets.get(tabletId);
    const at = tablet?.replicas.findIndex((one) => one.replicaId === replicaId) ?? -1;
    const [replica] = tablet?.replicas.splice(at, at < 0 ? 0 : 1) ?? [];
    this.#changed();
    if (replica === undefined || life === undefined) return;
    const replicas = [{ tabletId, replicaId }];
    await this.#call(life, replica.backendId, 'dropReplicas', { replicas });
  }

  /** Lets a replica be copied from another one's, whatever it has; nobody waits for it. */
  askClone(tabletId: TabletId, from: BackendId, to: BackendId): void {
    const life = this.#life;
    const tablet = this.#deps.journal.tablets.get(tabletId);
    const source = tablet?.replicas.find(({ backendId }) => backendId === from);
    const target = tablet?.replicas.find(({ backendId }) => backendId === to);
    if (life === undefined || tablet === undefined || !source || !target) return;
    void this.#call(life, to, 'cloneReplica', this.#cloneOf(tablet, target, source));
  }

  #cloneOf(
    { tabletId, partitionId }: ModelTablet,
    { replicaId }: ModelReplica,
    source: ModelReplica,
  ): CloneRequest {
    const { policyId } = this.#deps.journal.policy;
    const [tableId, indexId] = [id<TableId>(3000), id<IndexId>(4000)];
    const { backendId } = source;
    return {
      tabletId,
      replica: { tabletId, replicaId, tableId, partitionId, indexId, policyId },
      source: { backendId, host: '', httpPort: 1, replicaId: source.replicaId },
      timeoutMs: 10_000,
    };
  }

  // -- what backends say

  async handle(name: string, message: unknown): Promise<unknown> {
    const life = this.#life;
    if (life === undefined) throw new SqlError('SERVER_SHUTDOWN');
    const { from, request } = message as { readonly from: BackendId; readonly request: unknown };
    switch (name) {
      case 'heartbeat': {
        this.#heard(life, from, (request as FrontendCalls['heartbeat']['request']).incarnation);
        return await Promise.resolve({ computeGroupName: 'g', config: {} });
      }
      case 'reportTablets':
        return life.reports.receive(request as TabletsReport);
      case 'txnOutcomes': {
        const { txnIds } = request as FrontendCalls['txnOutcomes']['request'];
        return { txns: txnIds.map((txnId) => this.#outcomeOf(txnId)) };
      }
      case 'confirmUnusedRemoteFiles': {
        const { questions } = request as FrontendCalls['confirmUnusedRemoteFiles']['request'];
        const confirmed = questions
          .filter((question) => this.#deps.rules.mayCollect(this.#mayCollect(life, question)))
          .map(({ tabletId }) => tabletId);
        this.#deps.watch.confirmed(questions, confirmed);
        for (const tabletId of confirmed) this.onConfirmed(tabletId);
        return { confirmed };
      }
      default:
        throw new SqlError('NOT_SUPPORTED', { what: name });
    }
  }

  /** A transaction that is not decided yet is RUNNING only while the process that began it lives. */
  #outcomeOf(txnId: TxnId): TxnOutcome {
    const known = this.#deps.journal.outcomes.get(txnId);
    if (known !== undefined) return known;
    return { txnId, state: this.#running.has(txnId) ? 'RUNNING' : 'ABORTED' };
  }

  readonly #running = new Set<TxnId>();

  #mayCollect(
    life: Life,
    {
      tabletId,
      replicaId,
      term,
      metaId,
    }: FrontendCalls['confirmUnusedRemoteFiles']['request']['questions'][number],
  ): boolean {
    const { journal } = this.#deps;
    const lead = journal.leads.get(tabletId);
    const tablet = journal.tablets.get(tabletId);
    if (tablet === undefined || tablet.isDropped) return false;
    if (lead?.replicaId !== replicaId || lead.term !== term) return false;
    return tablet.replicas.every((replica) => {
      const report = this.#reportOf(life, tabletId, replica);
      if (report === undefined || !this.#isAlive(life, replica.backendId)) return false;
      // The one that asks is busy with this.
      const isFree = !report.busy || replica.replicaId === replicaId;
      return report.lead?.term === term && report.metaId === metaId && isFree;
    });
  }

  #heard(life: Life, backendId: BackendId, incarnation: string): void {
    life.heardMs.set(backendId, this.#deps.time.nowMs);
    life.incarnations.set(backendId, incarnation);
  }

  // -- what it does by itself

  #tick(life: Life): void {
    const { journal, tickMs } = this.#deps;
    for (const tablet of journal.tablets.values()) {
      if (tablet.isDropped) void this.#finishDrop(life, tablet);
      else {
        this.#reconcile(life, tablet);
        void this.#repairOne(life, tablet);
        this.#dropStrangers(life, tablet);
      }
    }
    life.process.schedule(tickMs, 'server timer', () => {
      this.#tick(life);
    });
  }

  /** Level-triggered: looks at what is, and does what is missing. */
  #reconcile(life: Life, tablet: ModelTablet): void {
    const { tabletId } = tablet;
    const { journal, rules } = this.#deps;
    const lead = journal.leads.get(tabletId);
    const leader = tablet.replicas.find(({ replicaId }) => replicaId === lead?.replicaId);
    const isAlive = leader !== undefined && this.#isAlive(life, leader.backendId);
    if (leader === undefined || !rules.mayStay(isAlive)) {
      const candidates = tablet.replicas.map((replica) => ({
        replica,
        isAlive: this.#isAlive(life, replica.backendId),
        report: this.#reportOf(life, tabletId, replica),
      }));
      const chosen = rules.elect(candidates);
      if (chosen === undefined) return;
      const { replicaId } = chosen.replica;
      void this.#elected(life, { tabletId, replicaId, term: rules.nextTerm(lead) });
      return;
    }
    if (lead !== undefined) this.#push(life, tablet, { tabletId, ...lead });
  }

  /** A backend that was away may come back with a replica that has a successor. */
  #dropStrangers(life: Life, { tabletId, replicas }: ModelTablet): void {
    for (const { backendId, report } of life.board.ofTablet(tabletId)) {
      const { replicaId } = report;
      if (replicas.some((one) => one.replicaId === replicaId)) continue;
      const request = { replicas: [{ tabletId, replicaId }] };
      void this.#call(life, backendId, 'dropReplicas', request);
    }
  }

  /** A backend that does not have the policy as it is now gets it. */
  #sendPolicy(life: Life, backendId: BackendId, known: ReportedVersions['policies']): void {
    const { policy } = this.#deps.journal;
    const isKnown = known.some(
      ({ policyId, version }) => policyId === policy.policyId && version >= policy.version,
    );
    if (isKnown) return;
    const resources = [{ resourceId: policy.resourceId, version: 1 }];
    const request = { policies: [policy], resources, dropped: [] };
    void this.#call(life, backendId, 'pushStoragePolicies', request);
  }

  /** One at a time. */
  async #repairOne(life: Life, tablet: ModelTablet): Promise<void> {
    if (life.repairing.has(tablet.tabletId)) return;
    life.repairing.add(tablet.tabletId);
    await this.#repair(life, tablet);
    life.repairing.delete(tablet.tabletId);
  }

  /** A replica that misses versions copies them; one that is gone gets a successor on its backend. */
  async #repair(life: Life, tablet: ModelTablet): Promise<void> {
    const { tabletId } = tablet;
    const isWhole = (replica: ModelReplica): boolean => {
      const report = this.#reportOf(life, tabletId, replica);
      const isAlive = this.#isAlive(life, replica.backendId);
      return isAlive && report?.isBad === false && report.version >= tablet.visibleVersion;
    };
    for (const [at, replica] of tablet.replicas.entries()) {
      const { backendId } = replica;
      if (!this.knows(backendId)) continue;
      const report = this.#reportOf(life, tabletId, replica);
      if (report !== undefined) delete replica.isNew;
      else if (replica.isNew === true) replica.missingFrom ??= 0;
      if (report === undefined && replica.isNew !== true) {
        const replicaId = this.#nextId<ReplicaId>();
        const successor = { replicaId, backendId, missingFrom: 0, isNew: true };
        tablet.replicas.splice(at, 1, successor);
        this.#changed();
        return;
      }
      if (replica.missingFrom === undefined && report?.isBad !== true) continue;
      const source = tablet.replicas.find((one) => one !== replica && isWhole(one));
      if (source === undefined) continue;
      const request = this.#cloneOf(tablet, replica, source);
      const upTo = tablet.visibleVersion;
      if (!(await this.#call(life, backendId, 'cloneReplica', request))) continue;
      await this.#durable(life);
      if (tablet.visibleVersion > upTo) continue;
      delete replica.missingFrom;
      this.#changed();
    }
  }

  #push(life: Life, tablet: ModelTablet, conf: CooldownConf): void {
    for (const replica of tablet.replicas) {
      const known = this.#reportOf(life, tablet.tabletId, replica)?.lead;
      if (!this.#deps.rules.needsPush(known, conf)) continue;
      this.#deps.watch.pushed([conf]);
      void this.#call(life, replica.backendId, 'pushCooldownConf', { confs: [conf] });
    }
  }

  /** Compare-and-set on the term; journal before effect. */
  async #elected(life: Life, conf: CooldownConf): Promise<void> {
    const { journal, trace, time, rules } = this.#deps;
    const { tabletId, replicaId, term } = conf;
    const tablet = journal.tablets.get(tabletId);
    if (tablet === undefined) return;
    const wasWhole = this.#isWhole(tabletId, replicaId);
    if (!rules.isJournalFirst) this.#push(life, tablet, conf);
    await this.#durable(life);
    if (tablet.isDropped || rules.nextTerm(journal.leads.get(tabletId)) !== term) return;
    // As the catalog decides: it has missed a load since it was chosen.
    if (wasWhole && !this.#isWhole(tabletId, replicaId)) return;
    journal.leads.set(tabletId, { replicaId, term });
    trace.note(time.nowMs, `tablet ${tabletId}: replica ${replicaId} leads with term ${term}`);
    this.#changed();
    await this.#durable(life);
    this.#push(life, tablet, conf);
  }

  async #finishDrop(life: Life, tablet: ModelTablet): Promise<void> {
    const { tabletId } = tablet;
    for (const replica of tablet.replicas) {
      const { replicaId, backendId } = replica;
      const replicas = [{ tabletId, replicaId }];
      const isDropped = await this.#call(life, backendId, 'dropReplicas', { replicas });
      if (!this.#deps.rules.mayDelete(isDropped)) return;
    }
    await this.#deps.deletePrefix(life.process, `data/${tabletId}/`);
  }

  #isAlive(life: Life, backendId: BackendId): boolean {
    const heardMs = life.heardMs.get(backendId);
    return heardMs !== undefined && this.#deps.time.nowMs - heardMs < this.#deps.deadMs;
  }

  #reportOf(life: Life, tabletId: TabletId, replica: ModelReplica): ReplicaReport | undefined {
    return life.board.get(replica.backendId, tabletId, replica.replicaId);
  }

  async #write(
    life: Life,
    tabletId: TabletId,
    { replicaId, backendId }: ModelReplica,
    load: Load,
  ): Promise<boolean> {
    const { txnId, rowset, bodies, rows } = load;
    this.#running.add(txnId);
    life.process.onDeath(() => this.#running.delete(txnId));
    for (const [segment, body] of bodies.entries()) {
      const put = [tabletId, rowset, segment, body, crc32(body)];
      if (!(await this.#call(life, backendId, 'peer:putSegment', put))) return false;
    }
    const segments = bodies.map((body, at) => segmentMeta(at, body, rows.length));
    const prepared: PreparedRowset = {
      tabletId,
      replicaId,
      rowsetId: rowset,
      rows: rows.length,
      bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
      segments,
      newestWriteMs: life.process.clock.now(),
    };
    return await this.#call(life, backendId, 'peer:prepare', [txnId, [prepared]]);
  }

  /** True: it was answered. */
  async #call(life: Life, to: BackendId, name: string, request: unknown): Promise<boolean> {
    const { network, backends } = this.#deps;
    const endpoint = backends().find((one) => one.name === `be-${to}`);
    if (endpoint === undefined) return false;
    const timeoutMs = name === 'cloneReplica' ? CLONE_TIMEOUT_MS : CALL_TIMEOUT_MS;
    const what = { backend: to, what: name, why: `nothing within ${timeoutMs} ms` };
    try {
      await network.call({
        from: life.process,
        to: endpoint,
        line: endpoint.name,
        name,
        request,
        timeoutMs,
        lost: () => new SqlError('AGENT_LOST', what),
      });
      return true;
    } catch (error) {
      const text = `server: ${name} on be-${to}: ${String(error)}`;
      this.#deps.trace.note(this.#deps.time.nowMs, text);
      return false;
    }
  }

  async #durable(life: Life): Promise<void> {
    await life.process.clock.sleep(this.#deps.writeMs());
  }

  #changed(): void {
    this.#deps.watch.controlChanged();
  }

  #nextId<Id extends number>(): Id {
    this.#deps.journal.nextId += 1;
    return this.#deps.journal.nextId as Id;
  }
}

interface Load {
  readonly txnId: TxnId;
  readonly rowset: RowsetId;
  readonly bodies: readonly Uint8Array[];
  readonly rows: readonly string[];
}

/** Alive, complete, the most advanced first. */
export function electMostAdvanced(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates
    .filter(({ isAlive, report, replica }) => {
      return isAlive && report !== undefined && !report.isBad && replica.missingFrom === undefined;
    })
    .sort((a, b) => rank(b) - rank(a) || a.replica.replicaId - b.replica.replicaId)[0];
}

function rank({ report }: Candidate): number {
  return (report?.version ?? 0) * 1000 + (report?.cooledVersion ?? 0);
}
