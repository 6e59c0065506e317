/** The tables of `agent.db` and the statements on them. */
import type { Database, Statement } from 'better-sqlite3';
import type {
  IndexId,
  PartitionId,
  ReplicaId,
  ResourceId,
  RowsetId,
  StoragePolicyId,
  TableId,
  TabletId,
  TxnId,
} from '../../base/ids.ts';
import type {
  AgentPolicy,
  CooldownLead,
  PreparedRowset,
  ReplicaRowset,
} from '../../base/replica.ts';
import type { SegmentMeta } from '../../base/schema.ts';
import type { PendingUpload, PreparedTxn, ReplicaState } from './replica_store.ts';
import { contiguousVersion, sortedRowsets } from './versions.ts';

/** Version of the tables, in `PRAGMA user_version`. */
const TABLES_VERSION = 1;

const TABLES = `
CREATE TABLE replica (
  tablet_id INTEGER PRIMARY KEY,
  replica_id INTEGER NOT NULL,
  table_id INTEGER NOT NULL,
  partition_id INTEGER NOT NULL,
  index_id INTEGER NOT NULL,
  policy_id INTEGER,
  lead_replica_id INTEGER,
  lead_term INTEGER,
  meta_id TEXT,
  bad_why TEXT
) STRICT;
CREATE TABLE rowset (
  tablet_id INTEGER NOT NULL,
  rowset_id TEXT NOT NULL,
  start_version INTEGER NOT NULL,
  end_version INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  segments TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  newest_write_ms INTEGER NOT NULL,
  resource_id INTEGER,
  PRIMARY KEY (tablet_id, rowset_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE prepared (
  txn_id INTEGER NOT NULL,
  tablet_id INTEGER NOT NULL,
  replica_id INTEGER NOT NULL,
  rowset_id TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  segments TEXT NOT NULL,
  newest_write_ms INTEGER NOT NULL,
  PRIMARY KEY (txn_id, tablet_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX prepared_tablet ON prepared (tablet_id);
CREATE TABLE upload (
  rowset_id TEXT PRIMARY KEY,
  tablet_id INTEGER NOT NULL,
  resource_id INTEGER NOT NULL,
  started_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_tablet ON upload (tablet_id);
CREATE TABLE policy (
  policy_id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  resource_id INTEGER NOT NULL,
  cooldown_kind TEXT NOT NULL,
  cooldown_value INTEGER NOT NULL
) STRICT;
CREATE TABLE resource (
  resource_id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT;
`;

interface ReplicaRow {
  readonly tablet_id: TabletId;
  readonly replica_id: ReplicaId;
  readonly table_id: TableId;
  readonly partition_id: PartitionId;
  readonly index_id: IndexId;
  readonly policy_id: StoragePolicyId | null;
  readonly lead_replica_id: ReplicaId | null;
  readonly lead_term: number | null;
  readonly meta_id: string | null;
  readonly bad_why: string | null;
}

interface RowsetRow {
  readonly tablet_id: TabletId;
  readonly rowset_id: RowsetId;
  readonly start_version: number;
  readonly end_version: number;
  readonly row_count: number;
  readonly bytes: number;
  readonly segments: string;
  readonly created_ms: number;
  readonly newest_write_ms: number;
  readonly resource_id: ResourceId | null;
}

interface PreparedRow {
  readonly txn_id: TxnId;
  readonly tablet_id: TabletId;
  readonly replica_id: ReplicaId;
  readonly rowset_id: RowsetId;
  readonly row_count: number;
  readonly bytes: number;
  readonly segments: string;
  readonly newest_write_ms: number;
}

interface UploadRow {
  readonly rowset_id: RowsetId;
  readonly tablet_id: TabletId;
  readonly resource_id: ResourceId;
  readonly started_ms: number;
}

interface PolicyRow {
  readonly policy_id: StoragePolicyId;
  readonly version: number;
  readonly resource_id: ResourceId;
  readonly cooldown_kind: 'datetime' | 'ttl';
  readonly cooldown_value: number;
}

interface ResourceRow {
  readonly resource_id: ResourceId;
  readonly version: number;
}

type Value = number | string | null;

export class ReplicaTables {
  readonly #db: Database;
  readonly #statements = new Map<string, Statement<Value[]>>();

  /** Makes the tables in an empty file. Throws when they are of a version that it does not know. */
  constructor(db: Database) {
    this.#db = db;
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    const version = Number(db.pragma('user_version', { simple: true }));
    if (version === TABLES_VERSION) return;
    if (version !== 0) throw new Error(`${db.name} has version ${version}, not ${TABLES_VERSION}`);
    db.transaction(() => {
      db.exec(TABLES);
      db.pragma(`user_version = ${TABLES_VERSION}`);
    }).immediate();
  }

  transaction<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }

  close(): void {
    this.#db.close();
  }

  *loadReplicas(): Generator<ReplicaState> {
    const rowsets = new Map<TabletId, ReplicaRowset[]>();
    for (const row of this.#all<RowsetRow>('SELECT * FROM rowset')) {
      const known = rowsets.get(row.tablet_id);
      if (known === undefined) rowsets.set(row.tablet_id, [rowsetOf(row)]);
      else known.push(rowsetOf(row));
    }
    for (const row of this.#all<ReplicaRow>('SELECT * FROM replica')) {
      const own = sortedRowsets(rowsets.get(row.tablet_id) ?? []);
      yield { ...replicaOf(row), rowsets: own, version: contiguousVersion(own) };
    }
  }

  // -------------------------------------------------------------------------------------------
  // Replicas and rowsets

  insertReplica(replica: ReplicaState): void {
    const { tabletId, replicaId, tableId, partitionId, indexId, policyId } = replica;
    this.#run(
      `INSERT INTO replica (tablet_id, replica_id, table_id, partition_id, index_id, policy_id)
       VALUES (?, ?, ?, ?, ?, ?)`,
      [tabletId, replicaId, tableId, partitionId, indexId, policyId ?? null],
    );
  }

  /** With its rowsets, prepared ones too. Uploads stay: they say what may lie in a resource. */
  deleteReplica(tabletId: TabletId): void {
    for (const table of ['replica', 'rowset', 'prepared']) {
      this.#run(`DELETE FROM ${table} WHERE tablet_id = ?`, [tabletId]);
    }
  }

  setPolicy(tabletId: TabletId, policyId: StoragePolicyId | undefined): void {
    this.#run('UPDATE replica SET policy_id = ? WHERE tablet_id = ?', [policyId ?? null, tabletId]);
  }

  setLead(tabletId: TabletId, { replicaId, term }: CooldownLead): void {
    this.#run('UPDATE replica SET lead_replica_id = ?, lead_term = ? WHERE tablet_id = ?', [
      replicaId,
      term,
      tabletId,
    ]);
  }

  setMetaId(tabletId: TabletId, metaId: string | undefined): void {
    this.#run('UPDATE replica SET meta_id = ? WHERE tablet_id = ?', [metaId ?? null, tabletId]);
  }

  setBad(tabletId: TabletId, why: string | undefined): void {
    this.#run('UPDATE replica SET bad_why = ? WHERE tablet_id = ?', [why ?? null, tabletId]);
  }

  badReason(tabletId: TabletId): string | undefined {
    const [row] = this.#all<Pick<ReplicaRow, 'bad_why'>>(
      'SELECT bad_why FROM replica WHERE tablet_id = ?',
      [tabletId],
    );
    return row?.bad_why ?? undefined;
  }

  insertRowset(tabletId: TabletId, rowset: ReplicaRowset): void {
    const { place } = rowset;
    this.#run('INSERT INTO rowset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', [
      tabletId,
      rowset.rowsetId,
      rowset.startVersion,
      rowset.endVersion,
      rowset.rows,
      rowset.bytes,
      JSON.stringify(rowset.segments),
      rowset.createdMs,
      rowset.newestWriteMs,
      place.kind === 'remote' ? place.resourceId : null,
    ]);
  }

  deleteRowset(tabletId: TabletId, rowsetId: RowsetId): void {
    this.#run('DELETE FROM rowset WHERE tablet_id = ? AND rowset_id = ?', [tabletId, rowsetId]);
  }

  // -------------------------------------------------------------------------------------------
  // Prepared rowsets

  insertPrepared(txnId: TxnId, rowset: PreparedRowset): void {
    this.#run('INSERT INTO prepared VALUES (?, ?, ?, ?, ?, ?, ?, ?)', [
      txnId,
      rowset.tabletId,
      rowset.replicaId,
      rowset.rowsetId,
      rowset.rows,
      rowset.bytes,
      JSON.stringify(rowset.segments),
      rowset.newestWriteMs,
    ]);
  }

  preparedRowset(txnId: TxnId, tabletId: TabletId): PreparedRowset | undefined {
    const where = 'WHERE txn_id = ? AND tablet_id = ?';
    const [row] = this.#all<PreparedRow>(`SELECT * FROM prepared ${where}`, [txnId, tabletId]);
    return row === undefined ? undefined : preparedOf(row);
  }

  preparedOf(txnId: TxnId): PreparedRowset[] {
    const sql = 'SELECT * FROM prepared WHERE txn_id = ?';
    return this.#all<PreparedRow>(sql, [txnId]).map(preparedOf);
  }

  preparedOfTablet(tabletId: TabletId): PreparedRowset[] {
    const sql = 'SELECT * FROM prepared WHERE tablet_id = ?';
    return this.#all<PreparedRow>(sql, [tabletId]).map(preparedOf);
  }

  preparedTxns(tabletId: TabletId): TxnId[] {
    const sql = 'SELECT txn_id FROM prepared WHERE tablet_id = ?';
    return this.#all<Pick<PreparedRow, 'txn_id'>>(sql, [tabletId]).map((row) => row.txn_id);
  }

  openTxns(): TxnId[] {
    const sql = 'SELECT DISTINCT txn_id FROM prepared';
    return this.#all<Pick<PreparedRow, 'txn_id'>>(sql).map((row) => row.txn_id);
  }

  prepared(): PreparedTxn[] {
    const rows = this.#all<PreparedRow>('SELECT * FROM prepared ORDER BY txn_id, tablet_id');
    const txns = new Map<TxnId, PreparedRowset[]>();
    for (const row of rows) {
      const known = txns.get(row.txn_id);
      if (known === undefined) txns.set(row.txn_id, [preparedOf(row)]);
      else known.push(preparedOf(row));
    }
    return [...txns].map(([txnId, rowsets]) => ({ txnId, rowsets }));
  }

  deletePrepared(txnId: TxnId, tabletId: TabletId): void {
    this.#run('DELETE FROM prepared WHERE txn_id = ? AND tablet_id = ?', [txnId, tabletId]);
  }

  // -------------------------------------------------------------------------------------------
  // Uploads, policies, resources

  uploads(tabletId: TabletId | undefined): PendingUpload[] {
    const rows =
      tabletId === undefined
        ? this.#all<UploadRow>('SELECT * FROM upload')
        : this.#all<UploadRow>('SELECT * FROM upload WHERE tablet_id = ?', [tabletId]);
    return rows.map((row) => ({
      tabletId: row.tablet_id,
      rowsetId: row.rowset_id,
      resourceId: row.resource_id,
      startedMs: row.started_ms,
    }));
  }

  insertUpload({ tabletId, rowsetId, resourceId, startedMs }: PendingUpload): void {
    this.#run(
      `INSERT INTO upload (rowset_id, tablet_id, resource_id, started_ms) VALUES (?, ?, ?, ?)
       ON CONFLICT (rowset_id) DO NOTHING`,
      [rowsetId, tabletId, resourceId, startedMs],
    );
  }

  deleteUpload(rowsetId: RowsetId): void {
    this.#run('DELETE FROM upload WHERE rowset_id = ?', [rowsetId]);
  }

  policies(): AgentPolicy[] {
    return this.#all<PolicyRow>('SELECT * FROM policy ORDER BY policy_id').map((row) => ({
      policyId: row.policy_id,
      version: row.version,
      resourceId: row.resource_id,
      cooldown:
        row.cooldown_kind === 'ttl'
          ? { kind: 'ttl', seconds: row.cooldown_value }
          : { kind: 'datetime', atMs: row.cooldown_value },
    }));
  }

  putPolicy({ policyId, version, resourceId, cooldown }: AgentPolicy): void {
    const value = cooldown.kind === 'ttl' ? cooldown.seconds : cooldown.atMs;
    this.#run(
      `INSERT INTO policy (policy_id, version, resource_id, cooldown_kind, cooldown_value)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (policy_id) DO UPDATE SET version = excluded.version,
         resource_id = excluded.resource_id, cooldown_kind = excluded.cooldown_kind,
         cooldown_value = excluded.cooldown_value
       WHERE excluded.version > policy.version`,
      [policyId, version, resourceId, cooldown.kind, value],
    );
  }

  deletePolicy(policyId: StoragePolicyId): void {
    this.#run('DELETE FROM policy WHERE policy_id = ?', [policyId]);
  }

  resources(): { readonly resourceId: ResourceId; readonly version: number }[] {
    return this.#all<ResourceRow>('SELECT * FROM resource ORDER BY resource_id').map((row) => ({
      resourceId: row.resource_id,
      version: row.version,
    }));
  }

  putResource({ resourceId, version }: { resourceId: ResourceId; version: number }): void {
    this.#run(
      `INSERT INTO resource (resource_id, version) VALUES (?, ?)
       ON CONFLICT (resource_id) DO UPDATE SET version = excluded.version
       WHERE excluded.version > resource.version`,
      [resourceId, version],
    );
  }

  #run(sql: string, values: readonly Value[]): void {
    this.#prepare(sql).run(...values);
  }

  #all<Row>(sql: string, values: readonly Value[] = []): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  #prepare(sql: string): Statement<Value[]> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare<Value[]>(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function replicaOf(row: ReplicaRow): Omit<ReplicaState, 'rowsets' | 'version'> {
  const { policy_id: policyId, lead_replica_id: replicaId, lead_term: term } = row;
  return {
    tabletId: row.tablet_id,
    replicaId: row.replica_id,
    tableId: row.table_id,
    partitionId: row.partition_id,
    indexId: row.index_id,
    ...(policyId === null ? {} : { policyId }),
    ...(replicaId === null || term === null ? {} : { lead: { replicaId, term } }),
    ...(row.meta_id === null ? {} : { metaId: row.meta_id }),
    isBad: row.bad_why !== null,
  };
}

function rowsetOf(row: RowsetRow): ReplicaRowset {
  const { resource_id: resourceId } = row;
  return {
    rowsetId: row.rowset_id,
    startVersion: row.start_version,
    endVersion: row.end_version,
    rows: row.row_count,
    bytes: row.bytes,
    segments: JSON.parse(row.segments) as SegmentMeta[],
    createdMs: row.created_ms,
    newestWriteMs: row.newest_write_ms,
    place: resourceId === null ? { kind: 'local' } : { kind: 'remote', resourceId },
  };
}

function preparedOf(row: PreparedRow): PreparedRowset {
  return {
    tabletId: row.tablet_id,
    replicaId: row.replica_id,
    rowsetId: row.rowset_id,
    rows: row.row_count,
    bytes: row.bytes,
    segments: JSON.parse(row.segments) as SegmentMeta[],
    newestWriteMs: row.newest_write_ms,
  };
}
