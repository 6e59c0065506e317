/**
 * The catalog: what is true, in one SQLite file. Reads see what was committed last; writes go
 * through `transaction`, or through a store's method, which makes one.
 */
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BackendId, PartitionId, TableId, TxnId } from '../base/ids.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import type { PreparedReplicas } from '../base/replica.ts';
import type { NewRowset } from '../base/schema.ts';
import { AccountStore } from './accounts.ts';
import { AlterDefinition } from './alter_definition.ts';
import { AlterJobStore } from './alter_jobs.ts';
import { AlterTables } from './alter_tables.ts';
import { AlterWrites } from './alter_writes.ts';
import { BackendStore } from './backends.ts';
import { CompactionStore } from './compactions.ts';
import { ClusterIdentityStore } from './cluster_identity.ts';
import { ComputeGroupStore } from './compute_groups.ts';
import { ConfigOverrideStore } from './config_overrides.ts';
import { CooldownStore, leadsAfter } from './cooldown.ts';
import { DatabaseStore } from './databases.ts';
import { DirectoryLock } from './directory_lock.ts';
import { EventCursorStore } from './event_cursors.ts';
import { GarbageStore } from './garbage.ts';
import { GrantStore } from './grants.ts';
import { HotspotStore } from './hotspots.ts';
import { type CommitCounts, LoadCommit, type ReplicaVersion } from './load_commit.ts';
import { LeadIndex } from './lead_index.ts';
import { LoadStore, type LoadTxn } from './loads.ts';
import { LostVersionStore } from './lost_versions.ts';
import { migrate, takeLease } from './migrator.ts';
import { Purger } from './purger.ts';
import { ReplicaIndex } from './replica_index.ts';
import { ReplicaStore, replicasAfter } from './replicas.ts';
import { ResourceStore } from './resources.ts';
import { RowsetEventStore } from './rowset_events.ts';
import { RowsetStore } from './rowsets.ts';
import { SecretBox } from './secret_box.ts';
import type { Session, WriteSession } from './session.ts';
import { SqliteConnection } from './sqlite_connection.ts';
import { StoragePolicyStore } from './storage_policies.ts';
import { TableCache, type TableChange } from './table_cache.ts';
import { TableChanges } from './table_changes.ts';
import { type TableMemory, TableStore } from './tables.ts';
import { TabletIndex } from './tablet_index.ts';
import { BUILT_IN_VAULT, VaultStore } from './vaults.ts';
import { WarmUpBatchStore } from './warm_up_batches.ts';
import { WarmUpJobStore } from './warm_up_jobs.ts';
import { WarmUpRunStore } from './warm_up_runs.ts';
import { Writer } from './writer.ts';

/** Tablets or replicas read at once while an index is loaded. */
const TABLETS_PER_TURN = 20_000;
/** Objects of dropped tables stay this long, for those who still read them, milliseconds. */
const DROP_GRACE_MS = 60_000;

export interface CatalogOptions {
  /** The data directory; made when it is not there. */
  readonly dir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Who takes the lease, for messages: `host:port` or the like. */
  readonly holder: string;
  /** Another server has taken the catalog over: every write fails from now on. */
  readonly onLeaseLost?: () => void;
  /** For tests: 0 makes dropped tables' objects due at once. */
  readonly dropGraceMs?: number;
}

interface Memory extends TableMemory {
  readonly leads: LeadIndex;
  readonly box: SecretBox;
}

class Stores {
  readonly databases: DatabaseStore;
  readonly tables: TableStore;
  readonly rowsets: RowsetStore;
  readonly replicas: ReplicaStore;
  readonly rowsetEvents: RowsetEventStore;
  readonly eventCursors: EventCursorStore;
  readonly compactions: CompactionStore;
  readonly loads: LoadStore;
  readonly alterJobs: AlterJobStore;
  readonly alterDefinition: AlterDefinition;
  readonly alterWrites: AlterWrites;
  readonly computeGroups: ComputeGroupStore;
  readonly backends: BackendStore;
  readonly clusterIdentity: ClusterIdentityStore;
  readonly vaults: VaultStore;
  readonly resources: ResourceStore;
  readonly storagePolicies: StoragePolicyStore;
  /** Who uploads which tablet, and the jobs that tell the backends. */
  readonly cooldown: CooldownStore;
  readonly lostVersions: LostVersionStore;
  readonly warmUpJobs: WarmUpJobStore;
  readonly warmUpBatches: WarmUpBatchStore;
  readonly warmUpRuns: WarmUpRunStore;
  readonly hotspots: HotspotStore;
  readonly accounts: AccountStore;
  readonly grants: GrantStore;
  readonly configOverrides: ConfigOverrideStore;
  readonly garbage: GarbageStore;

  constructor(session: Session, memory: Memory) {
    this.databases = new DatabaseStore(session, (databaseId) => {
      memory.cache.forgetDatabase(databaseId);
      memory.dropped();
    });
    this.tables = new TableStore(session, memory);
    this.rowsets = new RowsetStore(session, memory.tablets);
    this.replicas = new ReplicaStore(session, memory.replicas, memory.tablets);
    this.rowsetEvents = new RowsetEventStore(session, memory.tablets);
    this.compactions = new CompactionStore(session, memory.tablets);
    this.eventCursors = new EventCursorStore(session);
    this.loads = new LoadStore(session);
    this.alterJobs = new AlterJobStore(session);
    this.alterDefinition = new AlterDefinition(session, memory);
    this.alterWrites = new AlterWrites(session);
    this.computeGroups = new ComputeGroupStore(session);
    this.backends = new BackendStore(session);
    this.clusterIdentity = new ClusterIdentityStore(session);
    this.vaults = new VaultStore(session, memory.box);
    this.resources = new ResourceStore(session, memory.box);
    this.storagePolicies = new StoragePolicyStore(session, memory.cache);
    this.cooldown = new CooldownStore(session, memory.leads);
    this.lostVersions = new LostVersionStore(session);
    this.warmUpJobs = new WarmUpJobStore(session);
    this.warmUpBatches = new WarmUpBatchStore(session);
    this.warmUpRuns = new WarmUpRunStore(session);
    this.hotspots = new HotspotStore(session);
    this.accounts = new AccountStore(session);
    this.grants = new GrantStore(session);
    this.configOverrides = new ConfigOverrideStore(session);
    this.garbage = new GarbageStore(session);
  }
}

/** Inside a transaction: the same stores, all on its session. */
export class CatalogTransaction extends Stores {
  readonly #session: WriteSession;

  constructor(session: WriteSession, memory: Memory) {
    super(session, memory);
    this.#session = session;
  }

  /** Runs `fn` right after the commit; not at all on a rollback. */
  onCommit(fn: () => void): void {
    this.#session.onCommit(fn);
  }
}

export class Catalog extends Stores {
  /** The lease's epoch: every start has a higher one. */
  readonly epoch: number;
  /** Which tablet belongs where, and how large it is; in memory. */
  readonly tablets: TabletIndex;
  /** CREATE TABLE, ADD PARTITION, TRUNCATE: what takes many transactions. */
  readonly tableChanges: TableChanges;
  readonly #open: Opened;
  readonly #memory: Memory;
  readonly #purger: Purger;
  readonly #loadCommit: LoadCommit;
  /** What alter jobs do to tables. */
  readonly alterTables: AlterTables;

  private constructor(opened: Opened, options: CatalogOptions) {
    const { writer, reader, epoch, box } = opened;
    const session: Session = {
      db: reader.db,
      bulk: reader,
      clock: options.clock,
      ids: writer.ids,
      newRowsets: writer.newRowsets,
      isTransaction: false,
      write: (body) => writer.transaction(body),
    };
    const tablets = new TabletIndex();
    const graceMs = options.dropGraceMs ?? DROP_GRACE_MS;
    const replicas = new ReplicaIndex();
    const purger = new Purger(session, { tablets, replicas }, options.log, graceMs);
    const memory: Memory = {
      box,
      cache: new TableCache(),
      leads: new LeadIndex(),
      tablets,
      replicas,
      dropped: () => {
        purger.start();
      },
    };
    super(session, memory);
    this.epoch = epoch;
    this.tablets = memory.tablets;
    this.#open = opened;
    this.#memory = memory;
    this.#purger = purger;
    this.#loadCommit = new LoadCommit(session, memory);
    this.alterTables = new AlterTables({
      session,
      memory,
      reserveIds: (count) => writer.reserveIds(count),
      exclusive: (tableId, work) => this.#loadCommit.exclusive(tableId, work),
    });
    this.tableChanges = new TableChanges(session, memory, purger, (count) =>
      writer.reserveIds(count),
    );
  }

  /**
   * Makes or migrates the catalog, takes the directory's lock and the lease, removes what a crash
   * left half done, and loads the tablet index. Throws CATALOG_NOT_WRITABLE, CATALOG_LOCKED,
   * CATALOG_NEWER, CATALOG_DAMAGED, CATALOG_KEY; nothing stays open then.
   */
  static async open(options: CatalogOptions): Promise<Catalog> {
    const dir = resolve(options.dir);
    const opened = openFiles({ ...options, dir });
    try {
      const catalog = new Catalog(opened, options);
      await catalog.#firstStart(dir);
      const rolledBack = await catalog.#loadCommit.rollBackAll();
      if (rolledBack > 0)
        options.log.warn('loads that ran when the server ended were aborted', {
          loads: rolledBack,
        });
      await catalog.#purger.abandonAll();
      await catalog.#loadTablets(opened.reader);
      await catalog.#loadLeads(opened.reader);
      await catalog.#loadReplicas();
      catalog.#purger.start();
      return catalog;
    } catch (error) {
      closeFiles(opened);
      throw error;
    }
  }

  /**
   * All of `body` or nothing, after all transactions asked for before. `body` must await nothing
   * but `tx`, and touch about 2,000 rows at most. See `Writer.transaction` for what it throws.
   */
  async transaction<T>(body: (tx: CatalogTransaction) => Promise<T>): Promise<T> {
    return this.#open.writer.transaction((session) =>
      body(new CatalogTransaction(session, this.#memory)),
    );
  }

  /**
   * Makes a load visible, all of it or nothing; see `LoadCommit.commit`. `writer` wrote the
   * rowsets: its compute group, at the commit, is their source. `prepared`: of a replicated table.
   */
  async commitLoad(
    txnId: TxnId,
    rowsets: readonly NewRowset[],
    counts: CommitCounts,
    writer?: BackendId,
    prepared?: readonly PreparedReplicas[],
  ): Promise<LoadTxn> {
    const replicas = prepared === undefined ? {} : { prepared };
    return this.#loadCommit.commit(txnId, { ...counts, rowsets, ...replicas }, writer);
  }

  /**
   * A backend has something with this id. True: this catalog has not given it, so it is an older
   * copy of one that has; it will not give it any more.
   */
  isFromLostCatalog(seen: number): boolean {
    return this.#open.writer.ids.seen(seen);
  }

  /**
   * Replicas have this version of the partition, which was published by the catalog of which this is
   * an older copy: it is visible from now on. Those of `behind` miss what they have not. False: it
   * was visible already, or the partition is gone.
   */
  async recoverVersion(
    tableId: TableId,
    partitionId: PartitionId,
    version: number,
    behind: readonly ReplicaVersion[],
  ): Promise<boolean> {
    return await this.#loadCommit.recover(tableId, partitionId, version, behind);
  }

  /** Calls `listener` right after each commit that creates, changes, renames or drops tables. */
  onTableChange(listener: (change: TableChange) => void): () => void {
    return this.#memory.cache.onChange(listener);
  }

  /** Resolves when what was dropped so far has become garbage items. */
  async purged(): Promise<void> {
    await this.#purger.idle();
  }

  /** Waits for transactions that were asked for; later ones throw CATALOG_CLOSED. */
  async close(): Promise<void> {
    await this.#purger.stop();
    await this.#open.writer.close();
    closeFiles(this.#open);
  }

  /** As a crash: what runs is undone and whoever goes on gets errors. For the simulator. */
  abandon(): void {
    closeFiles(this.#open);
  }

  /** What every data directory begins with. */
  async #firstStart(dir: string): Promise<void> {
    if ((await this.accounts.list()).length > 0) return;
    await this.transaction(async (tx) => {
      await tx.vaults.create({ kind: 'file', name: BUILT_IN_VAULT, path: join(dir, 'vault') });
      await tx.vaults.setDefault(BUILT_IN_VAULT);
      await tx.accounts.create({
        user: 'root',
        host: '%',
        plugin: 'mysql_native_password',
        authString: '',
      });
    });
  }

  async #loadLeads(bulk: SqliteConnection): Promise<void> {
    let last = 0;
    for (;;) {
      const confs = leadsAfter({ bulk }, last, TABLETS_PER_TURN);
      for (const conf of confs) this.#memory.leads.set(conf);
      last = confs.at(-1)?.tabletId ?? 0;
      if (confs.length < TABLETS_PER_TURN) return;
      await nextTurn();
    }
  }

  async #loadTablets(reader: SqliteConnection): Promise<void> {
    const partitions = reader.all<[number]>(
      `SELECT partition_id FROM partition_def
       INNER JOIN table_def ON table_def.table_id = partition_def.table_id
       INNER JOIN database_def ON database_def.database_id = table_def.database_id
       WHERE partition_def.state = 'NORMAL' AND table_def.state = 'NORMAL'`,
      [],
    );
    const visible = new Set(partitions.map(([partitionId]) => partitionId as PartitionId));
    const hidden = new Set(
      reader
        .all<[number]>("SELECT index_id FROM index_def WHERE state <> 'NORMAL'", [])
        .map(([indexId]) => indexId),
    );
    let last = 0;
    for (;;) {
      const rows = reader.all<[number, number, PartitionId, number, number, number, number]>(
        `SELECT tablet_id, table_id, partition_id, index_id, bucket, bytes, row_count FROM tablet
         WHERE tablet_id > ? ORDER BY tablet_id LIMIT ${TABLETS_PER_TURN}`,
        [last],
      );
      for (const row of rows) {
        if (visible.has(row[2]) && !hidden.has(row[3])) this.tablets.append(...row);
      }
      last = rows.at(-1)?.[0] ?? 0;
      if (rows.length < TABLETS_PER_TURN) return;
      await nextTurn();
    }
  }

  async #loadReplicas(): Promise<void> {
    for (let last = 0; ;) {
      const replicas = replicasAfter(this.#open.reader, last, TABLETS_PER_TURN);
      for (const replica of replicas) this.#memory.replicas.add(replica);
      last = replicas.at(-1)?.replicaId ?? 0;
      if (replicas.length < TABLETS_PER_TURN) return;
      await nextTurn();
    }
  }
}

interface Opened {
  readonly lock: DirectoryLock;
  readonly connection: SqliteConnection;
  readonly reader: SqliteConnection;
  readonly writer: Writer;
  readonly box: SecretBox;
  readonly epoch: number;
}

function openFiles(options: CatalogOptions): Opened {
  const { dir, clock, holder } = options;
  const lock = DirectoryLock.take(dir, holder);
  const connections: SqliteConnection[] = [];
  try {
    const file = join(dir, 'catalog.db');
    const connection = new SqliteConnection(file, 'write');
    connections.push(connection);
    migrate(connection, file, clock.now());
    const epoch = takeLease(connection, holder, clock.now());
    const box = SecretBox.open(join(dir, 'secret.key'), options.random);
    const reader = new SqliteConnection(file, 'read');
    connections.push(reader);
    const writer = new Writer(connection, clock, epoch, options.onLeaseLost);
    reader.follow(() => writer.commits, clock);
    return { lock, connection, reader, writer, box, epoch };
  } catch (error) {
    for (const connection of connections) connection.close();
    lock.release();
    throw error;
  }
}

function closeFiles(opened: Opened): void {
  opened.reader.close();
  opened.connection.close();
  opened.lock.release();
}
