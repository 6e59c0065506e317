/**
 * One schema change or rollup job, from where its rows say it is to its end. Rowsets are rewritten
 * in passes while loads go on; the last pass and the switch run while no load of the table commits.
 */
import type { AgentTransport, RewriteColumn, RewriteItem } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { type ErrorName, SqlError } from '../base/errors.ts';
import {
  type BackendId,
  type PartitionId,
  type RowsetId,
  type TxnId,
  rowsetId,
} from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import type { NewRowset, RowsetMeta, TableDef } from '../base/schema.ts';
import type { AlterJob } from '../catalog/alter_jobs.ts';
import type { TabletPair } from '../catalog/alter_tables.ts';
import type { Rewritten } from '../catalog/alter_writes.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { ALTER, type AlterEvent } from './alter_lifecycle.ts';
import { missingRowsets } from './alter_missing.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';

/** Calls of one job running at once, over all backends. */
const CALLS_MAX = 4;
/** Rowsets and bytes of one call; a larger rowset is a call of its own. */
const ITEMS_PER_CALL = 32;
const BYTES_PER_CALL = 64 * 2 ** 20;
/** A call may take this long, and longer by what its bytes take at the slowest bearable rate. */
const CALL_TIMEOUT_MS = 120_000;
const SLOWEST_BYTES_PER_MS = 250;
/** A pass that found no more than this is small enough for commits to wait for the next one. */
const SMALL_PASS = 64;
/** Passes after which the last one comes all the same. */
const PASSES_MAX = 10;
/** Milliseconds that the switch waits for loads that would be refused after it. */
const SWITCH_PATIENCE_MS = 30_000;
const SHORT_PAUSE_MS = 20;
const PAUSE_MS = 500;
/** Tries after a failure that may pass, with doubling pauses, before the job gives up. */
const TRIES_MAX = 12;
/** A backend that was given up may go on writing for this long. */
export const LOST_WRITE_GRACE_MS = 600_000;
/** Leftover writes forgotten in one transaction. */
const WRITES_PER_TRANSACTION = 300;

/** Failures that say nothing about the data. */
const TRANSIENT: ReadonlySet<ErrorName> = new Set([
  'AGENT_LOST',
  'STORE_FAILED',
  'BACKEND_STATE',
  'NO_ALIVE_BACKEND',
  'CATALOG_BUSY',
  'CATALOG_FULL',
  'CATALOG_IO',
]);
/** The server ends: the rows say to the next one how to go on. */
const SHUTDOWN: ReadonlySet<ErrorName> = new Set(['CATALOG_CLOSED', 'CATALOG_LEASE_LOST']);

export interface AlterLaneDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly holds: SnapshotHolds;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What one call is to do. */
interface Chunk {
  readonly backendId: BackendId;
  readonly columns: readonly RewriteColumn[];
  readonly items: RewriteItem[];
  bytes: number;
}

interface Todo {
  readonly pair: TabletPair;
  readonly source: RowsetMeta;
}

export class AlterLane {
  readonly #deps: AlterLaneDeps;
  readonly #signal: AbortSignal;
  #job: AlterJob;
  /** On the rowsets written from now on. */
  #txnId: TxnId;
  /** Versions up to which all rowsets of a partition are rewritten. */
  readonly #converted = new Map<PartitionId, number>();
  #found = 0;
  #done = 0;
  #failures = 0;

  /** `signal`: stop where it is; the rows say how to go on. */
  constructor(deps: AlterLaneDeps, job: AlterJob, signal: AbortSignal) {
    this.#deps = deps;
    this.#job = job;
    this.#txnId = job.txnId;
    this.#signal = signal;
  }

  /** Rowsets rewritten in this life of the server, of those found so far. */
  get progress(): { readonly done: number; readonly found: number } {
    return { done: this.#done, found: this.#found };
  }

  /**
   * Goes on until the job has ended, the signal was given (both: undefined), or it has to wait:
   * milliseconds until it should be run again. Others get its place meanwhile.
   */
  async run(): Promise<number | undefined> {
    while (!this.#signal.aborted && !ALTER.final.has(this.#job.state)) {
      let pauseMs = 0;
      try {
        pauseMs = await this.#step();
        if (pauseMs === 0) this.#failures = 0;
      } catch (error) {
        if (this.#signal.aborted) return undefined;
        pauseMs = await this.#failed(error);
      }
      if (pauseMs > 0) return pauseMs;
    }
    return undefined;
  }

  /** Milliseconds until the next one; 0: at once. */
  async #step(): Promise<number> {
    const { catalog, clock } = this.#deps;
    const job = this.#job;
    const table = await catalog.tables.byId(job.tableId);
    if (table === undefined) return this.#apply('tableGone', 'table was dropped');
    if (clock.now() - job.createMs > job.timeoutMs) return this.#apply('timedOut', 'timeout');
    switch (job.state) {
      case 'PENDING':
        await catalog.alterTables.addTablets(job);
        return this.#apply('prepared');
      case 'WAITING_TXN':
        if (catalog.alterJobs.hasLoads(job.tableId, job.txnId)) return PAUSE_MS;
        return this.#apply('loadsDone');
      case 'RUNNING':
        await this.#forgetOldWrites();
        await this.#rewriteTable(table);
        return 0;
      case 'FINISHED':
      case 'CANCELLED':
        return 0;
    }
  }

  async #apply(event: AlterEvent, msg = ''): Promise<number> {
    const { catalog, log } = this.#deps;
    const job = this.#job;
    const cell = ALTER.cell(job.state, event);
    if (cell.kind === 'bug') throw new Error(`alter job ${job.jobId}: ${event} in ${job.state}`);
    if (cell.kind === 'late') return 0;
    if (cell.effect === 'cleanUp') await catalog.alterTables.cancel(job, msg);
    else await catalog.alterJobs.move(job, cell.to, msg);
    await this.#reread();
    const { jobId, state, tableName } = this.#job;
    log.info('alter job', { jobId, state, table: tableName, reason: msg });
    return 0;
  }

  async #reread(): Promise<void> {
    const now = await this.#deps.catalog.alterJobs.find(this.#job.jobId);
    if (now !== undefined) this.#job = now;
  }

  /** What a failure means; milliseconds until the next try. */
  async #failed(error: unknown): Promise<number> {
    const { log } = this.#deps;
    const { jobId } = this.#job;
    const text = error instanceof Error ? error.message : String(error);
    const { code } = error as { readonly code?: ErrorName | 'STALE_ROW' };
    if (error instanceof SqlError && SHUTDOWN.has(error.code)) return PAUSE_MS;
    if (code === 'STALE_ROW') {
      await this.#reread();
      return 0;
    }
    this.#failures += 1;
    const isData = error instanceof SqlError && !TRANSIENT.has(error.code);
    if (!isData) log.warn('an alter job met a failure', { jobId, error: text });
    const waitsForBackend = code === 'NO_ALIVE_BACKEND' || code === 'AGENT_LOST';
    if (!isData && (waitsForBackend || this.#failures < TRIES_MAX)) {
      return Math.min(PAUSE_MS * 2 ** Math.min(this.#failures, 6), 30_000);
    }
    if (code === 'BAD_TABLE') return this.#apply('tableGone', 'table was dropped');
    return this.#apply('failed', text);
  }

  /** Nothing runs yet: what is planned is of a life before, and its backends may be writing. */
  async #forgetOldWrites(): Promise<void> {
    const { alterWrites } = this.#deps.catalog;
    const writes = alterWrites.plannedWrites(this.#job.jobId);
    for (let at = 0; at < writes.length; at += WRITES_PER_TRANSACTION) {
      const some = writes.slice(at, at + WRITES_PER_TRANSACTION);
      await alterWrites.dropWrites(this.#job, some, LOST_WRITE_GRACE_MS);
    }
  }

  // -------------------------------------------------------------------------------------------
  // Rewriting and switching

  async #rewriteTable(table: TableDef): Promise<void> {
    const { catalog } = this.#deps;
    const job = this.#job;
    for (let pass = 1; pass <= PASSES_MAX; pass += 1) {
      if ((await this.#pass(table)) <= SMALL_PASS) break;
    }
    const partitions = catalog.alterTables.versions(job).keys();
    this.#txnId = await catalog.alterTables.stamp(job, partitions);
    await this.#waitForLoads();
    await this.#pass(table);
    const isDone = await catalog.alterTables.exclusive(job.tableId, async () => {
      const versions = catalog.alterTables.versions(job);
      await this.#pass(table);
      const plan = await catalog.alterTables.switchPlan(job, versions, this.#txnId);
      return catalog.alterTables.switch(job, plan);
    });
    await this.#reread();
    const { jobId, state, tableName } = this.#job;
    if (isDone) this.#deps.log.info('alter job', { jobId, state, table: tableName });
  }

  /**
   * Loads under way are refused at their commit after the switch: those that began before now get
   * some time. INSERTs that begin meanwhile are repeated by the server when they are refused.
   */
  async #waitForLoads(): Promise<void> {
    const { catalog, clock } = this.#deps;
    const until = clock.monotonic() + SWITCH_PATIENCE_MS;
    while (clock.monotonic() < until) {
      if (!catalog.alterJobs.hasLoads(this.#job.tableId, this.#txnId)) return;
      await clock.sleep(SHORT_PAUSE_MS, this.#signal);
    }
  }

  /** How many rowsets there were to rewrite. */
  async #pass(table: TableDef): Promise<number> {
    const { catalog, holds } = this.#deps;
    await catalog.alterTables.addTablets(this.#job);
    let found = 0;
    this.#signal.throwIfAborted();
    for (const [partitionId, version] of catalog.alterTables.versions(this.#job)) {
      if (this.#converted.get(partitionId) === version) continue;
      await holds.during(async () => {
        const todo = await this.#missing(partitionId);
        found += todo.length;
        await this.#rewriteAll(table, todo);
      });
      this.#converted.set(partitionId, version);
    }
    return found;
  }

  async #missing(partitionId: PartitionId): Promise<Todo[]> {
    const { alterTables, alterWrites, rowsets } = this.#deps.catalog;
    const pairs = alterTables.pairs(this.#job, partitionId);
    const visible = await rowsets.visible([...new Set(pairs.map(({ source }) => source))]);
    const todo: Todo[] = [];
    for (const pair of pairs) {
      const done = alterWrites.rewritten(pair.target);
      const { missing, stale } = missingRowsets(visible.get(pair.source) ?? [], done);
      if (stale.length > 0) await alterWrites.discard(pair.target, stale);
      for (const source of missing) todo.push({ pair, source });
    }
    return todo;
  }

  async #rewriteAll(table: TableDef, todo: readonly Todo[]): Promise<void> {
    if (todo.length === 0) return;
    const doneBefore = this.#done;
    this.#found += todo.length;
    const chunks = await this.#chunks(todo);
    let next = 0;
    const work = async (): Promise<void> => {
      for (let chunk = chunks[next]; chunk !== undefined; chunk = chunks[next]) {
        this.#signal.throwIfAborted();
        next += 1;
        try {
          await this.#rewrite(table, chunk);
        } catch (error) {
          // The others end what they are doing.
          next = chunks.length;
          throw error;
        }
      }
    };
    const workers = Array.from({ length: CALLS_MAX }, () => work());
    const ended = await Promise.allSettled(workers);
    for (const { status, ...rest } of ended) {
      if (status !== 'rejected' || !('reason' in rest)) continue;
      // What is left is found again.
      this.#found -= todo.length - (this.#done - doneBefore);
      throw rest.reason;
    }
  }

  /** By index and by the backend that serves the old tablet. */
  async #chunks(todo: readonly Todo[]): Promise<Chunk[]> {
    const alive = await this.#aliveBackends();
    const open = new Map<string, Chunk>();
    const chunks: Chunk[] = [];
    for (const { pair, source } of todo) {
      const backendId = servingBackend(pair.source, alive);
      if (backendId === undefined) {
        throw new SqlError('NO_ALIVE_BACKEND', { name: this.#job.sourceGroup });
      }
      const key = `${pair.indexId}/${backendId}`;
      let chunk = open.get(key);
      if (chunk === undefined || !hasRoom(chunk, source.bytes)) {
        chunk = { backendId, columns: this.#columnsOf(pair), items: [], bytes: 0 };
        chunks.push(chunk);
        open.set(key, chunk);
      }
      chunk.items.push({ source, tabletId: pair.target, rowsetId: this.#newRowsetId() });
      chunk.bytes += source.bytes;
    }
    return chunks;
  }

  #columnsOf({ indexId }: TabletPair): readonly RewriteColumn[] {
    const index = this.#job.indexes.find((candidate) => candidate.indexId === indexId);
    if (index === undefined) throw new Error(`job ${this.#job.jobId} has no index ${indexId}`);
    return index.columns;
  }

  /** Of the job's compute group; of all when that has no backends any more. */
  async #aliveBackends(): Promise<BackendId[]> {
    const { catalog, registry } = this.#deps;
    const backends = await catalog.backends.list();
    const own = backends.filter((backend) => backend.computeGroupName === this.#job.sourceGroup);
    const meant = own.length > 0 ? own : backends;
    return registry.alive(meant.map((backend) => backend.backendId));
  }

  #newRowsetId(): RowsetId {
    return rowsetId(Buffer.from(this.#deps.random.bytes(16)).toString('hex'));
  }

  async #rewrite(table: TableDef, { backendId, columns, items, bytes }: Chunk): Promise<void> {
    const { catalog, transport } = this.#deps;
    const job = this.#job;
    await catalog.alterWrites.planWrites(job, items);
    let rowsets: readonly NewRowset[];
    try {
      const reply = await transport.call(
        backendId,
        'rewriteRowsets',
        {
          tableName: `${table.databaseName}.${table.name}`,
          vaultId: table.vaultId,
          schemaVersion: job.schemaVersion + 1,
          nowMs: job.createMs,
          columns,
          items,
        },
        {
          timeoutMs: CALL_TIMEOUT_MS + Math.ceil(bytes / SLOWEST_BYTES_PER_MS),
          signal: this.#signal,
        },
      );
      rowsets = reply.rowsets;
    } catch (error) {
      const isOver = error instanceof SqlError && error.code !== 'AGENT_LOST';
      await catalog.alterWrites.dropWrites(job, items, isOver ? 0 : LOST_WRITE_GRACE_MS);
      throw error;
    }
    await catalog.alterWrites.addRewritten(job, paired(items, rowsets), this.#txnId);
    this.#done += items.length;
  }
}

function hasRoom({ items, bytes }: Chunk, more: number): boolean {
  return items.length < ITEMS_PER_CALL && bytes + more <= BYTES_PER_CALL;
}

/** Throws when a backend answered something else than it was asked for. */
function paired(items: readonly RewriteItem[], rowsets: readonly NewRowset[]): Rewritten[] {
  if (items.length !== rowsets.length) throw new Error(`${rowsets.length} rowsets were written`);
  return items.map(({ source, tabletId, rowsetId: planned }, at) => {
    const rowset = rowsets[at];
    const isRight =
      rowset?.rowsetId === planned && rowset.tabletId === tabletId && rowset.rows === source.rows;
    if (!isRight) {
      const what = 'it is not what was to be written';
      throw new SqlError('CORRUPT_OBJECT', { key: `rowset ${planned}`, what });
    }
    return { source, rowset };
  });
}
