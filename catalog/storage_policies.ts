/** Storage policies: when data cools and where it goes, and which partitions have which. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { PartitionId, ResourceId, StoragePolicyId, TableId } from '../base/ids.ts';
import type { CooldownTime, StoragePolicyDef, TableDef } from '../base/schema.ts';
import { fromJson } from './json_text.ts';
import { checkName } from './names.ts';
import { rememberResource, resourcesOf } from './partition_resources.ts';
import type { CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { StaleRow, expectOne } from './stale_row.ts';
import type { TableCache } from './table_cache.ts';
import { alterTable, liveTable } from './tables.ts';

/**
 * The policy that is there from the beginning, without a resource until the first ALTER gives it
 * one: until then there is no row of it.
 */
export const DEFAULT_POLICY = 'default_storage_policy';

/** Partitions read at once by `usages`. */
const PARTITIONS_PER_PAGE = 5000;

/** A table that has a policy, or some of whose partitions have. */
export interface PolicyUsage {
  readonly policy: string;
  readonly database: string;
  readonly table: string;
  /** In the table's order; 'all' also of a table that has none yet. */
  readonly partitions: readonly string[] | 'all';
}

type PolicyRow = CatalogRows['storage_policy'] & { readonly resource_name: string };

/** Resources in which nothing of these partitions lies, as was found out about them. */
export interface FreedResources {
  /** The table's, before that was begun. */
  readonly tableVersion: number;
  readonly resources: readonly {
    readonly partitionId: PartitionId;
    readonly resourceId: ResourceId;
  }[];
}

export class StoragePolicyStore {
  readonly #session: Session;
  readonly #cache: TableCache;

  constructor(session: Session, cache: TableCache) {
    this.#session = session;
    this.#cache = cache;
  }

  /** By name. */
  async list(): Promise<StoragePolicyDef[]> {
    return (await this.#query().orderBy('storage_policy.name').execute()).map(toPolicy);
  }

  async find(name: string): Promise<StoragePolicyDef | undefined> {
    const row = await this.#query().where('storage_policy.name', '=', name).executeTakeFirst();
    return row === undefined ? undefined : toPolicy(row);
  }

  /** One that data can cool with. Throws UNKNOWN_POLICY, POLICY_DEFAULT_UNSET. */
  async get(name: string): Promise<StoragePolicyDef> {
    const policy = await this.find(name);
    if (policy !== undefined) return policy;
    throw name === DEFAULT_POLICY
      ? new SqlError('POLICY_DEFAULT_UNSET')
      : new SqlError('UNKNOWN_POLICY', { name });
  }

  /** Throws POLICY_EXISTS, POLICY_NO_RESOURCE, WRONG_NAME. */
  async create(name: string, resource: string, cooldown: CooldownTime): Promise<StoragePolicyDef> {
    checkName('storage policy', name);
    return await this.#session.write(async (tx) => {
      const store = new StoragePolicyStore(tx, this.#cache);
      if ((await store.find(name)) !== undefined) throw new SqlError('POLICY_EXISTS', { name });
      const found = await tx.db
        .selectFrom('resource')
        .select('resource_id')
        .where('name', '=', resource)
        .executeTakeFirst();
      if (found === undefined) throw new SqlError('POLICY_NO_RESOURCE', { name: resource });
      const row = {
        policy_id: tx.ids.next<StoragePolicyId>(),
        name,
        version: 0,
        resource_id: found.resource_id,
        ...cooldownColumns(cooldown),
        created_ms: tx.clock.now(),
      };
      await tx.db.insertInto('storage_policy').values(row).execute();
      return toPolicy({ ...row, resource_name: resource });
    });
  }

  /** `StaleRow` when it was changed since `before` was read. */
  async alter(before: StoragePolicyDef, cooldown: CooldownTime): Promise<void> {
    await this.#session.write(async (tx) => {
      const { numUpdatedRows } = await tx.db
        .updateTable('storage_policy')
        .set({ ...cooldownColumns(cooldown), version: before.version + 1 })
        .where('policy_id', '=', before.policyId)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(numUpdatedRows, `storage policy ${before.name}`);
    });
  }

  /** The one that was dropped. Throws UNKNOWN_POLICY; POLICY_IN_USE while a table or a partition has it. */
  async drop(name: string): Promise<StoragePolicyId> {
    return await this.#session.write(async (tx) => {
      const policy = await new StoragePolicyStore(tx, this.#cache).find(name);
      if (policy === undefined) throw new SqlError('UNKNOWN_POLICY', { name });
      const table = userOf(tx, policy.policyId) ?? futureUserOf(tx, name);
      if (table !== undefined) throw new SqlError('POLICY_IN_USE', { name, table });
      await tx.db.deleteFrom('storage_policy').where('policy_id', '=', policy.policyId).execute();
      return policy.policyId;
    });
  }

  /** Of one policy, or of all; by policy, database and table. Unknown policies have none. */
  async usages(policy?: string): Promise<PolicyUsage[]> {
    const names = new Map((await this.list()).map(({ policyId, name }) => [policyId, name]));
    const users = new Map<string, Map<number, string>>();
    const policyIds = [...names].flatMap(([policyId, name]) =>
      policy === undefined || policy === name ? [policyId] : [],
    );
    for (const policyId of policyIds) {
      for (const tableId of this.#tablesOf(policyId)) {
        users.set(`${policyId} ${tableId}`, new Map());
      }
      for (const { tableId, position, name } of this.#partitionsOf(policyId)) {
        const key = `${policyId} ${tableId}`;
        const partitions = users.get(key) ?? new Map<number, string>();
        users.set(key, partitions.set(position, name));
      }
    }
    const usages: PolicyUsage[] = [];
    for (const [key, partitions] of users) {
      const [policyId = 0, tableId = 0] = key.split(' ').map(Number);
      const usage = this.#usage(tableId, partitions);
      const policyName = names.get(id<StoragePolicyId>(policyId)) ?? '';
      if (usage !== undefined) usages.push({ policy: policyName, ...usage });
    }
    const order = ({ policy: by, database, table }: PolicyUsage): string =>
      [by, database, table].join('\0');
    return usages.toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  /**
   * Gives a table's partitions a policy, or takes it away with undefined. 'table' is all
   * partitions and those to come. Throws BAD_TABLE, UNKNOWN_PARTITION; UNKNOWN_POLICY when it was
   * dropped meanwhile; POLICY_OTHER_RESOURCE where another policy has data in another resource,
   * unless it is `freed`: `StaleRow` when the table was changed since that was found out.
   */
  async bind(
    tableId: TableId,
    target: 'table' | readonly string[],
    policy: StoragePolicyDef | undefined,
    freed?: FreedResources,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      if (freed !== undefined) forgetResources(tx, before, freed);
      const there = await tx.db
        .selectFrom('partition_def')
        .selectAll()
        .where('table_id', '=', tableId)
        .where('state', '=', 'NORMAL')
        .execute();
      const byName = new Map(there.map((row) => [row.name, row]));
      const wanted = target === 'table' ? [...byName.keys()] : target;
      const partitions = wanted.map((partition) => {
        const found = byName.get(partition);
        if (found !== undefined) return found;
        throw new SqlError('UNKNOWN_PARTITION', { partition, table: before.name });
      });
      if (policy !== undefined) {
        const bound = [before, ...there].map((row) => row.storage_policy_id);
        const parts = partitions.map((row) => row.storage_policy_id);
        await expectSameResource(tx, policy, target === 'table' ? bound : parts);
        for (const { partition_id: partitionId } of partitions) {
          expectCooledThere(tx, policy, partitionId);
          rememberResource(tx, id<PartitionId>(partitionId), policy.policyId);
        }
      }
      const policyId = policy?.policyId ?? null;
      const ofTable = target === 'table' ? policyId : before.storage_policy_id;
      await alterTable(tx, before, { storage_policy_id: ofTable });
      for (const { partition_id: partitionId } of partitions) {
        tx.bulk.run('UPDATE partition_def SET storage_policy_id = ? WHERE partition_id = ?', [
          policyId,
          partitionId,
        ]);
      }
      tx.onCommit(() => {
        this.#cache.forget(tableId);
      });
    });
  }

  /** Another number whenever the table was changed; undefined: it is gone. */
  tableVersion(tableId: TableId): number | undefined {
    const [row] = this.#session.bulk.all<[number]>(
      'SELECT version FROM table_def WHERE table_id = ?',
      [tableId],
    );
    return row?.[0];
  }

  /** All partitions that have a policy. */
  *boundPartitions(): Generator<PartitionId> {
    let last = 0;
    for (;;) {
      const rows = this.#session.bulk.all<[number]>(
        `SELECT partition_id FROM partition_def
         WHERE storage_policy_id IS NOT NULL AND partition_id > ? AND state = 'NORMAL'
         ORDER BY partition_id LIMIT ${PARTITIONS_PER_PAGE}`,
        [last],
      );
      for (const [partitionId] of rows) yield id<PartitionId>(partitionId);
      last = rows.at(-1)?.[0] ?? 0;
      if (rows.length < PARTITIONS_PER_PAGE) return;
    }
  }

  #query() {
    return this.#session.db
      .selectFrom('storage_policy')
      .innerJoin('resource', 'resource.resource_id', 'storage_policy.resource_id')
      .selectAll('storage_policy')
      .select('resource.name as resource_name');
  }

  #tablesOf(policyId: number): number[] {
    return this.#session.bulk
      .all<[number]>('SELECT table_id FROM table_def WHERE storage_policy_id = ?', [policyId])
      .map(([tableId]) => tableId);
  }

  *#partitionsOf(
    policyId: number,
  ): Generator<{ readonly tableId: number; readonly position: number; readonly name: string }> {
    let last = 0;
    for (;;) {
      const rows = this.#session.bulk.all<[number, number, number, string]>(
        `SELECT partition_id, table_id, position, name FROM partition_def
         WHERE storage_policy_id = ? AND partition_id > ? AND state = 'NORMAL'
         ORDER BY partition_id LIMIT ${PARTITIONS_PER_PAGE}`,
        [policyId, last],
      );
      for (const [, tableId, position, name] of rows) yield { tableId, position, name };
      last = rows.at(-1)?.[0] ?? 0;
      if (rows.length < PARTITIONS_PER_PAGE) return;
    }
  }

  /** undefined: the table is not there any more. */
  #usage(
    tableId: number,
    partitions: ReadonlyMap<number, string>,
  ): Omit<PolicyUsage, 'policy'> | undefined {
    const [row] = this.#session.bulk.all<[string, string, number]>(
      `SELECT database_def.name, table_def.name,
         (SELECT count(*) FROM partition_def
          WHERE partition_def.table_id = table_def.table_id AND partition_def.state = 'NORMAL')
       FROM table_def INNER JOIN database_def ON database_def.database_id = table_def.database_id
       WHERE table_def.table_id = ? AND table_def.state = 'NORMAL'`,
      [tableId],
    );
    if (row === undefined) return undefined;
    const [database, table, count] = row;
    const names = [...partitions].toSorted(([a], [b]) => a - b).map(([, name]) => name);
    return { database, table, partitions: names.length === count ? 'all' : names };
  }
}

/** A table that has the policy or a partition that has it; undefined: there is none. */
function userOf(tx: WriteSession, policyId: StoragePolicyId): string | undefined {
  const [row] = tx.bulk.all<[string]>(
    `SELECT table_def.name FROM table_def
     INNER JOIN database_def ON database_def.database_id = table_def.database_id
     WHERE table_def.state = 'NORMAL' AND (
       table_def.storage_policy_id = ? OR table_def.table_id IN (
         SELECT table_id FROM partition_def
         WHERE storage_policy_id = ? AND partition_def.state = 'NORMAL'))
     ORDER BY table_def.name LIMIT 1`,
    [policyId, policyId],
  );
  return row?.[0];
}

/** The property that gives a policy to partitions that are made by themselves. */
const FUTURE_POLICY = 'dynamic_partition.storage_policy';

/** A table whose partitions to come have the policy; undefined: there is none. */
function futureUserOf(tx: WriteSession, policy: string): string | undefined {
  const rows = tx.bulk.all<[string, string]>(
    `SELECT name, definition FROM table_def WHERE state = 'NORMAL' AND definition LIKE ?`,
    [`%"${FUTURE_POLICY}"%`],
  );
  const user = rows.find(([, definition]) => {
    const { properties } = fromJson<Pick<TableDef, 'properties'>>(definition);
    return properties[FUTURE_POLICY] === policy;
  });
  return user?.[0];
}

/** What is cooled already stays where it is, so it cannot be told to lie elsewhere. */
async function expectSameResource(
  tx: WriteSession,
  policy: StoragePolicyDef,
  bound: readonly (number | null)[],
): Promise<void> {
  const rows = await tx.db
    .selectFrom('storage_policy')
    .select(['policy_id', 'resource_id'])
    .execute();
  const resourceOf = new Map(rows.map((row) => [row.policy_id, row.resource_id]));
  const resource = resourceOf.get(policy.policyId);
  if (resource === undefined) throw new SqlError('UNKNOWN_POLICY', { name: policy.name });
  for (const policyId of bound) {
    if (policyId !== null && resourceOf.get(policyId) !== resource) {
      throw new SqlError('POLICY_OTHER_RESOURCE');
    }
  }
}

/** Nothing lies there: the way to it is not needed any more. */
function forgetResources(
  tx: WriteSession,
  table: { readonly table_id: number; readonly version: number },
  { tableVersion, resources }: FreedResources,
): void {
  if (table.version !== tableVersion) throw new StaleRow(`table ${table.table_id}`);
  for (const { partitionId, resourceId } of resources) {
    tx.bulk.run(
      `DELETE FROM partition_resource WHERE partition_id = ? AND resource_id = ?
         AND EXISTS (SELECT 1 FROM partition_def WHERE partition_def.partition_id = ?
           AND storage_policy_id IS NULL)`,
      [partitionId, resourceId, partitionId],
    );
  }
}

/** Data of a policy that was taken away lies where it lies, too. */
function expectCooledThere(
  tx: WriteSession,
  { resourceId }: StoragePolicyDef,
  partitionId: number,
): void {
  const isElsewhere = resourcesOf(tx, partitionId).some((other) => other !== resourceId);
  if (!isElsewhere) return;
  const hint = 'data of a policy that it had may lie in another resource';
  throw new SqlError('POLICY_OTHER_RESOURCE', {}, { hint });
}

function cooldownColumns(cooldown: CooldownTime): Pick<PolicyRow, 'cooldown_ms' | 'ttl_s'> {
  switch (cooldown.kind) {
    case 'datetime':
      return { cooldown_ms: cooldown.atMs, ttl_s: null };
    case 'ttl':
      return { cooldown_ms: null, ttl_s: cooldown.seconds };
  }
}

function toPolicy(row: PolicyRow): StoragePolicyDef {
  return {
    policyId: id<StoragePolicyId>(row.policy_id),
    name: row.name,
    version: row.version,
    resourceId: id<ResourceId>(row.resource_id),
    resourceName: row.resource_name,
    cooldown:
      row.cooldown_ms === null
        ? { kind: 'ttl', seconds: row.ttl_s ?? 0 }
        : { kind: 'datetime', atMs: row.cooldown_ms },
  };
}
