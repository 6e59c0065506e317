/** A catalog with replicated tables, and backends that know of their replicas what a test says. */
import type { AgentCalls, AgentTransport, ConfOutcome } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import {
  type BackendId,
  type ResourceId,
  type StoragePolicyId,
  type TabletId,
  id,
} from '../../base/ids.ts';
import { type Log, SILENT_LOG } from '../../base/ports.ts';
import type { CooldownConf, CooldownLead, ReplicaReport } from '../../base/replica.ts';
import { reportSum } from '../../base/report_sum.ts';
import type { TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { CooldownJob } from '../../catalog/cooldown.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { Cooldown } from '../../jobs/cooldown.ts';
import type { CooldownScheduler } from '../../jobs/cooldown_scheduler.ts';
import { ReplicaBoard } from '../../jobs/replica_board.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import type { TabletReports } from '../../jobs/tablet_reports.ts';
import { CatalogFixture, newTable } from '../catalog/fixture.ts';
import { heartbeatOf } from './heartbeat.ts';

/** A backend: what it has persisted of its replicas, and how it behaves. */
export class FakeBackend {
  readonly replicas = new Map<TabletId, ReplicaReport>();
  readonly calls: { readonly name: string; readonly request: unknown }[] = [];
  incarnation = 'first';
  isAlive = true;
  /** Requests get lost, or only their replies. */
  loses: 'nothing' | 'requests' | 'replies' = 'nothing';
  seq = 0;
  /** What it was told of policies and resources, by id: versions. */
  readonly policies = new Map<number, number>();
  readonly resources = new Map<number, number>();
  readonly backendId: BackendId;

  constructor(backendId: BackendId) {
    this.backendId = backendId;
  }

  leadOf(tabletId: TabletId): CooldownLead | undefined {
    return this.replicas.get(tabletId)?.lead;
  }

  change(tabletId: TabletId, change: Partial<ReplicaReport>): void {
    const replica = this.replicas.get(tabletId);
    if (replica !== undefined) this.replicas.set(tabletId, { ...replica, ...change });
  }

  /** As be-agent/replica decides: a larger term only. */
  accept(conf: CooldownConf): ConfOutcome {
    const { tabletId, replicaId, term } = conf;
    const replica = this.replicas.get(tabletId);
    if (replica === undefined) return { tabletId, outcome: 'MISSING' };
    const { lead } = replica;
    if (lead !== undefined && term <= lead.term) {
      const isSame = lead.term === term && lead.replicaId === replicaId;
      const outcome = term < lead.term ? 'STALE' : isSame ? 'SAME' : 'CONFLICT';
      return { tabletId, outcome, lead };
    }
    this.change(tabletId, { lead: { replicaId, term } });
    return { tabletId, outcome: 'ACCEPTED', lead: { replicaId, term } };
  }
}

interface Line {
  readonly level: 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: unknown;
}

interface Life {
  readonly catalog: Catalog;
  readonly registry: BackendRegistry;
  readonly board: ReplicaBoard;
  readonly cooldown: Cooldown;
}

export class CooldownWorld {
  readonly fixture = new CatalogFixture();
  readonly backends = new Map<BackendId, FakeBackend>();
  readonly lines: Line[] = [];
  readonly config = new Config();
  readonly holds = new SnapshotHolds();
  #life: Life | undefined;

  get #now(): Life {
    if (this.#life === undefined) throw new Error('the server was not started');
    return this.#life;
  }
  get catalog(): Catalog {
    return this.#now.catalog;
  }
  get registry(): BackendRegistry {
    return this.#now.registry;
  }
  get board(): ReplicaBoard {
    return this.#now.board;
  }
  get cooldown(): Cooldown {
    return this.#now.cooldown;
  }
  get reports(): TabletReports {
    return this.cooldown.reports;
  }
  get scheduler(): CooldownScheduler {
    return this.cooldown.scheduler;
  }

  static async make(backends = 3): Promise<CooldownWorld> {
    const world = new CooldownWorld();
    const catalog = await world.fixture.open();
    world.#life = world.#live(catalog);
    await world.catalog.computeGroups.create('g');
    for (let i = 0; i < backends; i += 1) {
      const { backendId } = await world.catalog.backends.create({
        computeGroupName: 'g',
        kind: 'embedded',
        host: 'h',
        httpPort: 0,
      });
      world.backends.set(backendId, new FakeBackend(backendId));
    }
    world.scheduler.start();
    return world;
  }

  /** A life of the server: its memory is empty. */
  #live(catalog: Catalog): Life {
    const { config, fixture } = this;
    const { clock } = fixture;
    const log: Log = { ...SILENT_LOG, ...this.#log() };
    const registry = new BackendRegistry(clock, config);
    const board = new ReplicaBoard();
    const transport: AgentTransport = {
      call: async (backendId, name, request) => await this.#call(backendId, name, request),
    };
    const { holds } = this;
    const basis = { catalog, config, clock, log, registry, board, transport, holds };
    return { ...basis, cooldown: new Cooldown(basis) };
  }

  /** Kill -9, and a new server on the same catalog. */
  async restartServer(): Promise<void> {
    await this.cooldown.close();
    this.#life = this.#live(await this.fixture.reopen(this.catalog));
    this.scheduler.start();
  }

  async remove(): Promise<void> {
    await this.cooldown.close();
    await this.fixture.remove();
  }

  /** Partitions and buckets of one table with a policy, a replica of each tablet per backend. */
  async table({
    name = 't',
    buckets = 1,
    replicas = this.backends.size,
    policy = true,
  } = {}): Promise<TableDef> {
    const { catalog } = this;
    const policyId = policy ? await this.policy() : undefined;
    const group = await catalog.computeGroups.get('g');
    const plain = await newTable(catalog, name, 1, buckets);
    if ((await catalog.databases.find('d')) === undefined) await catalog.databases.create('d');
    const all = [...this.backends.keys()];
    let next = 0;
    const bound = policyId === undefined ? {} : { storagePolicyId: policyId };
    await catalog.tableChanges.create(
      {
        ...plain,
        ...bound,
        replication: { replicationNum: replicas, computeGroupId: group.computeGroupId },
        partitions: plain.partitions.map((one) => ({ ...one, ...bound, replicationNum: replicas })),
      },
      {
        place: () => {
          next += 1;
          return Array.from(
            { length: replicas },
            (_, i) => all[(next + i) % all.length] as BackendId,
          );
        },
        make: async (made) => {
          for (const { backendId, tabletId, replicaId, partitionId } of made) {
            this.backends.get(backendId)?.replicas.set(tabletId, {
              ...EMPTY,
              tabletId,
              replicaId,
              partitionId,
              ...(policyId === undefined ? {} : { policyId }),
            });
          }
          for (let at = 0; at < made.length; at += 1000) {
            await catalog.replicas.created(made.slice(at, at + 1000));
          }
        },
      },
    );
    return await catalog.tables.get('d', name);
  }

  async policy(name = 'p') {
    const { catalog } = this;
    const known = await catalog.storagePolicies.find(name);
    if (known !== undefined) return known.policyId;
    if ((await catalog.resources.find('r')) === undefined) {
      await catalog.resources.create('r', {
        store: { kind: 'file', path: '/nowhere' },
        validityCheck: false,
        conditionalWrites: 'true',
      });
    }
    const made = await catalog.storagePolicies.create(name, 'r', { kind: 'ttl', seconds: 1 });
    return made.policyId;
  }

  tablets(table: TableDef): TabletId[] {
    return this.catalog.tablets.ofTable(table.tableId).map(({ tabletId }) => tabletId);
  }

  replicasOf(tabletId: TabletId): readonly (ReplicaDef & { readonly backend: FakeBackend })[] {
    return this.catalog.replicas
      .ofTablet(tabletId)
      .map((replica) => ({ ...replica, backend: this.backend(replica.backendId) }));
  }

  backend(backendId: BackendId): FakeBackend {
    const backend = this.backends.get(backendId);
    if (backend === undefined) throw new Error(`no backend ${backendId}`);
    return backend;
  }

  leaderOf(tabletId: TabletId): FakeBackend {
    const lead = this.catalog.cooldown.lead(tabletId);
    const leader = this.replicasOf(tabletId).find((one) => one.replicaId === lead?.replicaId);
    if (leader === undefined) throw new Error(`tablet ${tabletId} has no leader`);
    return leader.backend;
  }

  /** Heartbeats and full reports of all that are alive. */
  heartbeats(): void {
    for (const { backendId, incarnation, isAlive } of this.backends.values()) {
      if (isAlive) this.registry.heartbeat(heartbeatOf(backendId, { incarnation }));
    }
  }

  report(backend: FakeBackend): void {
    backend.seq += 1;
    const replicas = [...backend.replicas.values()];
    const sums = [...Map.groupBy(replicas, ({ partitionId }) => partitionId)].map(
      ([partitionId, own]) => ({ partitionId, replicas: own.length, sum: reportSum(own) }),
    );
    this.reports.receive({
      backendId: backend.backendId,
      incarnation: backend.incarnation,
      seq: backend.seq,
      kind: 'FULL',
      isLast: true,
      replicas,
      gone: [],
      sums,
      policies: [...backend.policies].map(([policyId, version]) => ({
        policyId: id<StoragePolicyId>(policyId),
        version,
      })),
      resources: [...backend.resources].map(([resourceId, version]) => ({
        resourceId: id<ResourceId>(resourceId),
        version,
      })),
    });
  }

  reportAll(): void {
    for (const backend of this.backends.values()) if (backend.isAlive) this.report(backend);
  }

  /** A round of everything that goes by itself, and what follows from it. */
  async round(afterMs = 1000): Promise<void> {
    this.fixture.clock.ms += afterMs;
    this.heartbeats();
    this.scheduler.wake();
    await this.scheduler.idle();
  }

  async rounds(count: number, afterMs = 1000): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.round(afterMs);
  }

  async jobs(): Promise<CooldownJob[]> {
    return await this.catalog.cooldown.list();
  }

  errors(): string[] {
    return this.lines.filter(({ level }) => level === 'error').map(({ event }) => event);
  }

  async #call<Name extends keyof AgentCalls>(
    backendId: BackendId,
    name: Name,
    request: AgentCalls[Name]['request'],
  ): Promise<AgentCalls[Name]['reply']> {
    const backend = this.backend(backendId);
    backend.calls.push({ name, request });
    if (!backend.isAlive || backend.loses === 'requests') throw new Error('AGENT_LOST');
    const reply = this.#answer(backend, name, request);
    if (backend.loses === 'replies') throw new Error('AGENT_LOST');
    return await Promise.resolve(reply as AgentCalls[Name]['reply']);
  }

  #answer(backend: FakeBackend, name: string, request: unknown): unknown {
    switch (name) {
      case 'pushCooldownConf': {
        const { confs } = request as AgentCalls['pushCooldownConf']['request'];
        return { outcomes: confs.map((conf) => backend.accept(conf)) };
      }
      case 'pushStoragePolicies': {
        const push = request as AgentCalls['pushStoragePolicies']['request'];
        for (const { policyId, version } of push.policies) backend.policies.set(policyId, version);
        for (const { resourceId, version } of push.resources) {
          backend.resources.set(resourceId, version);
        }
        for (const policyId of push.dropped) backend.policies.delete(policyId);
        return {};
      }
      case 'reportNow':
        this.report(backend);
        return {};
      default:
        return {};
    }
  }

  #log(): Partial<Log> {
    const keep =
      (level: Line['level']) =>
      (event: string, fields?: unknown): void => {
        this.lines.push({ level, event, fields });
      };
    return { info: keep('info'), warn: keep('warn'), error: keep('error') };
  }
}

const EMPTY = {
  version: 1,
  rows: 0,
  localBytes: 0,
  remoteBytes: 0,
  rowsets: 1,
  isBad: false,
  cooldownState: 'HOT',
  cooldownWaits: '',
  cooldownError: '',
  busy: false,
} as const satisfies Partial<ReplicaReport>;
