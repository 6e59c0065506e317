/** What is durable in the real control plane, read from the catalog's file with SQL of its own. */
import Database from 'better-sqlite3';
import type {
  BackendId,
  PartitionId,
  ReplicaId,
  ResourceId,
  TabletId,
  TxnId,
} from '../../base/ids.ts';
import type { CooldownLead } from '../../base/replica.ts';
import type { ControlSeen, ReplicaPlace } from './seen.ts';

export interface VersionMade {
  readonly partitionId: PartitionId;
  readonly version: number;
  readonly txnId: TxnId;
  readonly tablets: readonly TabletId[];
}

type Row = readonly (number | string | null)[];

export class CatalogControl implements ControlSeen {
  readonly #database: Database.Database;
  #dataVersion = -1;
  #leads = new Map<TabletId, CooldownLead>();
  #replicas = new Map<TabletId, ReplicaPlace[]>();
  #visible = new Map<TabletId, number>();
  #resources = new Set<number>();
  #withPolicy = new Set<TabletId>();
  readonly #versionsSeen = new Set<string>();

  constructor(file: string) {
    this.#database = new Database(file, { readonly: true });
  }

  close(): void {
    this.#database.close();
  }

  /** Whether something was committed since the last call; then all is read anew. */
  changed(): boolean {
    const version = this.#database.pragma('data_version', { simple: true }) as number;
    if (version === this.#dataVersion) return false;
    this.#dataVersion = version;
    this.#read();
    return true;
  }

  /** Versions that became visible since the last call. */
  newVersions(): VersionMade[] {
    const rows = this.#all('SELECT partition_id, version, txn_id FROM replica_version');
    const made: VersionMade[] = [];
    for (const [partitionId, version, txnId] of rows) {
      const key = `${partitionId}/${version}`;
      if (this.#versionsSeen.has(key)) continue;
      this.#versionsSeen.add(key);
      const tablets = this.#all('SELECT tablet_id FROM tablet WHERE partition_id = ?', partitionId);
      made.push({
        partitionId: partitionId as PartitionId,
        version: version as number,
        txnId: txnId as TxnId,
        tablets: tablets.map(([tabletId]) => tabletId as TabletId),
      });
    }
    return made;
  }

  /** Cooldown jobs that have not ended. */
  openJobs(): number {
    const sql = "SELECT count(*) FROM cooldown_job WHERE state NOT IN ('FINISHED', 'CANCELLED')";
    return Number(this.#all(sql)[0]?.[0] ?? 0);
  }

  /** Ids of backends by what they are to be. */
  backends(): ReadonlyMap<BackendId, string> {
    const rows = this.#all('SELECT backend_id, state FROM backend');
    return new Map(rows.map(([backendId, state]) => [backendId as BackendId, String(state)]));
  }

  /** What is not as it was asked for; undefined: nothing. */
  replicasProblem(): string | undefined {
    for (const [backendId, state] of this.backends()) {
      if (state === 'DECOMMISSIONED') return `backend ${backendId} is still being emptied`;
    }
    const replicas = new Map<number, string[]>();
    const states = this.#all(
      `SELECT r.tablet_id, r.state, r.missing_from, b.state FROM replica r
       LEFT JOIN backend b ON b.backend_id = r.backend_id`,
    );
    for (const [tabletId, state, missing, backend] of states) {
      const isWell = state === 'NORMAL' && missing === null && backend === 'ENABLED';
      const known = replicas.get(Number(tabletId)) ?? [];
      const whole = missing === null ? '' : ' and lacks versions';
      known.push(isWell ? 'well' : `${state}${whole} on a backend that is ${backend ?? 'gone'}`);
      replicas.set(Number(tabletId), known);
    }
    const wanted = this.#all(
      `SELECT t.tablet_id, p.replication_num FROM tablet t
       INNER JOIN partition_def p ON p.partition_id = t.partition_id AND p.state = 'NORMAL'
       INNER JOIN table_def d ON d.table_id = t.table_id AND d.state = 'NORMAL'`,
    );
    for (const [tabletId, count] of wanted) {
      const there = replicas.get(Number(tabletId)) ?? [];
      const bad = there.find((state) => state !== 'well');
      if (bad !== undefined) return `a replica of tablet ${tabletId} is ${bad}`;
      if (there.length === count) continue;
      return `tablet ${tabletId} has ${there.length} replicas, asked for are ${count}`;
    }
    return undefined;
  }

  tablets(): readonly TabletId[] {
    return [...this.#visible.keys()];
  }

  leads(): ReadonlyMap<TabletId, CooldownLead> {
    this.changed();
    return this.#leads;
  }

  replicas(tabletId: TabletId): readonly ReplicaPlace[] {
    this.changed();
    return this.#replicas.get(tabletId) ?? [];
  }

  visibleVersion(tabletId: TabletId): number | undefined {
    this.changed();
    return this.#visible.get(tabletId);
  }

  hasPolicy(tabletId: TabletId): boolean {
    this.changed();
    return this.#withPolicy.has(tabletId);
  }

  hasResource(resourceId: ResourceId): boolean {
    this.changed();
    return this.#resources.has(resourceId);
  }

  #read(): void {
    this.#visible = new Map(
      this.#all(
        `SELECT t.tablet_id, p.visible_version FROM tablet t
         INNER JOIN partition_def p ON p.partition_id = t.partition_id AND p.state = 'NORMAL'
         INNER JOIN table_def d ON d.table_id = t.table_id AND d.state = 'NORMAL'`,
      ).map(([tabletId, version]) => [tabletId as TabletId, version as number]),
    );
    const bound = this.#all(
      `SELECT t.tablet_id FROM tablet t
       INNER JOIN partition_def p ON p.partition_id = t.partition_id
       WHERE p.storage_policy_id IS NOT NULL`,
    );
    this.#withPolicy = new Set(bound.map(([tabletId]) => tabletId as TabletId));
    this.#leads = new Map();
    for (const [tabletId, replicaId, term] of this.#all(
      'SELECT tablet_id, replica_id, term FROM tablet_lead',
    )) {
      const lead = { replicaId: replicaId as ReplicaId, term: term as number };
      if (this.#visible.has(tabletId as TabletId)) this.#leads.set(tabletId as TabletId, lead);
    }
    this.#replicas = new Map();
    for (const [tabletId, replicaId, backendId, state, missing] of this.#all(
      `SELECT tablet_id, replica_id, backend_id, state, missing_from FROM replica
       WHERE state <> 'DROPPING' ORDER BY replica_id`,
    )) {
      const places = this.#replicas.get(tabletId as TabletId) ?? [];
      this.#replicas.set(tabletId as TabletId, places);
      places.push({
        tabletId: tabletId as TabletId,
        replicaId: replicaId as ReplicaId,
        backendId: backendId as BackendId,
        isComplete: missing === null && (state === 'NORMAL' || state === 'DECOMMISSIONING'),
      });
    }
    const resources = this.#all('SELECT resource_id FROM resource');
    this.#resources = new Set(resources.map(([resourceId]) => resourceId as number));
  }

  #all(sql: string, ...values: (number | string | null | undefined)[]): readonly Row[] {
    return this.#database
      .prepare(sql)
      .raw()
      .all(...values) as readonly Row[];
  }
}
