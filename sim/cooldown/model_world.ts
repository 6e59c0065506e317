/**
 * A small world: the model of a control plane, real replica stores and real cooldown engines, one
 * bucket. Scenarios are written with it as plain code, and explored or run with drawn faults.
 */
import type {
  BackendId,
  ReplicaId,
  ResourceId,
  StoragePolicyId,
  TabletId,
} from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { SeededRandom } from '../seeded_random.ts';
import type { SimProcess } from '../virtual_time.ts';
import { BucketView } from './bucket_view.ts';
import { type Journal, ModelServer, type ModelTablet, RULES } from './model_server.ts';
import type { ControlSeen } from './seen.ts';
import { WorldCore, type WorldOptions } from './world_core.ts';

const RESOURCE = id<ResourceId>(900);
const POLICY = id<StoragePolicyId>(901);
const FIRST_TABLET = 1000;

export class ModelWorld extends WorldCore {
  readonly server: ModelServer;
  readonly journal: Journal;
  #loads = 0;

  constructor(options: WorldOptions) {
    super(options);
    const cooldown = { kind: 'ttl', seconds: options.ttlSeconds ?? 3 } as const;
    this.journal = {
      tablets: new Map(),
      leads: new Map(),
      outcomes: new Map(),
      policy: { policyId: POLICY, version: 1, resourceId: RESOURCE, cooldown },
      nextId: 1,
    };
    this.server = new ModelServer({
      time: this.time,
      trace: this.trace,
      network: this.network,
      random: this.random.fork(),
      content: this.content,
      watch: this.watch,
      backends: () => this.backends,
      journal: this.journal,
      writeMs: this.writeMs,
      deletePrefix: async (process, prefix) => {
        await this.#deletePrefix(process, prefix);
      },
      rules: { ...RULES, ...options.plant?.rules },
      deadMs: options.deadMs ?? 5000,
      tickMs: 1000,
    });
    for (let at = 1; at <= options.backends; at += 1) {
      this.makeBackend(id<BackendId>(at), this.server);
    }
  }

  protected override control(): ControlSeen {
    return this.server;
  }

  override close(): void {
    this.server.crash();
    super.close();
  }

  // -- things to do

  /** Servers and backends start, tablets are made with a replica on each backend. */
  async setUp(): Promise<void> {
    this.server.start();
    for (const backend of this.backends) backend.start();
    for (let at = 0; at < this.options.tablets; at += 1) await this.#makeTablet(at);
    const { policy } = this.journal;
    for (const backend of this.backends) {
      const resources = [{ resourceId: RESOURCE, version: 1 }];
      await backend.handle('pushStoragePolicies', { policies: [policy], resources, dropped: [] });
    }
    await this.until(() => this.backends.every((each) => this.server.knows(each.backendId)), 5000);
  }

  tabletId(at = 0): TabletId {
    return id<TabletId>(FIRST_TABLET + at);
  }

  replicaId(backendAt: number, tabletAt = 0): ReplicaId {
    return id<ReplicaId>(10_000 + tabletAt * 100 + backendAt + 1);
  }

  async load(rows: number, at = 0): Promise<boolean> {
    return (await this.finish(this.#load(rows, at))) ?? false;
  }

  /** A load that nobody waits for. */
  startLoad(rows: number, at: number): void {
    void this.#load(rows, at);
  }

  async #load(rows: number, at: number): Promise<boolean> {
    this.#loads += 1;
    const names = Array.from({ length: rows }, (_, row) => `t${at}l${this.#loads}r${row}`);
    return await this.server.load(this.tabletId(at), names);
  }

  async #makeTablet(at: number): Promise<void> {
    const tabletId = this.tabletId(at);
    const partitionId = id<ModelTablet['partitionId']>(2000 + at);
    const replicas = this.backends.map(({ backendId }, place) => ({
      replicaId: this.replicaId(place, at),
      backendId,
    }));
    this.journal.tablets.set(tabletId, {
      tabletId,
      partitionId,
      replicas,
      visibleVersion: 1,
      isDropped: false,
    });
    this.history.tablets.add(tabletId);
    for (const [place, backend] of this.backends.entries()) {
      const replica = {
        tabletId,
        replicaId: this.replicaId(place, at),
        tableId: 3000,
        partitionId,
        indexId: 4000,
        policyId: POLICY,
      };
      await backend.handle('createReplicas', { replicas: [replica] });
    }
  }

  async #deletePrefix(process: SimProcess, prefix: string): Promise<void> {
    const { bucket, time, latencyMs } = this;
    const view = new BucketView({
      bucket,
      time,
      process,
      actor: { name: process.name, disk: undefined },
      random: new SeededRandom(1),
      retries: 1,
      latencyMs,
      fate: () => 'ok',
      note: () => undefined,
    });
    for await (const page of view.list(prefix)) await view.delete(page.map(({ key }) => key));
  }
}
