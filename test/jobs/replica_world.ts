/** A catalog with a compute group, and backends that are a list of what they were told. */
import type { AgentCallName, AgentCalls, AgentTransport } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, TabletId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { PreparedReplicas, ReplicaReport } from '../../base/replica.ts';
import type { BackendDef, ComputeGroupDef, TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { ReplicaBoard } from '../../jobs/replica_board.ts';
import { replicaMaker } from '../../jobs/replica_maker.ts';
import { CatalogFixture, newTable } from '../catalog/fixture.ts';
import { heartbeatOf } from './heartbeat.ts';

export interface Told<Name extends AgentCallName = AgentCallName> {
  readonly backendId: BackendId;
  readonly name: Name;
  readonly request: AgentCalls[Name]['request'];
}

type Answer<Name extends AgentCallName> = (
  request: AgentCalls[Name]['request'],
  backendId: BackendId,
) => AgentCalls[Name]['reply'];

export class ReplicaWorld {
  readonly files: CatalogFixture;
  readonly catalog: Catalog;
  readonly registry: BackendRegistry;
  readonly board = new ReplicaBoard();
  readonly told: Told[] = [];
  /** Backends that do not answer, though they are alive. */
  readonly mute = new Set<BackendId>();
  /** What backends answer; {} where nothing is said. */
  readonly answers: { [Name in AgentCallName]?: Answer<Name> } = {};
  group: ComputeGroupDef | undefined;
  backends: BackendDef[] = [];

  private constructor(files: CatalogFixture, catalog: Catalog) {
    this.files = files;
    this.catalog = catalog;
    this.registry = new BackendRegistry(files.clock, new Config());
  }

  /** One backend per host named. */
  static async open(hosts: readonly string[]): Promise<ReplicaWorld> {
    const files = new CatalogFixture();
    const world = new ReplicaWorld(files, await files.open());
    const { catalog } = world;
    await catalog.databases.create('d');
    world.group = await catalog.computeGroups.create('g');
    for (const [at, host] of hosts.entries()) {
      const backend = { computeGroupName: 'g', kind: 'embedded', host, httpPort: at + 1 } as const;
      world.backends.push(await catalog.backends.create(backend));
    }
    world.beat();
    return world;
  }

  get clock(): CatalogFixture['clock'] {
    return this.files.clock;
  }

  get deps() {
    const { catalog, registry, board, clock, transport } = this;
    return { catalog, registry, board, clock, transport, log: SILENT_LOG };
  }

  get transport(): AgentTransport {
    return {
      call: async (backendId, name, request) => {
        this.told.push({ backendId, name, request });
        if (this.mute.has(backendId)) {
          throw new SqlError('AGENT_LOST', { backend: backendId, what: name, why: 'for a test' });
        }
        const answer = this.answers[name];
        if (answer !== undefined) return await Promise.resolve(answer(request, backendId));
        return await Promise.resolve({} as never);
      },
    };
  }

  /** All but these send a heartbeat. */
  beat(...without: readonly BackendId[]): void {
    for (const { backendId } of this.backends) {
      if (without.includes(backendId)) this.registry.forget(backendId);
      else this.registry.heartbeat(heartbeatOf(backendId));
    }
  }

  /** What was said under this name since the last time. */
  heard<Name extends AgentCallName>(name: Name): Told<Name>[] {
    const found = this.told.filter((one): one is Told<Name> => one.name === name);
    this.told.splice(0, this.told.length);
    return found;
  }

  async table(name: string, replicationNum: number, buckets = 2): Promise<TableDef> {
    if (this.group === undefined) throw new Error('no compute group');
    const { computeGroupId } = this.group;
    const table = await newTable(this.catalog, name, 1, buckets);
    const partitions = table.partitions.map((partition) => ({ ...partition, replicationNum }));
    const replication = { replicationNum, computeGroupId };
    const maker = await replicaMaker(this.deps, computeGroupId);
    await this.catalog.tableChanges.create({ ...table, partitions, replication }, maker);
    return await this.catalog.tables.get('d', name);
  }

  replicas(table: TableDef): ReplicaDef[] {
    return [...this.catalog.replicas.byTable(table.tableId).values()].flat();
  }

  prepared(table: TableDef): PreparedReplicas[] {
    return [...this.catalog.replicas.byTable(table.tableId)].map(([tabletId, replicas]) => ({
      tabletId,
      replicaIds: replicas.map(({ replicaId }) => replicaId),
    }));
  }

  /** Reports as they come, for the replicas that `change` gives something for. */
  report(
    replicas: readonly Pick<ReplicaDef, 'tabletId' | 'replicaId' | 'backendId'>[],
    change: Partial<ReplicaReport> = {},
  ): void {
    for (const { tabletId, replicaId, backendId } of replicas) {
      const partitionId = this.catalog.tablets.get(tabletId)?.partitionId ?? id(1);
      const report: ReplicaReport = {
        tabletId,
        replicaId,
        partitionId,
        version: 1,
        rows: 0,
        localBytes: 0,
        remoteBytes: 0,
        rowsets: 1,
        isBad: false,
        cooldownState: 'NONE',
        cooldownWaits: '',
        cooldownError: '',
        busy: false,
        ...change,
      };
      if (this.board.incarnationOf(backendId) === undefined) this.board.beginLife(backendId, 'one');
      const tablets: TabletId[] = this.board.put(backendId, report, 1) ? [tabletId] : [];
      this.board.tell(backendId, tablets);
    }
  }

  /** All backends have reported all they have. */
  reportAll(): void {
    for (const { backendId } of this.backends) {
      if (this.board.incarnationOf(backendId) === undefined) this.board.beginLife(backendId, 'one');
      this.board.completed(backendId);
    }
  }

  async close(): Promise<void> {
    await this.files.remove();
  }
}
