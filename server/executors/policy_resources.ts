/**
 * A policy of another resource than that of one which was taken away: allowed when nothing that the
 * old one has cooled is left, on any replica or in the bucket.
 */
import { SqlError } from '../../base/errors.ts';
import type { ResourceId } from '../../base/ids.ts';
import type { PartitionDef, StoragePolicyDef, TableDef } from '../../base/schema.ts';
import { bytesText } from '../../base/units.ts';
import type { FreedResources } from '../../catalog/storage_policies.ts';
import { type Leftovers, leftoversOf } from '../../jobs/cooldown_leftovers.ts';
import type { Services } from '../services.ts';
import type { ExecContext } from './executor.ts';

/**
 * Of the partitions that are named and have no policy; undefined: there is nothing to be forgotten.
 * Throws POLICY_OTHER_RESOURCE, which says what is left where.
 */
export async function freedResources(
  table: TableDef,
  names: readonly string[],
  policy: StoragePolicyDef | undefined,
  { services, signal }: ExecContext,
): Promise<FreedResources | undefined> {
  if (policy === undefined) return undefined;
  const { catalog } = services;
  const tableVersion = catalog.storagePolicies.tableVersion(table.tableId);
  if (tableVersion === undefined) return undefined;
  const resources: { partitionId: PartitionDef['partitionId']; resourceId: ResourceId }[] = [];
  for (const partition of table.partitions) {
    const { partitionId, name, storagePolicyId } = partition;
    if (storagePolicyId !== undefined || !names.includes(name)) continue;
    for (const resourceId of catalog.resources.ofPartition(partitionId)) {
      if (resourceId === policy.resourceId) continue;
      const left = await leftoversOf(services, partitionId, resourceId, signal);
      if (left !== undefined) throw await refusal(partition, resourceId, left, services);
      resources.push({ partitionId, resourceId });
    }
  }
  return resources.length === 0 ? undefined : { tableVersion, resources };
}

async function refusal(
  { name }: PartitionDef,
  resourceId: ResourceId,
  { tablets, rowsets, objects, objectBytes, unknown }: Leftovers,
  { catalog }: Services,
): Promise<SqlError> {
  const resource = (await catalog.resources.byId(resourceId))?.name ?? String(resourceId);
  const parts = [
    ...(rowsets + objects === 0
      ? []
      : [
          `${rowsets} cooled rowsets of ${tablets} tablets, ${objects} objects with ` +
            `${bytesText(objectBytes)}, lie in resource ${resource}; TRUNCATE or DROP frees it`,
        ]),
    ...(unknown === '' ? [] : [unknown]),
  ];
  const hint = `partition ${name}: ${parts.join('; ')}`;
  return new SqlError('POLICY_OTHER_RESOURCE', {}, { hint });
}
