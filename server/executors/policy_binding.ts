/**
 * The property "storage_policy" of tables and partitions. A table's policy is that of all its
 * partitions and wins over theirs; only replicated tables have data to cool.
 */
import { SqlError } from '../../base/errors.ts';
import type { StoragePolicyId } from '../../base/ids.ts';
import { type StoragePolicyDef, type TableDef, isReplicated } from '../../base/schema.ts';
import { timeText } from '../../base/units.ts';
import type { CreateTable, Properties } from '../../parser/statement.ts';
import { readProperties, unknownProperty } from '../../parser/properties.ts';
import { REPLICATION_KEYS } from '../table_replication.ts';
import type { ExecContext } from './executor.ts';
import { freedResources } from './policy_resources.ts';

const STORAGE_POLICY = 'storage_policy';
/**
 * "true" beside a partition's policy in CREATE TABLE: it counts although the table has another one.
 * Doris has no such property; there a table's policy wins, and so a CREATE TABLE that is shown could
 * not say what MODIFY PARTITION has done.
 */
const OWN_POLICY = 'own_storage_policy';
/** Properties of partitions. */
export const PARTITION_KEYS: readonly string[] = [STORAGE_POLICY, ...REPLICATION_KEYS];

/**
 * undefined: there is no such property; an empty text takes the policy away. Throws
 * DUPLICATE_PROPERTY.
 */
export function policyNamed(properties: Properties): string | undefined {
  const [policy, twin] = properties.filter(({ key }) => key === STORAGE_POLICY);
  if (twin !== undefined) throw new SqlError('DUPLICATE_PROPERTY', { name: STORAGE_POLICY });
  return policy?.value;
}

/** Throws BAD_PROPERTY, DUPLICATE_PROPERTY. */
function isOwnPolicy(properties: Properties): boolean {
  const own = properties.filter(({ key }) => key === OWN_POLICY);
  return readProperties(own, { [OWN_POLICY]: { kind: 'bool' } })[OWN_POLICY] === true;
}

/** Those of a partition in CREATE TABLE that are not about its policy. */
export function withoutCreatedPolicy(properties: Properties): Properties {
  return withoutPolicy(properties).filter(({ key }) => key !== OWN_POLICY);
}

export function withoutPolicy(properties: Properties): Properties {
  return properties.filter(({ key }) => key !== STORAGE_POLICY);
}

/** Throws POLICY_DISABLED, UNKNOWN_POLICY, POLICY_DEFAULT_UNSET. */
async function policyToGive(name: string, { services }: ExecContext): Promise<StoragePolicyDef> {
  if (!services.config.get('enable_storage_policy')) throw new SqlError('POLICY_DISABLED');
  return await services.catalog.storagePolicies.get(name);
}

export interface CreatedPolicies {
  /** Whether the table or a partition has one. */
  readonly any: boolean;
  readonly ofTable: StoragePolicyId | undefined;
  /** By the name of the partition. */
  readonly ofPartition: ReadonlyMap<string, StoragePolicyId>;
  /** Partitions whose policy counts, or that have none, whatever the table's is. */
  readonly own: ReadonlySet<string>;
}

/**
 * Of CREATE TABLE. Throws UNKNOWN_POLICY, POLICY_DEFAULT_UNSET, POLICY_MERGE_ON_WRITE, whether the
 * table or one of its partitions has the policy.
 */
export async function createdPolicies(
  statement: CreateTable,
  context: ExecContext,
): Promise<CreatedPolicies> {
  const find = async (properties: Properties): Promise<StoragePolicyId | undefined> => {
    const name = policyNamed(properties) ?? '';
    if (name === '') return undefined;
    const { policyId } = await policyToGive(name, context);
    if (isMergeOnWrite(statement)) throw new SqlError('POLICY_MERGE_ON_WRITE', { name });
    return policyId;
  };
  const ofTable = await find(statement.properties);
  const ofPartition = new Map<string, StoragePolicyId>();
  const own = new Set<string>();
  for (const { name, properties } of statement.partitioning?.partitions ?? []) {
    const policyId = await find(properties);
    if (policyId !== undefined) ofPartition.set(name, policyId);
    if (isOwnPolicy(properties)) own.add(name);
  }
  return { any: ofTable !== undefined || ofPartition.size > 0, ofTable, ofPartition, own };
}

/** Doris's default for unique keys. */
function isMergeOnWrite({ keys, properties }: CreateTable): boolean {
  const asked = properties.find(({ key }) => key === 'enable_unique_key_merge_on_write');
  return keys?.type === 'UNIQUE' && asked?.value.toLowerCase() !== 'false';
}

/**
 * Of ADD PARTITION: its own; the table's wins when the partition is there. Throws UNKNOWN_POLICY,
 * POLICY_DEFAULT_UNSET, NOT_SUPPORTED.
 */
export async function addedPolicy(
  table: TableDef,
  properties: Properties,
  context: ExecContext,
): Promise<StoragePolicyId | undefined> {
  const name = policyNamed(properties) ?? '';
  if (name === '') return undefined;
  const { policyId } = await policyToGive(name, context);
  expectReplicas(table);
  return policyId;
}

/**
 * ALTER TABLE ... SET ("storage_policy" = ...): of all partitions, and those to come. Throws
 * UNKNOWN_POLICY, POLICY_DEFAULT_UNSET, POLICY_OTHER_RESOURCE, NOT_SUPPORTED.
 */
export async function setTablePolicy(
  table: TableDef,
  name: string,
  context: ExecContext,
): Promise<void> {
  const { services } = context;
  const { storagePolicies } = services.catalog;
  const policy = name === '' ? undefined : await policyToGive(name, context);
  if (policy !== undefined) expectReplicas(table);
  const names = table.partitions.map((partition) => partition.name);
  const freed = await freedResources(table, names, policy, context);
  await storagePolicies.bind(table.tableId, 'table', policy, freed);
  await services.replicaUpkeep.policiesChanged(table.tableId);
}

/** ALTER TABLE ... MODIFY PARTITION ... SET (...). Throws POLICY_IS_DUE besides. */
export async function modifyPartitions(
  table: TableDef,
  asked: readonly string[] | 'all',
  properties: Properties,
  context: ExecContext,
): Promise<void> {
  const { services } = context;
  const { storagePolicies } = services.catalog;
  const names = asked === 'all' ? table.partitions.map(({ name }) => name) : asked;
  const missing = names.find((name) => table.partitions.every((known) => known.name !== name));
  if (missing !== undefined) {
    throw new SqlError('UNKNOWN_PARTITION', { partition: missing, table: table.name });
  }
  const [other] = withoutPolicy(properties);
  if (other !== undefined) throw unknownProperty(other, PARTITION_KEYS);
  const value = policyNamed(properties) ?? '';
  const policy = value === '' ? undefined : await policyToGive(value, context);
  if (policy !== undefined) {
    expectLater(policy, services.clock.now());
    expectReplicas(table);
  }
  // The only partition of a table that has none is the table: what it had would come back otherwise
  // with TRUNCATE, and with what SHOW CREATE TABLE says.
  const target = table.partitionKind === 'NONE' ? 'table' : names;
  const freed = await freedResources(table, names, policy, context);
  await storagePolicies.bind(table.tableId, target, policy, freed);
  await services.replicaUpkeep.policiesChanged(table.tableId);
}

/** A moment that has come would cool at once what somebody wanted to cool later. */
function expectLater({ cooldown }: StoragePolicyDef, nowMs: number): void {
  if (cooldown.kind !== 'datetime' || cooldown.atMs > nowMs) return;
  const text = (ms: number): string => timeText(ms).slice(0, 19);
  throw new SqlError('POLICY_IS_DUE', { due: text(cooldown.atMs), now: text(nowMs) });
}

/** What is shared lies in its vault already. */
function expectReplicas(table: TableDef): void {
  if (isReplicated(table)) return;
  const what = `property '${STORAGE_POLICY}' of a shared table, whose data lies in a vault`;
  throw new SqlError('NOT_SUPPORTED', { what }, { hint: 'create it with "replication_num"' });
}
