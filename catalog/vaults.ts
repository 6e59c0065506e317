/** Storage vaults. Credentials are sealed in their own column and never leave in clear text. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { VaultId } from '../base/ids.ts';
import type { VaultSpec } from '../base/schema.ts';
import { fromJson, toJson } from './json_text.ts';
import { checkName } from './names.ts';
import type { CatalogRows } from './rows.ts';
import type { SecretBox } from './secret_box.ts';
import type { Session } from './session.ts';

/** The vault every data directory begins with. */
export const BUILT_IN_VAULT = 'built_in_storage_vault';

type DistributiveOmit<T, Key extends PropertyKey> = T extends unknown ? Omit<T, Key> : never;
export type NewVault = DistributiveOmit<VaultSpec, 'vaultId'>;

export interface VaultEntry {
  /** With credentials: for the agents, never for SHOW. */
  readonly spec: VaultSpec;
  readonly isDefault: boolean;
  readonly createdMs: number;
}

type S3Credentials = Pick<Extract<VaultSpec, { kind: 's3' }>, 'accessKey' | 'secretKey'>;
type VaultRow = CatalogRows['vault'];

export class VaultStore {
  readonly #session: Session;
  readonly #box: SecretBox;

  constructor(session: Session, box: SecretBox) {
    this.#session = session;
    this.#box = box;
  }

  /** By name. */
  async list(): Promise<VaultEntry[]> {
    const rows = await this.#session.db.selectFrom('vault').selectAll().orderBy('name').execute();
    return rows.map((row) => this.#entry(row));
  }

  async find(name: string): Promise<VaultEntry | undefined> {
    const row = await this.#session.db
      .selectFrom('vault')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#entry(row);
  }

  /** Throws UNKNOWN_VAULT. */
  async get(name: string): Promise<VaultEntry> {
    const vault = await this.find(name);
    if (vault === undefined) throw new SqlError('UNKNOWN_VAULT', { name });
    return vault;
  }

  /** Throws UNKNOWN_VAULT. */
  async byId(vaultId: VaultId): Promise<VaultEntry> {
    const row = await this.#session.db
      .selectFrom('vault')
      .selectAll()
      .where('vault_id', '=', vaultId)
      .executeTakeFirst();
    if (row === undefined) throw new SqlError('UNKNOWN_VAULT', { name: String(vaultId) });
    return this.#entry(row);
  }

  /** undefined when none was chosen. */
  async default(): Promise<VaultEntry | undefined> {
    const row = await this.#session.db
      .selectFrom('vault')
      .selectAll()
      .where('is_default', '=', 1)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#entry(row);
  }

  /** Throws VAULT_EXISTS. Whether the vault works is not checked here. */
  async create(vault: NewVault): Promise<VaultEntry> {
    checkName('storage vault', vault.name);
    return this.#session.write(async (tx) => {
      const taken = await new VaultStore(tx, this.#box).find(vault.name);
      if (taken !== undefined) throw new SqlError('VAULT_EXISTS', { name: vault.name });
      const vaultId = tx.ids.next<VaultId>();
      const row: VaultRow = {
        vault_id: vaultId,
        name: vault.name,
        kind: vault.kind,
        is_default: 0,
        ...this.#columns(vault, vaultId),
        created_ms: tx.clock.now(),
      };
      await tx.db.insertInto('vault').values(row).execute();
      return this.#entry(row);
    });
  }

  /** Throws UNKNOWN_VAULT, VAULT_EXISTS. */
  async rename(from: string, to: string): Promise<void> {
    checkName('storage vault', to);
    await this.#session.write(async (tx) => {
      const store = new VaultStore(tx, this.#box);
      const vault = await store.get(from);
      if (from === to) return;
      if ((await store.find(to)) !== undefined) throw new SqlError('VAULT_EXISTS', { name: to });
      await tx.db
        .updateTable('vault')
        .set({ name: to })
        .where('vault_id', '=', vault.spec.vaultId)
        .execute();
    });
  }

  /** Throws UNKNOWN_VAULT. */
  async setDefault(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const vault = await new VaultStore(tx, this.#box).get(name);
      await tx.db.updateTable('vault').set({ is_default: 0 }).where('is_default', '=', 1).execute();
      await tx.db
        .updateTable('vault')
        .set({ is_default: 1 })
        .where('vault_id', '=', vault.spec.vaultId)
        .execute();
    });
  }

  /** New tables must name their vault then. */
  async unsetDefault(): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db.updateTable('vault').set({ is_default: 0 }).where('is_default', '=', 1).execute();
    });
  }

  /** Throws UNKNOWN_VAULT; VAULT_IN_USE while it is the default, has tables or garbage. */
  async drop(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const vault = await new VaultStore(tx, this.#box).get(name);
      const { vaultId } = vault.spec;
      if (vault.isDefault) throw new SqlError('VAULT_IN_USE', { name, what: 'new tables' });
      const table = await tx.db
        .selectFrom('table_def')
        .select('name')
        .where('vault_id', '=', vaultId)
        .executeTakeFirst();
      if (table !== undefined) {
        throw new SqlError('VAULT_IN_USE', { name, what: `table ${table.name}` });
      }
      const garbage = await tx.db
        .selectFrom('garbage')
        .select('garbage_id')
        .where('vault_id', '=', vaultId)
        .executeTakeFirst();
      if (garbage !== undefined) {
        throw new SqlError('VAULT_IN_USE', { name, what: 'objects that wait for their deletion' });
      }
      await tx.db.deleteFrom('vault').where('vault_id', '=', vaultId).execute();
    });
  }

  #columns(vault: NewVault, vaultId: VaultId): Pick<VaultRow, 'properties' | 'credentials'> {
    switch (vault.kind) {
      case 'file':
        return { properties: toJson({ path: vault.path }), credentials: null };
      case 's3': {
        const { endpoint, region, bucket, rootPath, usePathStyle } = vault;
        const secrets: S3Credentials = { accessKey: vault.accessKey, secretKey: vault.secretKey };
        return {
          properties: toJson({ endpoint, region, bucket, rootPath, usePathStyle }),
          credentials: this.#box.seal(toJson(secrets), boxContext(vaultId)),
        };
      }
    }
  }

  #entry(row: VaultRow): VaultEntry {
    const identity = { vaultId: id<VaultId>(row.vault_id), name: row.name };
    const properties = fromJson<Record<string, unknown>>(row.properties);
    const secrets =
      row.credentials === null
        ? {}
        : fromJson<S3Credentials>(this.#box.open(row.credentials, boxContext(row.vault_id)));
    return {
      spec: { kind: row.kind, ...identity, ...properties, ...secrets } as VaultSpec,
      isDefault: row.is_default === 1,
      createdMs: row.created_ms,
    };
  }
}

function boxContext(vaultId: number): string {
  return `vault ${vaultId}`;
}
