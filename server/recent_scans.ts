/**
 * Small scans that come again: dashboards ask for the same table again and again, and mostly nobody
 * has loaded anything since. What a scan of the same rowsets finds never changes, so its rows are
 * kept here, and the backend is only asked whether it still has all of it (AgentCalls.repeatScans):
 * it counts a read then, in its cache's order and statistics as in its access counts. If it has not,
 * the scan is opened, and the backend fetches what is missing.
 */
import type { OpenScanRequest, ScanTablet } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import { LeasedScan, type ScanLease } from '../base/scan_lease.ts';
import { whileAlive } from '../jobs/while_alive.ts';
import { type BackendScan, type BackendScanServices, readScan } from './backend_scan.ts';
import { charactersOfBatch } from './select/recent_results.ts';
import { SMALL_ROWS_MAX } from './select/small_bound.ts';
import type { ScanRows } from './select/table_provider.ts';

/** Of a scan whose rows are kept; numbers count as 8 characters. */
const KEPT_ROWS_MAX = SMALL_ROWS_MAX;
const KEPT_CHARACTERS_MAX = 32 * 1024;
/** Scans kept of one list of columns: of several backends, or with several conditions. */
const KEPT_MAX = 16;
/** Until a backend has looked what it has; then the scan is opened. */
const REPEAT_TIMEOUT_MS = 30_000;

interface KeptScan {
  readonly backendId: BackendId;
  /** The latest that was the same. */
  request: OpenScanRequest;
  readonly ticket: string;
  readonly lease: LeasedScan | undefined;
  /** Of the backend whose lease it is: one that crashed could not end it. */
  readonly incarnation: string | undefined;
  readonly rows: ScanRows;
}

interface Question {
  times: number;
  readonly answer: PromiseWithResolvers<boolean>;
}

export class RecentScans {
  readonly #services: BackendScanServices;
  /** By the columns that a kept spelling wants of a table (`user_tables.ts`). */
  readonly #kept = new WeakMap<OpenScanRequest['columns'], KeptScan[]>();
  /** What is asked together in this turn of the event loop, by ticket. */
  readonly #asking = new Map<BackendId, Map<string, Question>>();
  #repeats = 0;

  constructor(services: BackendScanServices) {
    this.#services = services;
  }

  /** Scans that were answered with kept rows. */
  get repeats(): number {
    return this.#repeats;
  }

  /** As `readScan`. */
  async *read(scan: BackendScan, signal: AbortSignal): AsyncGenerator<ScanRows> {
    const kept = this.#find(scan);
    if (kept !== undefined && (this.#isLeased(kept) || (await this.#isHere(kept, signal)))) {
      if (kept.rows.rows > 0) yield kept.rows;
      return;
    }
    yield* this.#open(scan, signal);
  }

  /** One after the other; `known`: what `begin` has found of them. */
  async *readAll(
    scans: readonly BackendScan[],
    signal: AbortSignal,
    known: readonly (ScanRows | undefined)[] = [],
  ): AsyncGenerator<ScanRows> {
    for (const [at, scan] of scans.entries()) {
      const rows = known[at];
      if (rows === undefined) yield* this.#open(scan, signal);
      else if (rows.rows > 0) yield rows;
    }
  }

  /** Their rows, when all are kept and leased; else nothing is counted. */
  leased(scans: readonly BackendScan[]): readonly ScanRows[] | undefined {
    const kept: KeptScan[] = [];
    for (const scan of scans) {
      const one = this.#find(scan);
      if (one === undefined || !this.#mayBeLeased(one)) return undefined;
      kept.push(one);
    }
    // One that ends at this very moment is counted with the others, and had everything before it.
    for (const one of kept) this.#isLeased(one);
    return kept.map(({ rows }) => rows);
  }

  /**
   * By scan its rows, where they are kept and its backend still has everything; all backends are
   * asked at once, and none when they are so many that a statement may end before it needs all.
   */
  async begin(
    scans: readonly BackendScan[],
    signal: AbortSignal,
  ): Promise<readonly (ScanRows | undefined)[]> {
    const kept = scans.map((scan) => this.#find(scan));
    const rows = kept.reduce((sum, one) => sum + (one?.rows.rows ?? 0), 0);
    if (rows > KEPT_ROWS_MAX) return [];
    const found = kept.map((one) =>
      one !== undefined && this.#isLeased(one) ? one.rows : undefined,
    );
    if (!found.includes(undefined)) return found;
    return await Promise.all(
      kept.map(async (one, at) => {
        if (one === undefined || found[at] !== undefined) return found[at];
        return (await this.#isHere(one, signal)) ? one.rows : undefined;
      }),
    );
  }

  #open(scan: BackendScan, signal: AbortSignal): AsyncGenerator<ScanRows> {
    return readScan(this.#services, scan, signal, (opened, rows) => {
      this.#keep(scan, opened, rows);
    });
  }

  #find({ backendId, request }: BackendScan): KeptScan | undefined {
    const kept = this.#kept.get(request.columns);
    const found = kept?.find((one) => one.backendId === backendId && isSame(one.request, request));
    if (found !== undefined) found.request = request;
    return found;
  }

  #keep(
    { backendId, request }: BackendScan,
    { ticket, lease }: { readonly ticket: string; readonly lease?: ScanLease },
    rows: ScanRows,
  ): void {
    const kept = this.#kept.get(request.columns) ?? [];
    const others = kept.filter(
      (one) => one.backendId !== backendId || !isSame(one.request, request),
    );
    const isSmall = rows.rows <= KEPT_ROWS_MAX && charactersOfBatch(rows) <= KEPT_CHARACTERS_MAX;
    const leased = lease === undefined ? undefined : new LeasedScan(lease);
    const incarnation = this.#services.registry.incarnation(backendId);
    const added = { backendId, request, ticket, lease: leased, incarnation, rows };
    this.#kept.set(request.columns, [...others, ...(isSmall ? [added] : [])].slice(-KEPT_MAX));
  }

  #mayBeLeased({ backendId, lease, incarnation }: KeptScan): boolean {
    if (lease?.isValid !== true) return false;
    return this.#services.registry.incarnation(backendId) === incarnation;
  }

  /** It is known without asking that the backend has everything, and counted. */
  #isLeased(kept: KeptScan): boolean {
    const isLeased = this.#mayBeLeased(kept) && kept.lease?.count() === true;
    if (isLeased) this.#repeats += 1;
    return isLeased;
  }

  /** Throws the signal's reason. */
  async #isHere({ backendId, ticket, lease }: KeptScan, signal: AbortSignal): Promise<boolean> {
    const era = lease?.era;
    const aborted = Promise.withResolvers<never>();
    const stop = (): void => {
      aborted.reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      const isHere = await Promise.race([this.#ask(backendId, ticket), aborted.promise]);
      if (!isHere) return false;
      this.#repeats += 1;
      if (era !== undefined) lease?.renew(era);
      return true;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Whoever asks the same in one turn of the event loop is answered by one message. */
  #ask(backendId: BackendId, ticket: string): Promise<boolean> {
    let asking = this.#asking.get(backendId);
    if (asking === undefined) {
      asking = new Map();
      this.#asking.set(backendId, asking);
      setImmediate(() => {
        void this.#send(backendId);
      });
    }
    let question = asking.get(ticket);
    if (question === undefined) {
      question = { times: 0, answer: Promise.withResolvers() };
      asking.set(ticket, question);
    }
    question.times += 1;
    return question.answer.promise;
  }

  /** Never rejects: who is not told that all is there opens the scan, and hears why it cannot be. */
  async #send(backendId: BackendId): Promise<void> {
    const asking = this.#asking.get(backendId) ?? new Map<string, Question>();
    this.#asking.delete(backendId);
    const scans = Array.from(asking, ([ticket, { times }]) => ({ ticket, times }));
    const { transport, log } = this.#services;
    const { signal } = new AbortController();
    let same: readonly boolean[] = [];
    try {
      const reply = await whileAlive(this.#services, backendId, 'repeatScans', signal, (ends) =>
        transport.call(
          backendId,
          'repeatScans',
          { scans },
          { timeoutMs: REPEAT_TIMEOUT_MS, signal: ends },
        ),
      );
      ({ same } = reply);
    } catch (error) {
      log.debug('scans could not be repeated', { backendId, error: String(error) });
    }
    let at = 0;
    for (const { answer } of asking.values()) {
      answer.resolve(same[at] === true);
      at += 1;
    }
  }
}

/** Whether both find the same rows in the same way. */
function isSame(before: OpenScanRequest, now: OpenScanRequest): boolean {
  if (before === now) return true;
  return (
    before.tableId === now.tableId &&
    before.indexId === now.indexId &&
    before.ttlSeconds === now.ttlSeconds &&
    before.columns === now.columns &&
    before.predicates === now.predicates &&
    before.tablets.length === now.tablets.length &&
    before.tablets.every((tablet, at) => isSameTablet(tablet, now.tablets[at]))
  );
}

/** A rowset's id stands for its content. */
function isSameTablet(before: ScanTablet, now: ScanTablet | undefined): boolean {
  if (now === undefined || before.tabletId !== now.tabletId) return false;
  if (before.partitionId !== now.partitionId) return false;
  if (before.replica?.replicaId !== now.replica?.replicaId) return false;
  if (before.replica?.version !== now.replica?.version) return false;
  if (before.rowsets.length !== now.rowsets.length) return false;
  return before.rowsets.every((rowset, at) => {
    const other = now.rowsets[at];
    return (
      other !== undefined &&
      rowset.rowsetId === other.rowsetId &&
      rowset.vaultId === other.vaultId &&
      rowset.createdMs === other.createdMs
    );
  });
}
