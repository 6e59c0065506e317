/**
 * The properties that make a table replicated, of tables and of partitions: how many replicas and
 * on which compute group's backends. Doris's `replication_allocation` says both in one.
 */
import { SqlError } from '../base/errors.ts';
import type { ComputeGroupDef, Replication, TableDef } from '../base/schema.ts';
import { REPLICATION_NUM_MAX, isReplicated } from '../base/schema.ts';
import { badProperty, readProperties } from '../parser/properties.ts';
import type { Properties } from '../parser/statement.ts';
import { defaultGroup } from './access/default_group.ts';
import { type ExecContext, rightsOf } from './executors/executor.ts';
import type { Services } from './services.ts';

type Property = Properties[number];

/** What Doris gives a table that does not say. */
const REPLICATION_NUM_DEFAULT = 3;

const NUM = 'replication_num';
const ALLOCATION = 'replication_allocation';
const GROUP = 'resource_group';
/** In the order in which errors tell them. */
export const REPLICATION_KEYS: readonly string[] = [NUM, ALLOCATION, GROUP];
const KEYS: ReadonlySet<string> = new Set(REPLICATION_KEYS);

/** `tag.location.<tag>: n`; the tag `default` is the group that would be taken anyway. */
const ALLOCATED = /^\s*tag\.location\.([^\s:,]+)\s*:\s*(\d{1,9})\s*$/;
const ALLOCATED_TEXT = '"tag.location.<compute group>: <number>"';
const DEFAULT_TAG = 'default';

const COUNT = { kind: 'int', min: 1, max: REPLICATION_NUM_MAX } as const;

/** What a list of properties says; undefined where it says nothing. */
interface Asked {
  readonly num: number | undefined;
  readonly group: string | undefined;
}

export function isReplicationKey({ key }: Property): boolean {
  return KEYS.has(key);
}

export function withoutReplication(properties: Properties): Properties {
  return properties.filter((property) => !isReplicationKey(property));
}

/** Doris's prefix for what counts for partitions to come only. */
const DEFAULT_PREFIX = 'default.';

function isDefaultKey({ key }: Property): boolean {
  return key.startsWith(DEFAULT_PREFIX) && KEYS.has(key.slice(DEFAULT_PREFIX.length));
}

/** Of ALTER TABLE ... SET: `default.replication_num` and the like, without their prefix. */
export function replicationDefaults(properties: Properties): Properties {
  return properties
    .filter(isDefaultKey)
    .map((property) => ({ ...property, key: property.key.slice(DEFAULT_PREFIX.length) }));
}

export function withoutDefaults(properties: Properties): Properties {
  return properties.filter((property) => !isDefaultKey(property));
}

/** Throws BAD_PROPERTY, DUPLICATE_PROPERTY. */
function readAsked(properties: Properties): Asked {
  const own = properties.filter(isReplicationKey);
  const values = readProperties(own, {
    [NUM]: COUNT,
    [ALLOCATION]: { kind: 'text' },
    [GROUP]: { kind: 'text' },
  });
  const allocation = own.find(({ key }) => key === ALLOCATION);
  if (allocation === undefined) return { num: values[NUM], group: values[GROUP] };
  const { tag, num } = readAllocation(allocation);
  const twice = (given: Property | undefined, is: boolean): void => {
    if (given !== undefined && !is) throw badProperty(given, `what ${ALLOCATION} says, or nothing`);
  };
  twice(
    own.find(({ key }) => key === NUM),
    values[NUM] === num,
  );
  const group = tag === DEFAULT_TAG ? values[GROUP] : tag;
  twice(
    own.find(({ key }) => key === GROUP),
    values[GROUP] === group,
  );
  return { num, group };
}

/** Of `replication_allocation`, by whatever name. Throws BAD_PROPERTY. */
export function readAllocation(property: Property): { readonly tag: string; readonly num: number } {
  const [, tag, digits] = ALLOCATED.exec(property.value) ?? [];
  const num = Number(digits);
  if (tag === undefined || num < COUNT.min || num > COUNT.max) {
    throw badProperty(property, `${ALLOCATED_TEXT}, one compute group`);
  }
  return { tag, num };
}

/**
 * undefined: the table is shared, because it says nothing of replicas or of cooling. Throws
 * BAD_PROPERTY, DUPLICATE_PROPERTY, UNKNOWN_COMPUTE_GROUP, PRIVILEGE_NEEDED.
 */
export async function readReplication(
  properties: Properties,
  hasPolicy: boolean,
  context: ExecContext,
): Promise<Replication | undefined> {
  if (!hasPolicy && !properties.some(isReplicationKey)) return undefined;
  const { num, group: name } = readAsked(properties);
  const { services } = context;
  const { computeGroupId } = await usableGroup(name, context);
  if (num !== undefined) return { replicationNum: num, computeGroupId };
  const backends = await services.catalog.backends.ofGroup(computeGroupId);
  const enabled = backends.filter(({ adminState }) => adminState === 'ENABLED').length;
  const replicationNum = Math.max(1, Math.min(REPLICATION_NUM_DEFAULT, enabled));
  return { replicationNum, computeGroupId };
}

/** The group named, which the user may use, or his first one. */
async function usableGroup(
  name: string | undefined,
  context: ExecContext,
): Promise<ComputeGroupDef> {
  const { computeGroups } = context.services.catalog;
  const rights = rightsOf(context);
  if (name !== undefined) {
    const group = await computeGroups.get(name);
    if (rights.mayUse('COMPUTE_GROUP', name)) return group;
    throw new SqlError('PRIVILEGE_NEEDED', { privilege: 'USAGE_PRIV' });
  }
  const first = defaultGroup(await computeGroups.list(), rights);
  if (first !== undefined) return await computeGroups.get(first);
  throw new SqlError('UNKNOWN_COMPUTE_GROUP', { name: '(default)', existing: 'none' });
}

/**
 * Replicas of a partition: what it says itself, else the table's number. Throws BAD_PROPERTY when it
 * names another group; NOT_SUPPORTED when the table is shared.
 */
export async function partitionReplicas(
  table: Pick<TableDef, 'replication'>,
  properties: Properties,
  services: Pick<Services, 'catalog'>,
): Promise<number | undefined> {
  const [first] = properties.filter(isReplicationKey);
  if (!isReplicated(table)) {
    if (first === undefined) return undefined;
    throw new SqlError('NOT_SUPPORTED', { what: `property '${first.key}' of a shared table` });
  }
  const { num, group } = readAsked(properties);
  if (group !== undefined && first !== undefined) {
    const { computeGroupId, name } = await services.catalog.computeGroups.get(group);
    if (computeGroupId !== table.replication.computeGroupId) {
      const what = `the compute group of the table, not '${name}': partitions are where it is`;
      throw badProperty(first, what);
    }
  }
  return num ?? table.replication.replicationNum;
}
