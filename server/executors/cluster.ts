/** Compute groups and backends. */
import { SqlError } from '../../base/errors.ts';
import type { BackendId, TabletId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type { BackendDef, ComputeGroupDef } from '../../base/schema.ts';
import { OK, type StatementResult } from '../../base/values.ts';
import { isComplete } from '../../catalog/replicas.ts';
import type { BackendRef, NewBackend, Properties } from '../../parser/statement.ts';
import { readProperties } from '../../parser/properties.ts';
import type { BackendControl } from '../backend_control.ts';
import type { Services } from '../services.ts';
import { type ExecContext, type Executor, computeGroupOf } from './executor.ts';

export const createComputeGroup: Executor<'CreateComputeGroup'> = async (statement, context) => {
  const { catalog } = context.services;
  readProperties(statement.properties, {});
  const known = await catalog.computeGroups.find(statement.name);
  if (known !== undefined && statement.ifNotExists) {
    const message = `Compute group ${statement.name} already exists`;
    context.session.warn({ level: 'Note', code: 1105, message });
    return OK;
  }
  await catalog.computeGroups.create(statement.name);
  return OK;
};

export const dropComputeGroup: Executor<'DropComputeGroup'> = async (statement, context) => {
  const { catalog, backends, warmUps } = context.services;
  const { name, ifExists, force } = statement;
  const group = await catalog.computeGroups.find(name);
  if (group === undefined && ifExists) {
    const message = `Compute group ${name} does not exist`;
    context.session.warn({ level: 'Note', code: 1105, message });
    return OK;
  }
  if (group !== undefined) await expectNoReplicas(context.services, group);
  if (group !== undefined && force) {
    for (const backend of await catalog.backends.ofGroup(group.computeGroupId)) {
      await backends.drop(backend);
    }
  }
  await catalog.computeGroups.drop(name);
  await warmUps.groupDropped(name);
  return OK;
};

/** Also with FORCE: nobody could read these tables any more. Throws COMPUTE_GROUP_HOLDS. */
async function expectNoReplicas(
  { catalog }: Services,
  { computeGroupId, name }: ComputeGroupDef,
): Promise<void> {
  for (const { tableId } of await catalog.tables.list()) {
    const table = await catalog.tables.byId(tableId);
    if (table?.replication?.computeGroupId !== computeGroupId) continue;
    const { databaseName, name: tableName } = table;
    throw new SqlError('COMPUTE_GROUP_HOLDS', { name, table: `${databaseName}.${tableName}` });
  }
}

/** What Doris has besides: warming the tablets that move to another backend. */
const OTHER_BALANCE_TYPES = ['async_warmup', 'sync_warmup', 'peer_read_async_warmup'];

/** There is one way to move tablets, and scripts that ask for just that one may go on. */
export const alterComputeGroup: Executor<'AlterComputeGroup'> = async (statement, { services }) => {
  await services.catalog.computeGroups.get(statement.name);
  const choices = ['without_warmup', ...OTHER_BALANCE_TYPES];
  const { balance_type: type = 'without_warmup' } = readProperties(statement.properties, {
    balance_type: { kind: 'choice', choices },
  });
  if (type === 'without_warmup') return OK;
  throw new SqlError('NOT_SUPPORTED', { what: `balance_type=${type}; there is without_warmup` });
};

export const renameComputeGroup: Executor<'RenameComputeGroup'> = async (statement, context) => {
  const { catalog, warmUps } = context.services;
  await catalog.computeGroups.rename(statement.name, statement.newName);
  if (context.session.computeGroup === statement.name) {
    context.session.computeGroup = statement.newName;
  }
  warmUps.groupRenamed();
  return OK;
};

export const addBackend: Executor<'AddBackend'> = async (statement, context) => {
  const { services } = context;
  const group = await targetGroup(statement.computeGroup, statement.properties, context);
  const added: BackendDef[] = [];
  try {
    for (const backend of statement.backends) {
      added.push(await addOne(services.backends, group, backend));
    }
  } catch (error) {
    // All of them or none.
    for (const backend of added) await services.backends.drop(backend);
    throw error;
  }
  return OK;
};

/** `"embedded"`, `"embedded:port"`, or the address at which a process of its own will listen. */
async function addOne(
  backends: BackendControl,
  group: string,
  backend: NewBackend,
): Promise<BackendDef> {
  if (backend.kind === 'embedded') return await backends.add(group, 0);
  if (backend.host === 'embedded') return await backends.add(group, backend.port);
  return await backends.addRemote(group, backend.host, backend.port);
}

/** `TO COMPUTE GROUP g`, or Doris's property; else the session's group. */
async function targetGroup(
  named: string | undefined,
  properties: Properties,
  context: ExecContext,
): Promise<string> {
  const values = readProperties(properties, { 'tag.compute_group_name': { kind: 'text' } });
  const group = named ?? values['tag.compute_group_name'] ?? (await computeGroupOf(context));
  return (await context.services.catalog.computeGroups.get(group)).name;
}

export const dropBackend: Executor<'DropBackend'> = async (statement, { services }) => {
  const found = await findAll(services, statement.backends);
  if (!statement.force) await expectNotNeeded(services, found);
  for (const backend of found) await services.backends.drop(backend);
  for (const { backendId } of found) services.replicaRepair.noteBackend(backendId);
  return OK;
};

/** Throws BACKEND_STATE when it has the only complete replica of a tablet. */
async function expectNotNeeded(
  { catalog }: Services,
  leaving: readonly BackendDef[],
): Promise<void> {
  const staying = new Set((await catalog.backends.list()).map(({ backendId }) => backendId));
  for (const { backendId } of leaving) staying.delete(backendId);
  for (const { backendId } of leaving) {
    for (const { tabletId, state } of catalog.replicas.ofBackend(backendId)) {
      if (state === 'DROPPING' || catalog.tablets.get(tabletId) === undefined) continue;
      const others = catalog.replicas.ofTablet(tabletId);
      if (others.some((one) => staying.has(one.backendId) && isComplete(one))) continue;
      const what = `no other has a complete replica of tablet ${tabletId}`;
      const hint = 'DECOMMISSION moves its replicas away first; DROPP drops it all the same';
      throw new SqlError('BACKEND_STATE', { name: backendId, state: 'needed', what }, { hint });
    }
  }
}

export const stopBackend: Executor<'StopBackend'> = async ({ backend }, { services }) => {
  await services.backends.stop(await findBackend(services, backend));
  return OK;
};

export const startBackend: Executor<'StartBackend'> = async ({ backend }, { services }) => {
  await services.backends.start(await findBackend(services, backend));
  services.warmUps.wake();
  return OK;
};

export const killBackend: Executor<'KillBackend'> = async ({ backend }, { services }) => {
  await services.backends.kill(await findBackend(services, backend));
  return OK;
};

/**
 * Shared tables have no data on a backend: without replicas it goes at once. Else its replicas are
 * moved (`ReplicaRepair`), and then it goes. Throws REPLICA_NO_ROOM when those that stay are too few.
 */
export const decommissionBackend: Executor<'DecommissionBackend'> = async (
  statement,
  { services },
): Promise<StatementResult> => {
  const { backends, catalog, replicaRepair } = services;
  const found = await findAll(services, statement.backends);
  const leaving = found.filter(({ backendId }) => catalog.replicas.countOf(backendId) > 0);
  await expectRoom(services, leaving);
  for (const backend of found) {
    const { backendId } = backend;
    if (!leaving.includes(backend)) await backends.drop(backend);
    else await catalog.backends.setAdminState(backendId, 'DECOMMISSIONED');
    replicaRepair.noteBackend(backendId);
  }
  return OK;
};

async function expectRoom({ catalog }: Services, leaving: readonly BackendDef[]): Promise<void> {
  for (const { backendId, computeGroupId, computeGroupName: group } of leaving) {
    const members = await catalog.backends.ofGroup(computeGroupId);
    const enabled = members.filter(
      (one) =>
        one.adminState === 'ENABLED' && !leaving.some((it) => it.backendId === one.backendId),
    ).length;
    for (const { tabletId } of catalog.replicas.ofBackend(backendId)) {
      const wanted = await wantedReplicas(catalog, tabletId);
      if (wanted > enabled) throw new SqlError('REPLICA_NO_ROOM', { wanted, group, enabled });
    }
  }
}

async function wantedReplicas(catalog: Services['catalog'], tabletId: TabletId): Promise<number> {
  const tablet = catalog.tablets.get(tabletId);
  const table = tablet === undefined ? undefined : await catalog.tables.byId(tablet.tableId);
  const partition = table?.partitions.find((one) => one.partitionId === tablet?.partitionId);
  return partition?.replicationNum ?? table?.replication?.replicationNum ?? 0;
}

/** Replicas that were to go stay, as far as others have not taken their places. */
export const cancelDecommission: Executor<'CancelDecommission'> = async (
  statement,
  { services },
) => {
  const { catalog, replicaRepair } = services;
  const found = await findAll(services, statement.backends);
  const other = found.find(({ adminState }) => adminState !== 'DECOMMISSIONED');
  if (other !== undefined) {
    const { backendId: name, adminState } = other;
    const state = adminState.toLowerCase();
    throw new SqlError('BACKEND_STATE', { name, state, what: 'it is not being decommissioned' });
  }
  for (const { backendId } of found) {
    await catalog.backends.setAdminState(backendId, 'ENABLED');
    replicaRepair.noteBackend(backendId);
  }
  return OK;
};

/** All of them, or an error before anything happened. */
async function findAll(services: Services, refs: readonly BackendRef[]): Promise<BackendDef[]> {
  return await Promise.all(refs.map(async (ref) => await findBackend(services, ref)));
}

async function findBackend({ catalog }: Services, ref: BackendRef): Promise<BackendDef> {
  if (ref.kind === 'id') return await catalog.backends.get(id<BackendId>(ref.id));
  const found = await catalog.backends.findByAddress(ref.host, ref.port);
  if (found === undefined) {
    throw new SqlError('UNKNOWN_BACKEND', { name: `${ref.host}:${ref.port}` });
  }
  return found;
}
