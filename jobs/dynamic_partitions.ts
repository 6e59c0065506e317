/**
 * Makes and drops the partitions of tables with `dynamic_partition.*` properties, as time goes by.
 * Which there should be: `base/dynamic_partition.ts`.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import {
  type DynamicPartition,
  type PlannedRange,
  dynamicPartitionOf,
  planPartitions,
} from '../base/dynamic_partition.ts';
import type { TableId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import { type ColumnDef, type TableDef, isReplicated } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { retryStale } from '../catalog/stale_row.ts';
import type { NewPartition } from '../catalog/table_changes.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { Periodic } from './periodic.ts';
import { replicaMaker } from './replica_maker.ts';

/** Milliseconds from the start to the first round: backends come up meanwhile. */
const FIRST_ROUND_MS = 2000;
/** Longest pause after a round in which a table failed. */
const AFTER_FAILURE_MS = 30_000;

export interface DynamicPartitionsDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

/** What became of a table, since this server started; for SHOW DYNAMIC PARTITION TABLES. */
export interface DynamicPartitionStatus {
  /** Wall clock, milliseconds: of the last look at it, and of the last change. */
  readonly lookedMs: number;
  readonly changedMs: number | undefined;
  /** Why the last attempt did not succeed. */
  readonly createError: string | undefined;
  readonly dropError: string | undefined;
}

export class DynamicPartitions {
  readonly #deps: DynamicPartitionsDeps;
  readonly #rounds: Periodic;
  readonly #statuses = new Map<TableId, DynamicPartitionStatus>();
  #hasBegun = false;
  #hasFailed = false;

  constructor(deps: DynamicPartitionsDeps) {
    this.#deps = deps;
    this.#rounds = new Periodic({
      ...deps,
      what: 'looking at dynamic partitions',
      pauseMs: () => this.#pauseMs(),
      round: async () => {
        if (deps.config.get('dynamic_partition_enable')) await this.round();
      },
    });
  }

  start(): void {
    this.#rounds.start();
  }

  async close(): Promise<void> {
    await this.#rounds.close();
  }

  statusOf(tableId: TableId): DynamicPartitionStatus | undefined {
    return this.#statuses.get(tableId);
  }

  /** Looks at all tables; what goes wrong with one is told by its status and the log. */
  async round(): Promise<void> {
    const { catalog, log } = this.#deps;
    this.#hasBegun = true;
    this.#hasFailed = false;
    const tableIds = await catalog.tables.withDynamicPartitions();
    const known = new Set(tableIds);
    for (const tableId of this.#statuses.keys()) {
      if (!known.has(tableId)) this.#statuses.delete(tableId);
    }
    for (const tableId of tableIds) {
      const { createError, dropError } = (await this.look(tableId)) ?? {};
      const error = createError ?? dropError;
      if (error === undefined) continue;
      this.#hasFailed = true;
      log.warn('dynamic partitions of a table could not be brought up to date', { tableId, error });
    }
  }

  /** Looks at one table now; undefined when it has no such partitions or they are switched off. */
  async look(tableId: TableId): Promise<DynamicPartitionStatus | undefined> {
    const rule = ruleOf(await this.#deps.catalog.tables.byId(tableId));
    if (rule?.enabled !== true) return undefined;
    const before = this.#statuses.get(tableId);
    let changedMs = before?.changedMs;
    const attempt = async (
      change: (table: TableDef) => Promise<boolean>,
    ): Promise<string | undefined> => {
      try {
        await retryStale(async () => {
          const table = await this.#deps.catalog.tables.byId(tableId);
          if (table !== undefined && (await change(table))) changedMs = this.#deps.clock.now();
        });
        return undefined;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    const createError = await attempt(async (table) => await this.#add(table));
    const dropError = await attempt(async (table) => await this.#drop(table));
    const status = { lookedMs: this.#deps.clock.now(), changedMs, createError, dropError };
    this.#statuses.set(tableId, status);
    return status;
  }

  async #add(table: TableDef): Promise<boolean> {
    const { catalog, clock } = this.#deps;
    const [rule, column] = [ruleOf(table), columnOf(table)];
    if (rule === undefined || column === undefined) return false;
    const { added } = planPartitions(rule, column, table.partitions, clock.now());
    if (added.length === 0) return false;
    const partitions = await dynamicPartitions(added, rule, table, catalog);
    const maker = isReplicated(table)
      ? await replicaMaker(this.#deps, table.replication.computeGroupId)
      : undefined;
    await catalog.tableChanges.addPartitions(table, partitions, maker);
    return true;
  }

  async #drop(table: TableDef): Promise<boolean> {
    const { catalog, clock, log } = this.#deps;
    const [rule, column] = [ruleOf(table), columnOf(table)];
    if (rule === undefined || column === undefined) return false;
    const { dropped } = planPartitions(rule, column, table.partitions, clock.now());
    const name = `${table.databaseName}.${table.name}`;
    for (const partition of dropped) {
      await catalog.tables.dropPartition(table.tableId, partition);
      log.info('a partition is older than its table keeps them and is dropped', {
        table: name,
        partition,
      });
    }
    return dropped.length > 0;
  }

  #pauseMs(): number {
    if (!this.#hasBegun) return FIRST_ROUND_MS;
    const pauseMs = this.#deps.config.get('dynamic_partition_check_interval_seconds') * 1000;
    return this.#hasFailed ? Math.min(pauseMs, AFTER_FAILURE_MS) : pauseMs;
  }
}

/** The planned ones with what the rule and the table say of partitions. Throws UNKNOWN_POLICY. */
export async function dynamicPartitions(
  planned: readonly PlannedRange[],
  rule: DynamicPartition,
  table: Pick<TableDef, 'buckets' | 'replication'>,
  catalog: Pick<Catalog, 'storagePolicies'>,
): Promise<NewPartition[]> {
  const policy =
    rule.storagePolicy === undefined || rule.storagePolicy === ''
      ? undefined
      : await catalog.storagePolicies.get(rule.storagePolicy);
  const { replication } = table;
  return planned.map(({ name, lower, upper }) => ({
    name,
    values: { kind: 'RANGE', lower, upper },
    buckets: rule.buckets ?? table.buckets,
    storagePolicyId: policy?.policyId,
    replicationNum:
      replication === undefined ? undefined : (rule.replicationNum ?? replication.replicationNum),
  }));
}

function ruleOf(table: TableDef | undefined): DynamicPartition | undefined {
  return table === undefined ? undefined : dynamicPartitionOf(table.properties);
}

/** The column that the partitions are ranges of. */
function columnOf({ partitionKind, partitionColumns, columns }: TableDef): ColumnDef | undefined {
  const [name, more] = partitionColumns;
  if (partitionKind !== 'RANGE' || more !== undefined) return undefined;
  return columns.find((column) => column.name === name);
}
