/**
 * A small world for compactions: a real catalog and garbage collector, and backends that merge
 * rowsets by adding up their numbers, when the test lets them.
 */
import type { AgentTransport, CompactReply, CompactRequest } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, TabletId } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { RowsetMeta, TableDef } from '../../base/schema.ts';
import { systemRandom } from '../../base/system_ports.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { CompactionScheduler } from '../../jobs/compaction.ts';
import { GarbageCollector } from '../../jobs/garbage_collector.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { COUNTS, CatalogFixture, beginLoad, rowsetsFor } from '../catalog/fixture.ts';
import { ManualClock } from '../manual_clock.ts';
import { heartbeatOf } from './heartbeat.ts';

export interface HeldCompaction {
  readonly backendId: BackendId;
  readonly request: CompactRequest;
  /** Ends it: with the merged rowset, or with an error. */
  end(error?: Error): void;
}

export class CompactionWorld {
  readonly fixture = new CatalogFixture();
  readonly clock = new ManualClock();
  /** A backend stays alive without heartbeats for as long as a test takes. */
  readonly config = new Config({
    max_backend_heartbeat_failure_tolerance_count: '100',
    cumulative_compaction_quiet_second: '0',
  });
  readonly holds = new SnapshotHolds();
  readonly requests: CompactRequest[] = [];
  readonly held: HeldCompaction[] = [];
  readonly deleted: string[] = [];
  readonly dropped: string[] = [];
  /** Compactions wait in `held` instead of ending at once. */
  isHolding = false;
  catalog!: Catalog;
  registry!: BackendRegistry;
  compactions!: CompactionScheduler;
  garbage!: GarbageCollector;
  #salt = 0;

  static async create(): Promise<CompactionWorld> {
    const world = new CompactionWorld();
    await world.#open();
    for (const name of ['writers', 'readers']) {
      await world.catalog.computeGroups.create(name);
      const place = { kind: 'embedded', host: '127.0.0.1', httpPort: 0 } as const;
      await world.catalog.backends.create({ computeGroupName: name, ...place });
      await world.catalog.backends.create({ computeGroupName: name, ...place });
    }
    await world.heartbeats();
    await world.compactions.start();
    return world;
  }

  /** The server dies while this and that runs, and starts again. */
  async restart(): Promise<void> {
    await this.compactions.close();
    await this.fixture.close(this.catalog);
    await this.#open();
    await this.heartbeats();
    await this.compactions.start();
  }

  async remove(): Promise<void> {
    await this.compactions.close();
    await this.garbage.close();
    await this.fixture.remove();
  }

  async heartbeats(groups: readonly string[] = ['writers', 'readers']): Promise<void> {
    for (const { backendId, computeGroupName } of await this.catalog.backends.list()) {
      this.registry.forget(backendId);
      if (!groups.includes(computeGroupName)) continue;
      this.registry.heartbeat(heartbeatOf(backendId));
    }
  }

  async membersOf(group: string): Promise<BackendId[]> {
    const all = await this.catalog.backends.list();
    return all
      .filter(({ computeGroupName }) => computeGroupName === group)
      .map(({ backendId }) => backendId);
  }

  /** Loads one rowset of 100 bytes into each tablet, written by the first of the writers. */
  async load(table: TableDef, times: number, group = 'writers'): Promise<void> {
    const [writer] = await this.membersOf(group);
    for (let i = 0; i < times; i += 1) {
      this.#salt += 1;
      const txnId = await beginLoad(this.catalog, table, `label-${this.#salt}`);
      const rowsets = rowsetsFor(this.catalog, table, this.#salt);
      await this.catalog.commitLoad(txnId, rowsets, COUNTS, writer);
    }
  }

  async rowsets(tabletId: TabletId): Promise<readonly RowsetMeta[]> {
    return (await this.catalog.rowsets.visible([tabletId])).get(tabletId) ?? [];
  }

  /** Moves time on by `ms` in small steps, letting everything go on in between. */
  async pass(ms = 1000): Promise<void> {
    for (let at = 0; at < ms; at += 100) {
      this.clock.advance(100);
      await this.settle();
    }
  }

  async settle(): Promise<void> {
    for (let round = 0; round < 30; round += 1) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  async #open(): Promise<void> {
    this.catalog = await this.fixture.open();
    this.registry = new BackendRegistry(this.clock, this.config);
    const { catalog, registry, holds, config, clock } = this;
    const transport = this.#transport();
    const log = SILENT_LOG;
    const shared = { catalog, transport, registry, holds, config, clock, log };
    this.compactions = new CompactionScheduler({ ...shared, random: systemRandom });
    this.garbage = new GarbageCollector(shared);
  }

  #transport(): AgentTransport {
    return {
      call: async (backendId, name, request, { signal }) => {
        await Promise.resolve();
        if (name === 'compact') {
          return await this.#compact(backendId, request as CompactRequest, signal);
        }
        const { prefixes } = request as { readonly prefixes: readonly string[] };
        if (name === 'deleteObjects') this.deleted.push(...prefixes);
        if (name === 'dropCached') this.dropped.push(...prefixes);
        return {};
      },
    };
  }

  async #compact(
    backendId: BackendId,
    request: CompactRequest,
    signal: AbortSignal | undefined,
  ): Promise<CompactReply> {
    this.requests.push(request);
    if (!this.isHolding) return mergedOf(request);
    const { promise, resolve, reject } = Promise.withResolvers<CompactReply>();
    signal?.addEventListener('abort', () => {
      reject(new SqlError('QUERY_INTERRUPTED'));
    });
    this.held.push({
      backendId,
      request,
      end: (error) => {
        if (error === undefined) resolve(mergedOf(request));
        else reject(error);
      },
    });
    return await promise;
  }
}

function mergedOf({ inputs, tabletId, partitionId, rowsetId }: CompactRequest): CompactReply {
  const rows = inputs.reduce((sum, input) => sum + input.rows, 0);
  const bytes = inputs.reduce((sum, input) => sum + input.bytes, 0);
  const segments = [{ segment: 0, bytes, rows, indexOffset: bytes - 20, crc32: 1 }];
  return { rowset: { rowsetId, tabletId, partitionId, rows, bytes, segments } };
}
