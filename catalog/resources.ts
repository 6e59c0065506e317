/**
 * Resources: where storage policies put cooled data. Credentials are sealed in their own column and
 * never leave in clear text.
 */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { PartitionId, ResourceId } from '../base/ids.ts';
import type { ResourceDef, S3StoreSpec, StoreSpec } from '../base/schema.ts';
import { fromJson, toJson } from './json_text.ts';
import { checkName } from './names.ts';
import { resourcesOf } from './partition_resources.ts';
import type { CatalogRows } from './rows.ts';
import type { SecretBox } from './secret_box.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';

/** What CREATE and ALTER give. */
export type ResourceBody = Pick<ResourceDef, 'store' | 'validityCheck' | 'conditionalWrites'>;

type Credentials = Pick<S3StoreSpec, 'accessKey' | 'secretKey' | 'sessionToken'>;
type ResourceRow = Omit<CatalogRows['resource'], 'dropped'>;

export class ResourceStore {
  readonly #session: Session;
  readonly #box: SecretBox;

  constructor(session: Session, box: SecretBox) {
    this.#session = session;
    this.#box = box;
  }

  /** By name. */
  async list(): Promise<ResourceDef[]> {
    const { db } = this.#session;
    const rows = await db
      .selectFrom('resource')
      .selectAll()
      .where('dropped', '=', 0)
      .orderBy('name')
      .execute();
    return rows.map((row) => this.#resource(row));
  }

  async find(name: string): Promise<ResourceDef | undefined> {
    const row = await this.#session.db
      .selectFrom('resource')
      .selectAll()
      .where('name', '=', name)
      .where('dropped', '=', 0)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#resource(row);
  }

  /** Also one that was dropped while objects of dropped tables lay there. */
  async byId(resourceId: ResourceId): Promise<ResourceDef | undefined> {
    const row = await this.#session.db
      .selectFrom('resource')
      .selectAll()
      .where('resource_id', '=', resourceId)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#resource(row);
  }

  /** Throws UNKNOWN_RESOURCE. */
  async get(name: string): Promise<ResourceDef> {
    const resource = await this.find(name);
    if (resource === undefined) throw new SqlError('UNKNOWN_RESOURCE', { name });
    return resource;
  }

  /** Names of the policies that put data there. */
  async policiesOf(resourceId: ResourceId): Promise<string[]> {
    const rows = await this.#session.db
      .selectFrom('storage_policy')
      .select('name')
      .where('resource_id', '=', resourceId)
      .orderBy('name')
      .execute();
    return rows.map((row) => row.name);
  }

  /** Those in which the partition may have cooled data, its policy's included. */
  ofPartition(partitionId: PartitionId): ResourceId[] {
    return resourcesOf(this.#session, partitionId).map((resourceId) => id<ResourceId>(resourceId));
  }

  /** Throws RESOURCE_EXISTS, WRONG_NAME. Whether its store works is not checked here. */
  async create(name: string, body: ResourceBody): Promise<ResourceDef> {
    checkName('resource', name);
    return await this.#session.write(async (tx) => {
      const taken = await new ResourceStore(tx, this.#box).find(name);
      if (taken !== undefined) throw new SqlError('RESOURCE_EXISTS', { name });
      const resourceId = tx.ids.next<ResourceId>();
      const row: ResourceRow = {
        resource_id: resourceId,
        name,
        version: 0,
        ...this.#columns(resourceId, body),
        created_ms: tx.clock.now(),
      };
      await tx.db.insertInto('resource').values(row).execute();
      return this.#resource(row);
    });
  }

  /**
   * `place` is the first given property that says where the data lies, if there is one: what is
   * there already would be lost. Throws RESOURCE_FIXED when a policy uses the resource then,
   * RESOURCE_HAS_DATA when something lies there;
   * `StaleRow` when it was changed since `before` was read.
   */
  async alter(before: ResourceDef, body: ResourceBody, place: string | undefined): Promise<void> {
    await this.#session.write(async (tx) => {
      const users = await new ResourceStore(tx, this.#box).policiesOf(before.resourceId);
      if (place !== undefined && users.length > 0) {
        throw new SqlError('RESOURCE_FIXED', { name: place });
      }
      if (place !== undefined) expectNothing(tx, before);
      const { numUpdatedRows } = await tx.db
        .updateTable('resource')
        .set({ ...this.#columns(before.resourceId, body), version: before.version + 1 })
        .where('resource_id', '=', before.resourceId)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(numUpdatedRows, `resource ${before.name}`);
    });
  }

  /** Throws UNKNOWN_RESOURCE, RESOURCE_IN_USE, RESOURCE_HAS_DATA. */
  async drop(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const store = new ResourceStore(tx, this.#box);
      const { resourceId, store: where } = await store.get(name);
      const users = await store.policiesOf(resourceId);
      if (users.length > 0) {
        const type = where.kind === 's3' ? 'S3' : 'Local';
        throw new SqlError('RESOURCE_IN_USE', { type }, { hint: `by ${users.join(', ')}` });
      }
      expectNoData(tx, { resourceId, name });
      await hide(tx, resourceId);
    });
  }

  /** Rows of dropped resources in which nothing lies any more go. */
  async forgetDropped(): Promise<void> {
    const hidden = this.#session.bulk.all<[number]>(
      'SELECT resource_id FROM resource WHERE dropped = 1',
      [],
    );
    if (hidden.length === 0) return;
    await this.#session.write(async (tx) => {
      for (const [resourceId] of hidden) {
        if (leftIn(tx, resourceId) > 0) continue;
        await tx.db.deleteFrom('resource').where('resource_id', '=', resourceId).execute();
      }
    });
  }

  #columns(
    resourceId: ResourceId,
    { store, validityCheck, conditionalWrites }: ResourceBody,
  ): Omit<ResourceRow, 'resource_id' | 'name' | 'version' | 'created_ms'> {
    const checks = {
      validity_check: validityCheck ? 1 : 0,
      conditional_writes: conditionalWrites,
    } as const;
    if (store.kind === 'file') {
      const properties = toJson({ path: store.path });
      return { kind: 'file', properties, credentials: null, ...checks };
    }
    const { kind, accessKey, secretKey, sessionToken, ...open } = store;
    const secrets: Credentials = {
      accessKey,
      secretKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    };
    const credentials = this.#box.seal(toJson(secrets), boxContext(resourceId));
    return { kind, properties: toJson(open), credentials, ...checks };
  }

  #resource(row: ResourceRow): ResourceDef {
    const secrets =
      row.credentials === null
        ? {}
        : fromJson<Credentials>(this.#box.open(row.credentials, boxContext(row.resource_id)));
    const properties = fromJson<Record<string, unknown>>(row.properties);
    return {
      resourceId: id<ResourceId>(row.resource_id),
      name: row.name,
      version: row.version,
      store: { kind: row.kind, ...properties, ...secrets } as StoreSpec,
      validityCheck: row.validity_check === 1,
      conditionalWrites: row.conditional_writes,
      createdMs: row.created_ms,
    };
  }
}

/** Throws RESOURCE_HAS_DATA when partitions of live tables have cooled data there, or may have. */
function expectNoData(
  tx: WriteSession,
  { resourceId, name }: Pick<ResourceDef, 'resourceId' | 'name'>,
): void {
  const [table] = tx.bulk.all<[string, string]>(
    `SELECT table_def.name, partition_def.name FROM partition_resource
     INNER JOIN partition_def ON partition_def.partition_id = partition_resource.partition_id
     INNER JOIN table_def ON table_def.table_id = partition_def.table_id
     WHERE partition_resource.resource_id = ? AND partition_def.state = 'NORMAL'
       AND table_def.state = 'NORMAL' LIMIT 1`,
    [resourceId],
  );
  if (table === undefined) return;
  const what = `of partition ${table[1]} of table ${table[0]}`;
  throw new SqlError('RESOURCE_HAS_DATA', { name, what });
}

/** Neither data nor objects that are still to be deleted. Throws RESOURCE_HAS_DATA. */
function expectNothing(tx: WriteSession, resource: ResourceDef): void {
  expectNoData(tx, resource);
  const { resourceId, name } = resource;
  if (leftIn(tx, resourceId) === 0) return;
  const what = 'of dropped tables, and it is being deleted';
  throw new SqlError('RESOURCE_HAS_DATA', { name, what });
}

/** Its name is free; the way to the objects of dropped tables stays until they are deleted. */
async function hide(tx: WriteSession, resourceId: ResourceId): Promise<void> {
  if (leftIn(tx, resourceId) === 0) {
    await tx.db.deleteFrom('resource').where('resource_id', '=', resourceId).execute();
    return;
  }
  await tx.db
    .updateTable('resource')
    .set({ dropped: 1, name: `dropped resource ${resourceId}` })
    .where('resource_id', '=', resourceId)
    .execute();
}

/** What still has to be deleted there, or is there for somebody to read. */
function leftIn(tx: WriteSession, resourceId: number): number {
  const [left] = tx.bulk.all<[number]>(
    `SELECT (SELECT count(*) FROM partition_resource WHERE resource_id = ?)
       + (SELECT count(*) FROM dropped_tablet WHERE resource_id = ?)
       + (SELECT count(*) FROM garbage WHERE vault_id = ?)`,
    [resourceId, resourceId, resourceId],
  );
  return left?.[0] ?? 0;
}

function boxContext(resourceId: number): string {
  return `resource ${resourceId}`;
}
