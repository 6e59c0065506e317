/**
 * Compactions from the server's side: which tablets, when, and on which backend. Commits wake it
 * (only the tablets they touched are looked at); a slow sweep after the start finds what was
 * waiting when the server before ended. Loads never wait for it: a compaction takes the catalog for
 * two short transactions, and no version changes.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport, CompactRequest } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { rowsetId } from '../base/ids.ts';
import type { BackendId, TableId, TabletId, TxnId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import { type NewRowset, type RowsetMeta, type TableDef, columnsOfIndex } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { COMPACTION_INPUTS_MAX, type Compaction } from '../catalog/compactions.ts';
import { tellFollowers } from './cache_followers.ts';
import type { BackendRegistry } from './backend_registry.ts';
import {
  type CompactionChoice,
  type CompactionMode,
  type CompactionRules,
  chooseCompaction,
} from './compaction_policy.ts';
import { CompactionQueue, type WaitingTablet } from './compaction_queue.ts';
import { RetryPauses } from './compaction_retries.ts';
import { GroupsNow } from './groups_now.ts';
import { RestingTablets } from './resting_tablets.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';

/** Commits are gathered for so long: a tablet that many loads touch is looked at once. */
const GATHER_MS = 100;
/** Transactions remembered until they are looked at; past it the sweep starts again instead. */
const TXNS_MAX = 10_000;
const TABLETS_PER_TURN = 500;
const SWEEP_PAUSE_MS = 200;
const SWEEP_ROWSETS = 2000;
const WAITING_MAX = 100_000;
/** With so many rowsets a tablet is compacted while it is being loaded, too. */
const BUSY_ROWSETS = 20;
/** The backend gives up first, so that its word is heard. */
const CALL_MARGIN_MS = 5000;

export interface CompactionDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly holds: SnapshotHolds;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** RETRYING: the last one failed, the next try comes by itself. */
export type TabletCompactionState = 'IDLE' | 'PENDING' | 'RUNNING' | 'RETRYING';

export interface CompactionCounters {
  readonly running: number;
  readonly waiting: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Came too late to be committed: what they merged was gone. */
  readonly superseded: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** MERGED: look again. */
type Outcome = 'MERGED' | 'NOTHING';

/** What one compaction is to do. */
interface Work {
  readonly table: TableDef;
  readonly choice: CompactionChoice;
  readonly inputs: readonly RowsetMeta[];
  readonly backendId: BackendId;
  isCommitted: boolean;
}

export class CompactionScheduler {
  readonly #deps: CompactionDeps;
  readonly #queue = new CompactionQueue(WAITING_MAX);
  readonly #retries: RetryPauses;
  readonly #resting: RestingTablets;
  readonly #running = new Map<TabletId, Promise<void>>();
  /** Asked for again while it runs. */
  readonly #again = new Map<TabletId, WaitingTablet>();
  /** Tables that were altered: it may be switched on now, or an ALTER job has ended. */
  readonly #altered = new Set<TableId>();
  #txns: { readonly tableId: TableId; readonly txnId: TxnId }[] = [];
  readonly #stop = new AbortController();
  #unsubscribe: (() => void)[] = [];
  #stopGather: (() => void) | undefined;
  #stopSweep: (() => void) | undefined;
  readonly #counts = { succeeded: 0, failed: 0, superseded: 0, readBytes: 0, writtenBytes: 0 };

  constructor(deps: CompactionDeps) {
    this.#deps = deps;
    this.#retries = new RetryPauses(deps.clock, () => {
      this.#pump();
    });
    this.#resting = new RestingTablets(deps.clock, WAITING_MAX, (tablets) => {
      for (const tablet of tablets) this.#queue.add({ ...tablet, mode: 'AUTO' });
      this.#pump();
    });
  }

  /** What ran when the server before ended becomes garbage, and is done again. */
  async start(): Promise<void> {
    const { catalog, config, log } = this.#deps;
    const tablets = await catalog.compactions.abandonAll(this.#garbageMs());
    if (tablets.length > 0) log.warn('compactions were interrupted', { tablets: tablets.length });
    this.#unsubscribe = [
      catalog.rowsetEvents.onCommit((event) => {
        if (event.kind !== 'COMPACTION') this.#committed(event);
      }),
      catalog.onTableChange((change) => {
        if ('tableId' in change) this.#altered.add(change.tableId);
        this.#gatherSoon();
      }),
      config.onChange((key) => {
        if (key === 'disable_auto_compaction') this.#sweep(0);
        if (key === 'max_concurrent_compactions') this.#pump();
      }),
    ];
    this.#sweep(0);
  }

  /** Running ones are given up; resolves when the catalog knows. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#stopGather?.();
    this.#stopSweep?.();
    this.#retries.close();
    this.#resting.close();
    await Promise.all(this.#running.values());
  }

  /** ALTER TABLE ... COMPACT: returns at once. Each tablet is compacted until nothing is left. */
  request(tableId: TableId, tabletIds: readonly TabletId[], mode: CompactionMode): void {
    for (const tabletId of tabletIds) {
      this.#retries.forget(tabletId);
      this.#queue.add({ tableId, tabletId, mode });
    }
    this.#pump();
  }

  stateOf(tableId: TableId, tabletId: TabletId): TabletCompactionState {
    if (this.#running.has(tabletId)) return 'RUNNING';
    if (this.#queue.modeOf({ tableId, tabletId }) !== undefined) return 'PENDING';
    return this.#retries.has(tabletId) ? 'RETRYING' : 'IDLE';
  }

  /** What the policy would merge now; undefined: nothing. */
  candidates(tabletId: TabletId): { readonly rowsets: number; readonly merge: number } {
    const sizes = this.#deps.catalog.compactions.sizes(tabletId);
    const choice = chooseCompaction(sizes, 'AUTO', this.#rules());
    return { rowsets: sizes.length, merge: choice === undefined ? 0 : choice.to - choice.from };
  }

  counters(): CompactionCounters {
    return { ...this.#counts, running: this.#running.size, waiting: this.#queue.size };
  }

  // -------------------------------------------------------------------------------------------
  // Finding tablets

  #committed({ tableId, txnId }: { readonly tableId: TableId; readonly txnId: TxnId }): void {
    if (this.#txns.length >= TXNS_MAX) {
      this.#txns = [];
      this.#sweep(0);
      return;
    }
    this.#txns.push({ tableId, txnId });
    this.#gatherSoon();
  }

  #gatherSoon(): void {
    this.#stopGather ??= this.#deps.clock.after(GATHER_MS, () => {
      this.#stopGather = undefined;
      this.#background(this.#gather());
    });
  }

  async #gather(): Promise<void> {
    const { catalog, config } = this.#deps;
    const txns = this.#txns;
    const altered = [...this.#altered];
    this.#txns = [];
    this.#altered.clear();
    if (config.get('disable_auto_compaction')) return;
    for (const { tableId, txnId } of txns) {
      for (let after = 0; ;) {
        const tablets = catalog.compactions.tabletsOfTxn(txnId, after, TABLETS_PER_TURN);
        this.#consider(tableId, tablets);
        if (tablets.length < TABLETS_PER_TURN) break;
        after = tablets.at(-1) ?? after;
        await nextTurn();
        if (this.#stop.signal.aborted) return;
      }
    }
    for (const tableId of altered) {
      const tablets = catalog.tablets.ofTable(tableId).map(({ tabletId }) => tabletId);
      for (let at = 0; at < tablets.length; at += TABLETS_PER_TURN) {
        this.#consider(tableId, tablets.slice(at, at + TABLETS_PER_TURN));
        await nextTurn();
        if (this.#stop.signal.aborted) return;
      }
    }
    this.#pump();
  }

  #consider(tableId: TableId, tablets: readonly TabletId[]): void {
    const { catalog, config } = this.#deps;
    const min = config.get('cumulative_compaction_min_deltas');
    const quietMs = config.get('cumulative_compaction_quiet_second') * 1000;
    for (const tabletId of tablets) {
      // Who runs looks again when it has merged; who failed waits for its pause.
      if (this.#running.has(tabletId) || this.#retries.has(tabletId)) continue;
      const rowsets = catalog.compactions.rowsetCount(tabletId);
      if (rowsets < min) continue;
      if (rowsets < BUSY_ROWSETS && quietMs > 0) this.#resting.rest({ tableId, tabletId }, quietMs);
      else this.#queue.add({ tableId, tabletId, mode: 'AUTO' });
    }
  }

  /** Walks over all rowsets from a tablet on, a few at a time. */
  #sweep(from: number): void {
    const { catalog, config, clock } = this.#deps;
    this.#stopSweep?.();
    if (this.#stop.signal.aborted) return;
    this.#stopSweep = clock.after(SWEEP_PAUSE_MS, () => {
      this.#stopSweep = undefined;
      if (config.get('disable_auto_compaction')) return;
      const min = config.get('cumulative_compaction_min_deltas');
      const { tablets, next } = catalog.compactions.crowded(from, SWEEP_ROWSETS, min);
      for (const tabletId of tablets) {
        const tableId = catalog.tablets.get(tabletId)?.tableId;
        if (tableId !== undefined) this.#consider(tableId, [tabletId]);
      }
      this.#pump();
      if (next !== undefined) this.#sweep(next);
    });
  }

  // -------------------------------------------------------------------------------------------
  // Running them

  #pump(): void {
    const { config } = this.#deps;
    if (this.#stop.signal.aborted || this.#retries.isPaused) return;
    while (this.#running.size < config.get('max_concurrent_compactions')) {
      const waiting = this.#queue.take();
      if (waiting === undefined) return;
      const { tabletId } = waiting;
      if (this.#running.has(tabletId)) {
        this.#again.set(tabletId, waiting);
        continue;
      }
      const work = this.#work(waiting).finally(() => {
        this.#running.delete(tabletId);
        const again = this.#again.get(tabletId);
        this.#again.delete(tabletId);
        if (again !== undefined) this.#queue.add(again);
        this.#pump();
      });
      this.#running.set(tabletId, work);
    }
  }

  async #work(waiting: WaitingTablet): Promise<void> {
    const { holds, log } = this.#deps;
    const { tabletId } = waiting;
    try {
      const outcome = await holds.during(() => this.#compact(waiting));
      this.#retries.forget(tabletId);
      if (outcome === 'NOTHING') return;
      this.#retries.succeeded();
      this.#queue.add(waiting);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#counts.failed += 1;
      log.warn('a compaction failed', { tabletId, error: textOf(error) });
      this.#retries.failed(tabletId, () => {
        this.#queue.add(waiting);
      });
    }
  }

  /** Within a hold: its inputs stay in the vault, whatever becomes of the table. */
  async #compact(waiting: WaitingTablet): Promise<Outcome> {
    const { catalog, random } = this.#deps;
    const { tabletId } = waiting;
    const work = await this.#plan(waiting);
    if (work === undefined) return 'NOTHING';
    const { table, choice, inputs, backendId } = work;
    const compaction = await catalog.compactions.begin({
      tabletId,
      tableId: table.tableId,
      vaultId: table.vaultId,
      rowsetId: rowsetId(Buffer.from(random.bytes(16)).toString('hex')),
      kind: choice.kind,
      backendId,
      inputRowsets: inputs.length,
      inputBytes: sumOf(inputs),
    });
    if (compaction === undefined) return 'NOTHING';
    let error = '';
    try {
      if (await this.#run(compaction, work)) return 'MERGED';
      this.#counts.superseded += 1;
      return 'NOTHING';
    } catch (caught) {
      error = this.#stop.signal.aborted ? '' : textOf(caught);
      throw caught;
    } finally {
      if (!work.isCommitted) {
        await catalog.compactions.giveUp(compaction, error, this.#garbageMs());
      }
    }
  }

  /** undefined: there is nothing to do, or not now. Throws NO_ALIVE_BACKEND. */
  async #plan({ tableId, tabletId, mode }: WaitingTablet): Promise<Work | undefined> {
    const { catalog } = this.#deps;
    const table = await catalog.tables.byId(tableId);
    if (table?.keysType !== 'DUPLICATE' || !this.#isWanted(table, mode)) return undefined;
    if (chooseCompaction(catalog.compactions.sizes(tabletId), mode, this.#rules()) === undefined) {
      return undefined;
    }
    const rowsets = (await catalog.rowsets.visible([tabletId])).get(tabletId) ?? [];
    const choice = chooseCompaction(rowsets, mode, this.#rules());
    const inputs = choice === undefined ? [] : rowsets.slice(choice.from, choice.to);
    const newest = inputs.at(-1);
    if (choice === undefined || newest === undefined) return undefined;
    const backendId = await this.#backendFor(
      tabletId,
      catalog.compactions.sourceGroupOf(tabletId, newest.rowsetId),
    );
    return { table, choice, inputs, backendId, isCommitted: false };
  }

  /** False: it came too late. */
  async #run(compaction: Compaction, work: Work): Promise<boolean> {
    const { table, inputs, backendId } = work;
    const { catalog, transport, config, clock, log } = this.#deps;
    const { tabletId } = compaction;
    const tablet = catalog.tablets.get(tabletId);
    if (tablet === undefined) return false;
    const timeoutMs = config.get('compaction_timeout_ms');
    const startedMs = clock.monotonic();
    const request: CompactRequest = {
      compactionId: compaction.compactionId,
      timeoutMs,
      tableName: `${table.databaseName}.${table.name}`,
      tabletId,
      partitionId: tablet.partitionId,
      columns: columnsOfIndex(table, tablet.indexId),
      schemaVersion: table.schemaVersion,
      inputs,
      vaultId: compaction.vaultId,
      rowsetId: compaction.rowsetId,
    };
    const { rowset } = await transport.call(backendId, 'compact', request, {
      timeoutMs: timeoutMs + CALL_MARGIN_MS,
      signal: this.#stop.signal,
    });
    const bytesRead = sumOf(inputs);
    work.isCommitted = await catalog.compactions.commit(compaction, {
      inputs: inputs.map((input) => input.rowsetId),
      output: rowset,
      bytesRead,
      inputsGarbageMs: this.#garbageMs(),
    });
    if (!work.isCommitted) return false;
    this.#counts.succeeded += 1;
    this.#counts.readBytes += bytesRead;
    this.#counts.writtenBytes += rowset.bytes;
    this.#follow(work, rowset, compaction);
    const ms = Math.round(clock.monotonic() - startedMs);
    const { kind } = compaction;
    log.debug('compaction', { tabletId, kind, rowsets: inputs.length, rows: rowset.rows, ms });
    return true;
  }

  #follow({ table, inputs, backendId }: Work, rowset: NewRowset, { vaultId }: Compaction): void {
    const [oldest] = inputs;
    const newest = inputs.at(-1);
    if (oldest === undefined || newest === undefined) return;
    const { startVersion } = oldest;
    const { endVersion, txnId, createdMs } = newest;
    const output = { ...rowset, startVersion, endVersion, vaultId, txnId, createdMs };
    const { ttlSeconds } = table;
    this.#background(tellFollowers(this.#deps, { ttlSeconds, inputs, output, writer: backendId }));
  }

  /** The tablet's serving backend in the group of the newest rows, or in any that is alive. */
  async #backendFor(tabletId: TabletId, sourceGroup: string): Promise<BackendId> {
    const { catalog, registry } = this.#deps;
    const groups = await GroupsNow.read(catalog, registry);
    const alive = [sourceGroup, ...groups.names].map((group) => groups.servers(group));
    const backendId = servingBackend(tabletId, alive.find((members) => members.length > 0) ?? []);
    if (backendId === undefined) throw new SqlError('NO_ALIVE_BACKEND', { name: sourceGroup });
    return backendId;
  }

  #isWanted(table: TableDef, mode: CompactionMode): boolean {
    if (mode !== 'AUTO') return true;
    if (this.#deps.config.get('disable_auto_compaction')) return false;
    return table.properties['disable_auto_compaction']?.toLowerCase() !== 'true';
  }

  #rules(): CompactionRules {
    const { config } = this.#deps;
    const maxDeltas = config.get('cumulative_compaction_max_deltas');
    return {
      cumulativeMinDeltas: config.get('cumulative_compaction_min_deltas'),
      maxDeltas: Math.min(maxDeltas, COMPACTION_INPUTS_MAX),
      promotionBytes: config.get('compaction_promotion_size_mbytes') * 2 ** 20,
      baseMinRowsets: config.get('base_compaction_min_rowset_num'),
    };
  }

  #garbageMs(): number {
    const { clock, config } = this.#deps;
    return clock.now() + config.get('garbage_grace_ms');
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#deps.log.error('looking for compactions failed', { error: textOf(error) });
    });
  }
}

function sumOf(rowsets: readonly RowsetMeta[]): number {
  return rowsets.reduce((sum, rowset) => sum + rowset.bytes, 0);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
