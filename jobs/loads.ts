/**
 * Loads from the server's side: begin and commit for backends (stream load), and the whole of
 * INSERT ... VALUES, whose rows a backend of the session's compute group writes. What is different
 * for replicated tables is in `replica_loads.ts`.
 */
import type {
  AgentTransport,
  BeginLoadReply,
  LoadOutcome,
  LoadTarget,
} from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, TxnId } from '../base/ids.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import type { PreparedReplicas, TxnOutcome } from '../base/replica.ts';
import { type TableDef, isReplicated } from '../base/schema.ts';
import type { SqlValue } from '../base/values.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { LoadWriters } from './load_writers.ts';
import { Periodic } from './periodic.ts';
import type { ReplicaBoard } from './replica_board.ts';
import { loadReplicas, settleAborted, settleVisible, txnOutcomes } from './replica_loads.ts';
import { untilStarted } from './starting_backends.ts';
import { recoverVersions } from './version_recovery.ts';
import { whileAlive } from './while_alive.ts';

/** Rounds of house-keeping: loads that timed out, labels that are old. */
const TICK_MS = 10_000;
const PER_TICK = 200;
/** Backends that may be lost while they write the rows of one INSERT. */
const INSERT_TRIES_MAX = 3;
/** For so long after the start a load waits for the first reports of what it is to be added to. */
const YOUNG_MS = 10_000;
const LOOK_MS = 20;

export interface LoadsDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What backends have reported; without it the catalog is taken for complete. */
  readonly board?: ReplicaBoard;
}

export interface InsertRows {
  readonly table: TableDef;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly SqlValue[])[];
  /** Empty: one is drawn. */
  readonly label: string;
  readonly computeGroupName: string;
  readonly signal: AbortSignal;
}

export interface InsertedRows {
  readonly label: string;
  readonly txnId: TxnId;
  readonly rows: number;
}

export class LoadCoordinator {
  readonly #deps: LoadsDeps;
  readonly #housekeeping: Periodic;
  readonly #writers: LoadWriters;
  #stopListening: () => void = () => undefined;
  readonly #startedMs: number;
  #turn = 0;

  constructor(deps: LoadsDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonic();
    this.#writers = new LoadWriters(deps.registry);
    this.#housekeeping = new Periodic({
      ...deps,
      what: 'house-keeping of loads',
      pauseMs: () => TICK_MS,
      round: async () => {
        await this.#tick();
      },
    });
  }

  start(): void {
    this.#housekeeping.start();
    this.#stopListening = this.#deps.registry.onHeartbeat(() => {
      for (const txnId of this.#writers.lost()) void this.#abortLost(txnId);
    });
  }

  async close(): Promise<void> {
    this.#stopListening();
    await this.#housekeeping.close();
  }

  /**
   * `writer`: the backend that will say how it ended, and if it is started again, that is the end.
   * Throws BAD_DB, NO_SUCH_TABLE, BAD_LABEL.
   */
  async begin(
    database: string,
    tableName: string,
    label: string,
    timeoutMs: number,
    writer?: BackendId,
  ): Promise<BeginLoadReply> {
    const { catalog } = this.#deps;
    const table = await catalog.tables.get(database, tableName);
    const begun = await catalog.loads.begin({
      databaseId: table.databaseId,
      tableId: table.tableId,
      label,
      timeoutMs,
    });
    const { txnId, state } = begun.txn;
    if (begun.status === 'LABEL_EXISTS') {
      const existingStatus = state === 'VISIBLE' ? 'FINISHED' : 'RUNNING';
      return { status: 'LABEL_EXISTS', txnId, existingStatus };
    }
    if (writer !== undefined) this.#writers.begun(txnId, writer);
    try {
      if (isReplicated(table)) await this.#reported(table);
      return { status: 'BEGUN', txnId, target: await this.#target(table) };
    } catch (error) {
      await this.abort(txnId, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /**
   * Partitions and tablets of one moment: the table may have been truncated or dropped since it was
   * looked up. Throws LOAD_FAILED.
   */
  async #target({ tableId, databaseName, name }: TableDef): Promise<LoadTarget> {
    const { tables } = this.#deps.catalog;
    const table = await tables.byId(tableId);
    const target = table === undefined ? undefined : tables.loadTarget(table);
    if (table === undefined || target === undefined || !isWhole(target)) {
      const why = `table ${databaseName}.${name} was dropped or truncated meanwhile`;
      throw new SqlError('LOAD_FAILED', { why });
    }
    if (!isReplicated(table)) return target;
    return { ...target, replicas: await loadReplicas(this.#deps, table) };
  }

  /**
   * Resolves when the rows are visible; `writer` wrote them. A repeat of a commit that succeeded
   * is fine.
   */
  async commit(txnId: TxnId, outcome: LoadOutcome, writer: BackendId): Promise<void> {
    const { rowsets, prepared } = outcome;
    if (prepared !== undefined) await this.#recover(prepared);
    await this.#deps.catalog.commitLoad(txnId, rowsets, outcome, writer, prepared);
    this.#writers.ended(txnId);
    if (prepared !== undefined) await settleVisible(this.#deps, txnId, prepared);
  }

  /** A server that has just started has to know which versions there are, see `recoverVersions`. */
  async #reported({ partitions }: TableDef): Promise<void> {
    const { board, catalog, registry, clock } = this.#deps;
    const isYoung = (): boolean => clock.monotonic() - this.#startedMs < YOUNG_MS;
    if (board === undefined || !isYoung()) return;
    const replicas = partitions.flatMap(({ partitionId }) =>
      catalog.tablets
        .ofPartition(partitionId)
        .map(({ tabletId }) => catalog.replicas.ofTablet(tabletId)),
    );
    const isOpen = (own: (typeof replicas)[number]): boolean =>
      own.some(({ backendId }) => registry.isAlive(backendId)) &&
      !own.some(({ backendId }) => board.isComplete(backendId));
    while (isYoung() && replicas.some(isOpen)) await clock.sleep(LOOK_MS);
  }

  async #recover(prepared: readonly PreparedReplicas[]): Promise<void> {
    const { board } = this.#deps;
    if (board === undefined) return;
    const tabletIds = prepared.map(({ tabletId }) => tabletId);
    await recoverVersions({ ...this.#deps, board }, tabletIds);
  }

  async abort(txnId: TxnId, reason: string): Promise<void> {
    const { catalog } = this.#deps;
    this.#writers.ended(txnId);
    await catalog.loads.abort(txnId, reason);
    const load = await catalog.loads.find(txnId);
    const table = load === undefined ? undefined : await catalog.tables.byId(load.tableId);
    if (table === undefined || !isReplicated(table)) return;
    settleAborted(this.#deps, txnId, await loadReplicas(this.#deps, table));
  }

  /** For backends that have prepared rowsets of these transactions. */
  async outcomes(txnIds: readonly TxnId[]): Promise<TxnOutcome[]> {
    return await txnOutcomes(this.#deps.catalog, txnIds);
  }

  /**
   * All rows or none; again by another backend when the one that wrote them is lost. Throws the
   * first bad row's error, LABEL_EXISTS, NO_ALIVE_BACKEND, LOAD_FAILED, AGENT_LOST.
   */
  async insert(insert: InsertRows): Promise<InsertedRows> {
    const { random, log } = this.#deps;
    const label = insert.label || `insert_${Buffer.from(random.bytes(12)).toString('hex')}`;
    for (let attempt = 1; ; attempt += 1) {
      const backendId = await this.#pickBackend(insert);
      try {
        return await this.#insertBy(backendId, { ...insert, label });
      } catch (error) {
        if (attempt === INSERT_TRIES_MAX || !isLost(error, backendId)) throw error;
        log.info('an INSERT is begun again: its backend is lost', { backendId, label });
      }
    }
  }

  async #insertBy(backendId: BackendId, insert: InsertRows): Promise<InsertedRows> {
    const { transport, config, clock } = this.#deps;
    const { table, columns, rows, label, signal } = insert;
    const timeoutMs = config.get('stream_load_default_timeout_second') * 1000;
    const begun = await this.begin(table.databaseName, table.name, label, timeoutMs);
    const { txnId } = begun;
    if (begun.status === 'LABEL_EXISTS') throw new SqlError('LABEL_EXISTS', { label, txnId });
    const { target } = begun;
    const startedMs = clock.monotonic();
    try {
      const request = { txnId, target, columns, rows };
      const outcome = await whileAlive(this.#deps, backendId, 'load', signal, (ends) =>
        transport.call(backendId, 'load', request, { timeoutMs, signal: ends }),
      );
      await this.commit(txnId, outcome, backendId);
      const ms = Math.round(clock.monotonic() - startedMs);
      this.#deps.log.debug('insert', { txnId, rows: outcome.loadedRows, ms });
      return { label, txnId, rows: outcome.loadedRows };
    } catch (error) {
      await this.abort(txnId, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** Alive backends in turn: of the session's group, of a replicated table's of its own group. */
  async #pickBackend({ table, computeGroupName: session }: InsertRows): Promise<BackendId> {
    const { catalog, registry } = this.#deps;
    const { replication } = table;
    const groups = await catalog.computeGroups.list();
    const own = groups.find((group) => group.computeGroupId === replication?.computeGroupId);
    const computeGroupName = own?.name ?? session;
    const group = own ?? (await catalog.computeGroups.get(session));
    const members = await catalog.backends.ofGroup(group.computeGroupId);
    const backendIds = members.map((backend) => backend.backendId);
    const isOneAlive = (): boolean => registry.alive(backendIds).length > 0;
    await untilStarted(this.#deps, backendIds, isOneAlive);
    const alive = registry.alive(backendIds);
    this.#turn += 1;
    const backendId = alive[this.#turn % Math.max(1, alive.length)];
    if (backendId === undefined) throw new SqlError('NO_ALIVE_BACKEND', { name: computeGroupName });
    return backendId;
  }

  /** It may have been committed a moment ago: then there is nothing to abort. */
  async #abortLost(txnId: TxnId): Promise<void> {
    try {
      await this.abort(txnId, 'its backend was started again');
    } catch (error) {
      this.#deps.log.info('a load of a backend that was started again could not be aborted', {
        txnId,
        error: String(error),
      });
    }
  }

  async #tick(): Promise<void> {
    const { catalog, config, clock } = this.#deps;
    for (const load of await catalog.loads.timedOut(PER_TICK)) {
      await this.abort(load.txnId, `not finished within ${load.timeoutMs} ms`);
    }
    const keepMs = config.get('label_keep_max_second') * 1000;
    await catalog.loads.expire(clock.now() - keepMs, PER_TICK);
  }
}

/** Whether every bucket of every partition has its tablet, in every index. */
function isWhole({ table, tablets, rollups }: LoadTarget): boolean {
  return [{ tablets }, ...rollups].every((index) =>
    table.partitions.every(({ buckets }, at) => index.tablets[at]?.length === buckets),
  );
}

/** Whether it is this backend that does not answer. */
function isLost(error: unknown, backendId: BackendId): boolean {
  const isSql = error instanceof SqlError && error.code === 'AGENT_LOST';
  return isSql && String(error.args['backend']) === String(backendId);
}
