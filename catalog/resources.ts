/**
 * Resources: where storage policies put cooled data. Credentials are sealed in their own column and
 * never leave in clear text.
 */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { ResourceId } from '../base/ids.ts';
import type { ResourceDef, S3StoreSpec, StoreSpec } from '../base/schema.ts';
import { fromJson, toJson } from './json_text.ts';
import { checkName } from './names.ts';
import type { CatalogRows } from './rows.ts';
import type { SecretBox } from './secret_box.ts';
import type { Session } from './session.ts';
import { expectOne } from './stale_row.ts';

/** What CREATE and ALTER give. */
export type ResourceBody = Pick<ResourceDef, 'store' | 'validityCheck' | 'conditionalWrites'>;

type Credentials = Pick<S3StoreSpec, 'accessKey' | 'secretKey' | 'sessionToken'>;
type ResourceRow = CatalogRows['resource'];

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
    const rows = await db.selectFrom('resource').selectAll().orderBy('name').execute();
    return rows.map((row) => this.#resource(row));
  }

  async find(name: string): Promise<ResourceDef | undefined> {
    const row = await this.#session.db
      .selectFrom('resource')
      .selectAll()
      .where('name', '=', name)
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
   * there already would be lost. Throws RESOURCE_FIXED when a policy uses the resource then;
   * `StaleRow` when it was changed since `before` was read.
   */
  async alter(before: ResourceDef, body: ResourceBody, place: string | undefined): Promise<void> {
    await this.#session.write(async (tx) => {
      const users = await new ResourceStore(tx, this.#box).policiesOf(before.resourceId);
      if (place !== undefined && users.length > 0) {
        throw new SqlError('RESOURCE_FIXED', { name: place });
      }
      const { numUpdatedRows } = await tx.db
        .updateTable('resource')
        .set({ ...this.#columns(before.resourceId, body), version: before.version + 1 })
        .where('resource_id', '=', before.resourceId)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(numUpdatedRows, `resource ${before.name}`);
    });
  }

  /** Throws UNKNOWN_RESOURCE, RESOURCE_IN_USE. */
  async drop(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const store = new ResourceStore(tx, this.#box);
      const { resourceId, store: where } = await store.get(name);
      const users = await store.policiesOf(resourceId);
      if (users.length > 0) {
        const type = where.kind === 's3' ? 'S3' : 'Local';
        throw new SqlError('RESOURCE_IN_USE', { type }, { hint: `by ${users.join(', ')}` });
      }
      await tx.db.deleteFrom('resource').where('resource_id', '=', resourceId).execute();
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

function boxContext(resourceId: number): string {
  return `resource ${resourceId}`;
}
