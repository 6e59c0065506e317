/** Backends: the rows of SHOW BACKENDS. Whether one is alive is not here: see its heartbeats. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { BackendId, ComputeGroupId } from '../base/ids.ts';
import type { BackendAdminState, BackendDef } from '../base/schema.ts';
import { ComputeGroupStore } from './compute_groups.ts';
import type { CatalogRows } from './rows.ts';
import type { Session } from './session.ts';
import { expectOne } from './stale_row.ts';

export interface NewBackend {
  readonly computeGroupName: string;
  readonly kind: 'embedded' | 'remote';
  readonly host: string;
  /** 0: picked when it starts. */
  readonly httpPort: number;
}

export interface BackendProcess {
  /** Rises with each start of a process on the backend's data directory. */
  readonly generation: number;
  /** Which process; '' before the first. */
  readonly process: string;
}

type BackendRow = CatalogRows['backend'] & { group_name: string };

export class BackendStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** By id. */
  async list(): Promise<BackendDef[]> {
    return (await this.#select().orderBy('backend_id').execute()).map(toBackend);
  }

  async ofGroup(computeGroupId: ComputeGroupId): Promise<BackendDef[]> {
    const rows = await this.#select()
      .where('backend.compute_group_id', '=', computeGroupId)
      .orderBy('backend_id')
      .execute();
    return rows.map(toBackend);
  }

  async find(backendId: BackendId): Promise<BackendDef | undefined> {
    const row = await this.#select().where('backend_id', '=', backendId).executeTakeFirst();
    return row === undefined ? undefined : toBackend(row);
  }

  /** By address, as ALTER SYSTEM names them. */
  async findByAddress(host: string, httpPort: number): Promise<BackendDef | undefined> {
    const row = await this.#select()
      .where('host', '=', host)
      .where('http_port', '=', httpPort)
      .executeTakeFirst();
    return row === undefined ? undefined : toBackend(row);
  }

  /** Throws UNKNOWN_BACKEND. */
  async get(backendId: BackendId): Promise<BackendDef> {
    const backend = await this.find(backendId);
    if (backend === undefined) throw new SqlError('UNKNOWN_BACKEND', { name: String(backendId) });
    return backend;
  }

  /** Throws UNKNOWN_COMPUTE_GROUP, BACKEND_EXISTS (same host and port, unless the port is 0). */
  async create(backend: NewBackend): Promise<BackendDef> {
    return this.#session.write(async (tx) => {
      const group = await new ComputeGroupStore(tx).get(backend.computeGroupName);
      await new BackendStore(tx).#expectFree(backend.host, backend.httpPort);
      const row = {
        backend_id: tx.ids.next<BackendId>(),
        compute_group_id: group.computeGroupId,
        kind: backend.kind,
        host: backend.host,
        http_port: backend.httpPort,
        state: 'ENABLED' as const,
        version: 1,
        created_ms: tx.clock.now(),
        generation: 0,
        process: '',
      };
      await tx.db.insertInto('backend').values(row).execute();
      return toBackend({ ...row, group_name: group.name });
    });
  }

  /** Throws UNKNOWN_BACKEND. */
  async drop(backendId: BackendId): Promise<void> {
    await this.#session.write(async (tx) => {
      await new BackendStore(tx).get(backendId);
      await tx.db.deleteFrom('hotspot_token').where('backend_id', '=', backendId).execute();
      await tx.db.deleteFrom('backend').where('backend_id', '=', backendId).execute();
    });
  }

  /** Throws UNKNOWN_BACKEND. */
  async setAdminState(backendId: BackendId, state: BackendAdminState): Promise<BackendDef> {
    return this.#session.write(async (tx) => {
      const store = new BackendStore(tx);
      const before = await store.#row(backendId);
      const result = await tx.db
        .updateTable('backend')
        .set({ state, version: before.version + 1 })
        .where('backend_id', '=', backendId)
        .where('state', '=', before.state)
        .where('version', '=', before.version)
        .executeTakeFirst();
      expectOne(result.numUpdatedRows, `backend ${backendId}`);
      return toBackend({ ...before, state });
    });
  }

  /** Remembers the port that a backend got. Throws UNKNOWN_BACKEND, BACKEND_EXISTS. */
  async setHttpPort(backendId: BackendId, httpPort: number): Promise<BackendDef> {
    return this.#session.write(async (tx) => {
      const store = new BackendStore(tx);
      const before = await store.#row(backendId);
      if (before.http_port === httpPort) return toBackend(before);
      await store.#expectFree(before.host, httpPort);
      await tx.db
        .updateTable('backend')
        .set({ http_port: httpPort, version: before.version + 1 })
        .where('backend_id', '=', backendId)
        .execute();
      return toBackend({ ...before, http_port: httpPort });
    });
  }

  /** Of a remote backend: the process that speaks for it. Throws UNKNOWN_BACKEND. */
  async process(backendId: BackendId): Promise<BackendProcess> {
    const { generation, process } = await this.#row(backendId);
    return { generation, process };
  }

  /** The remote backend that this process speaks for. */
  async findByProcess(process: string): Promise<BackendDef | undefined> {
    const row = await this.#select().where('process', '=', process).executeTakeFirst();
    return row === undefined ? undefined : toBackend(row);
  }

  /**
   * From now on this process speaks for a remote backend, and it is reached there.
   * Throws UNKNOWN_BACKEND, BACKEND_EXISTS when another backend has the address.
   */
  async claim(
    backendId: BackendId,
    owner: BackendProcess,
    address: { readonly host: string; readonly httpPort: number },
  ): Promise<BackendDef> {
    return this.#session.write(async (tx) => {
      const store = new BackendStore(tx);
      const before = await store.#row(backendId);
      const { host, httpPort } = address;
      const moved = before.host !== host || before.http_port !== httpPort;
      if (moved) await store.#expectFree(host, httpPort);
      const changed = { host, http_port: httpPort, ...owner };
      await tx.db
        .updateTable('backend')
        .set({ ...changed, version: before.version + 1 })
        .where('backend_id', '=', backendId)
        .execute();
      return toBackend({ ...before, ...changed });
    });
  }

  async #row(backendId: BackendId): Promise<BackendRow> {
    const row = await this.#select().where('backend_id', '=', backendId).executeTakeFirst();
    if (row === undefined) throw new SqlError('UNKNOWN_BACKEND', { name: String(backendId) });
    return row;
  }

  async #expectFree(host: string, httpPort: number): Promise<void> {
    if (httpPort === 0) return;
    const taken = await this.findByAddress(host, httpPort);
    if (taken !== undefined) throw new SqlError('BACKEND_EXISTS', { name: `${host}:${httpPort}` });
  }

  #select() {
    return this.#session.db
      .selectFrom('backend')
      .innerJoin('compute_group', 'compute_group.compute_group_id', 'backend.compute_group_id')
      .selectAll('backend')
      .select('compute_group.name as group_name');
  }
}

function toBackend(row: BackendRow): BackendDef {
  return {
    backendId: id<BackendId>(row.backend_id),
    computeGroupId: id<ComputeGroupId>(row.compute_group_id),
    computeGroupName: row.group_name,
    kind: row.kind,
    host: row.host,
    httpPort: row.http_port,
    adminState: row.state,
    createdMs: row.created_ms,
  };
}
