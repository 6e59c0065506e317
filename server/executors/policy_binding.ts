/**
 * The property "storage_policy" of tables and partitions. Only replicated tables have data to cool,
 * so that a policy is checked and then refused so far; taking it away works on every table.
 */
import { SqlError } from '../../base/errors.ts';
import type { StoragePolicyDef, TableDef } from '../../base/schema.ts';
import { timeText } from '../../base/units.ts';
import type { CreateTable, Properties } from '../../parser/statement.ts';
import { unknownProperty } from '../../parser/properties.ts';
import type { ExecContext } from './executor.ts';

const STORAGE_POLICY = 'storage_policy';

/**
 * undefined: there is no such property; an empty text takes the policy away. Throws
 * DUPLICATE_PROPERTY.
 */
export function policyNamed(properties: Properties): string | undefined {
  const [policy, twin] = properties.filter(({ key }) => key === STORAGE_POLICY);
  if (twin !== undefined) throw new SqlError('DUPLICATE_PROPERTY', { name: STORAGE_POLICY });
  return policy?.value;
}

export function withoutPolicy(properties: Properties): Properties {
  return properties.filter(({ key }) => key !== STORAGE_POLICY);
}

/**
 * Throws UNKNOWN_POLICY, POLICY_DEFAULT_UNSET, POLICY_MERGE_ON_WRITE, whether the table or one of
 * its partitions has the policy; NOT_SUPPORTED when one has it.
 */
export async function checkPolicies(statement: CreateTable, context: ExecContext): Promise<void> {
  const partitions = statement.partitioning?.partitions ?? [];
  const lists = [statement.properties, ...partitions.map((partition) => partition.properties)];
  const names = new Set(lists.flatMap((list) => policyNamed(list) ?? []));
  for (const name of names) {
    if (name === '') continue;
    await context.services.catalog.storagePolicies.get(name);
    if (isMergeOnWrite(statement)) throw new SqlError('POLICY_MERGE_ON_WRITE', { name });
  }
  for (const name of names) if (name !== '') throw notYet();
}

/** Doris's default for unique keys. */
function isMergeOnWrite({ keys, properties }: CreateTable): boolean {
  const asked = properties.find(({ key }) => key === 'enable_unique_key_merge_on_write');
  return keys?.type === 'UNIQUE' && asked?.value.toLowerCase() !== 'false';
}

/** Of ADD PARTITION. Throws as `checkPolicies` does. */
export async function checkPartitionPolicy(
  properties: Properties,
  { services }: ExecContext,
): Promise<void> {
  const name = policyNamed(properties) ?? '';
  if (name === '') return;
  await services.catalog.storagePolicies.get(name);
  throw notYet();
}

/** ALTER TABLE ... SET ("storage_policy" = ...): of all partitions, and those to come. */
export async function setTablePolicy(
  { tableId }: TableDef,
  name: string,
  { services }: ExecContext,
): Promise<void> {
  const { storagePolicies } = services.catalog;
  const policy = name === '' ? undefined : await storagePolicies.get(name);
  if (policy !== undefined) throw notYet();
  await storagePolicies.bind(tableId, 'table', policy);
}

/** ALTER TABLE ... MODIFY PARTITION ... SET (...). Throws POLICY_IS_DUE besides. */
export async function modifyPartitions(
  table: TableDef,
  asked: readonly string[] | 'all',
  properties: Properties,
  { services }: ExecContext,
): Promise<void> {
  const { storagePolicies } = services.catalog;
  const names = asked === 'all' ? table.partitions.map(({ name }) => name) : asked;
  const missing = names.find((name) => table.partitions.every((known) => known.name !== name));
  if (missing !== undefined) {
    throw new SqlError('UNKNOWN_PARTITION', { partition: missing, table: table.name });
  }
  const [other] = withoutPolicy(properties);
  if (other !== undefined) throw unknownProperty(other, [STORAGE_POLICY]);
  const value = policyNamed(properties) ?? '';
  const policy = value === '' ? undefined : await storagePolicies.get(value);
  if (policy !== undefined) {
    expectLater(policy, services.clock.now());
    throw notYet();
  }
  await storagePolicies.bind(table.tableId, names, policy);
}

/** A moment that has come would cool at once what somebody wanted to cool later. */
function expectLater({ cooldown }: StoragePolicyDef, nowMs: number): void {
  if (cooldown.kind !== 'datetime' || cooldown.atMs > nowMs) return;
  const text = (ms: number): string => timeText(ms).slice(0, 19);
  throw new SqlError('POLICY_IS_DUE', { due: text(cooldown.atMs), now: text(nowMs) });
}

function notYet(): SqlError {
  return new SqlError('NOT_SUPPORTED', {
    what: `replicated tables (property '${STORAGE_POLICY}')`,
  });
}
