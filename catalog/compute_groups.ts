/** Compute groups: the named sets of backends that share a cache. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { ComputeGroupId } from '../base/ids.ts';
import type { ComputeGroupDef } from '../base/schema.ts';
import { checkName } from './names.ts';
import type { CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';

export class ComputeGroupStore {
  readonly #session: Session;
  #listed:
    | { readonly dataVersion: number; readonly groups: readonly ComputeGroupDef[] }
    | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * By name. Every SELECT from a table of somebody who named no group asks: as long as nobody has
   * committed it is the list of the last time, for 2 instead of 30 microseconds.
   */
  async list(): Promise<readonly ComputeGroupDef[]> {
    const { bulk, isTransaction } = this.#session;
    if (isTransaction) return await this.#read();
    // Asked before the rows are read: a commit in between makes the next call read again.
    const dataVersion = bulk.dataVersion();
    if (this.#listed?.dataVersion === dataVersion) return this.#listed.groups;
    const groups = await this.#read();
    this.#listed = { dataVersion, groups };
    return groups;
  }

  /** As `list`, at once; undefined: it has to be read. */
  known(): readonly ComputeGroupDef[] | undefined {
    const { bulk, isTransaction } = this.#session;
    if (isTransaction || this.#listed?.dataVersion !== bulk.dataVersion()) return undefined;
    return this.#listed.groups;
  }

  async #read(): Promise<readonly ComputeGroupDef[]> {
    const rows = await this.#session.db
      .selectFrom('compute_group')
      .selectAll()
      .orderBy('name')
      .execute();
    return rows.map(toGroup);
  }

  async find(name: string): Promise<ComputeGroupDef | undefined> {
    const row = await this.#session.db
      .selectFrom('compute_group')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : toGroup(row);
  }

  /** Throws UNKNOWN_COMPUTE_GROUP, naming those that exist. */
  async get(name: string): Promise<ComputeGroupDef> {
    const group = await this.find(name);
    if (group !== undefined) return group;
    const existing = (await this.list()).map((known) => known.name).join(', ') || 'none';
    throw new SqlError('UNKNOWN_COMPUTE_GROUP', { name, existing });
  }

  async byId(computeGroupId: ComputeGroupId): Promise<ComputeGroupDef | undefined> {
    const row = await this.#session.db
      .selectFrom('compute_group')
      .selectAll()
      .where('compute_group_id', '=', computeGroupId)
      .executeTakeFirst();
    return row === undefined ? undefined : toGroup(row);
  }

  /** Throws COMPUTE_GROUP_EXISTS. */
  async create(name: string): Promise<ComputeGroupDef> {
    checkName('compute group', name);
    return this.#session.write(async (tx) => {
      await expectFree(tx, name);
      const row = {
        compute_group_id: tx.ids.next<ComputeGroupId>(),
        name,
        created_ms: tx.clock.now(),
      };
      await tx.db.insertInto('compute_group').values(row).execute();
      return toGroup(row);
    });
  }

  /** Throws UNKNOWN_COMPUTE_GROUP, COMPUTE_GROUP_EXISTS. Jobs are bound to names (DESIGN 4.1). */
  async rename(from: string, to: string): Promise<ComputeGroupDef> {
    checkName('compute group', to);
    return this.#session.write(async (tx) => {
      const group = await new ComputeGroupStore(tx).get(from);
      if (from === to) return group;
      await expectFree(tx, to);
      await tx.db
        .updateTable('compute_group')
        .set({ name: to })
        .where('compute_group_id', '=', group.computeGroupId)
        .execute();
      return { ...group, name: to };
    });
  }

  /** Throws UNKNOWN_COMPUTE_GROUP, COMPUTE_GROUP_IN_USE while it has backends. */
  async drop(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const group = await new ComputeGroupStore(tx).get(name);
      const backends = await tx.db
        .selectFrom('backend')
        .select('backend_id')
        .where('compute_group_id', '=', group.computeGroupId)
        .execute();
      if (backends.length > 0) {
        throw new SqlError('COMPUTE_GROUP_IN_USE', { name, count: backends.length });
      }
      await tx.db
        .deleteFrom('compute_group')
        .where('compute_group_id', '=', group.computeGroupId)
        .execute();
    });
  }
}

async function expectFree(tx: WriteSession, name: string): Promise<void> {
  const taken = await new ComputeGroupStore(tx).find(name);
  if (taken !== undefined) throw new SqlError('COMPUTE_GROUP_EXISTS', { name });
}

function toGroup(row: CatalogRows['compute_group']): ComputeGroupDef {
  return {
    computeGroupId: id<ComputeGroupId>(row.compute_group_id),
    name: row.name,
    createdMs: row.created_ms,
  };
}
