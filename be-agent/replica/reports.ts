/**
 * When a backend reports its replicas: everything at its start, in parts; then what has changed,
 * each `report_tablet_interval_seconds` and soon after something important. What the server has not
 * confirmed is said again.
 */
import type { FrontendPort } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import type { BackendId, PartitionId, ReplicaId, TabletId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import { REPORT_REPLICAS_MAX, type ReplicaReport, type TabletsReport } from '../../base/replica.ts';
import type { ReplicaCounts } from './replica_counts.ts';
import type { ReplicaStore } from './replica_store.ts';
import { type CooldownStatusOf, ReportRows } from './report_rows.ts';

/** Milliseconds for which important changes are collected. */
const COLLECT_MS = 500;
/**
 * Milliseconds for which other changes (loads) are collected: this, and so much more per partition,
 * whose sum is in every report. With 1,000 partitions and 100 backends under load the server takes
 * ten reports a second, 6 % of a core.
 */
const COLLECT_LOADS_MS = 1000;
const COLLECT_LOADS_MS_PER_PARTITION = 10;
/** Milliseconds until a report that failed, or a full one that the server asks for, is tried again. */
const AGAIN_MS = 1000;
const CALL_TIMEOUT_MS = 30_000;

export interface ReplicaReportsDeps {
  readonly backendId: BackendId;
  readonly incarnation: string;
  readonly store: ReplicaStore;
  readonly cooldown: CooldownStatusOf;
  readonly counts: ReplicaCounts;
  readonly frontend: FrontendPort;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

interface Gone {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
}

/** What the next report says beside changes. */
interface Content {
  readonly replicas: readonly ReplicaReport[];
  readonly gone: readonly Gone[];
}

export class ReplicaReports {
  readonly #deps: ReplicaReportsDeps;
  readonly #rows: ReportRows;
  /** May have changed since their last row was made. */
  readonly #dirty = new Set<TabletId>();
  /** Reported again even if nothing has changed: the report that said it was not confirmed. */
  readonly #unconfirmed = new Set<TabletId>();
  readonly #gone = new Map<ReplicaId, Gone>();
  readonly #again = new Set<PartitionId>();
  #needsFull = true;
  #seq = 0;
  #isSending = false;
  /** How soon the next report has to follow the one that is being sent, milliseconds. */
  #wantedMs = Number.POSITIVE_INFINITY;
  #stopTimer: () => void = () => undefined;
  /** Monotonic milliseconds of the next report. */
  #nextMs = Number.POSITIVE_INFINITY;
  #stopListening: () => void = () => undefined;
  #isClosed = false;
  /** Reports in a row that failed, or after which the server wanted more. */
  #unsettled = 0;

  constructor(deps: ReplicaReportsDeps) {
    this.#deps = deps;
    this.#rows = new ReportRows(deps.store, deps.cooldown);
  }

  start(): void {
    const { config, store } = this.#deps;
    const stops = [
      store.onChange((tabletId) => {
        this.#dirty.add(tabletId);
        if (this.#rows.isImportant(tabletId)) this.soon();
        else this.#within(this.#loadsMs());
      }),
      config.onChange((key) => {
        if (key === 'report_tablet_interval_seconds') this.#within(config.get(key) * 1000);
      }),
    ];
    this.#stopListening = () => {
      for (const stop of stops) stop();
    };
    this.#schedule(0);
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    this.#stopTimer();
  }

  /** Something of the tablet that is not in the store has changed; goes with the next report. */
  touched(tabletId: TabletId): void {
    this.#dirty.add(tabletId);
  }

  /** The server is there: what it has not confirmed does not wait for long. */
  heard(): void {
    if (this.#unsettled > 0 && !this.#isSending) this.#schedule(AGAIN_MS);
  }

  /** Reports soon. */
  soon(): void {
    this.#within(COLLECT_MS);
  }

  now(): void {
    this.#within(0);
  }

  /** After the report that is on its way, if there is one. */
  #within(ms: number): void {
    if (this.#isSending) this.#wantedMs = Math.min(this.#wantedMs, ms);
    else this.#schedule(ms);
  }

  #loadsMs(): number {
    return COLLECT_LOADS_MS + COLLECT_LOADS_MS_PER_PARTITION * this.#rows.partitions;
  }

  /** The earlier of what is planned and this. */
  #schedule(ms: number): void {
    if (this.#isClosed) return;
    const { clock } = this.#deps;
    const at = clock.monotonic() + ms;
    if (at >= this.#nextMs) return;
    this.#nextMs = at;
    this.#stopTimer();
    this.#stopTimer = clock.after(ms, () => {
      this.#nextMs = Number.POSITIVE_INFINITY;
      void this.#report();
    });
  }

  async #report(): Promise<void> {
    const { config, log, counts } = this.#deps;
    this.#isSending = true;
    this.#wantedMs = Number.POSITIVE_INFINITY;
    let pauseMs = config.get('report_tablet_interval_seconds') * 1000;
    try {
      this.#seq += 1;
      const reply = this.#needsFull ? await this.#sendFull() : await this.#sendChanges();
      counts.reports += 1;
      if (reply.sendFull) this.#needsFull = true;
      for (const partitionId of reply.again) this.#again.add(partitionId);
      const isSettled = !reply.sendFull && reply.again.length === 0;
      this.#unsettled = isSettled ? 0 : this.#unsettled + 1;
    } catch (error) {
      counts.failedReports += 1;
      this.#unsettled += 1;
      if (!this.#isClosed) log.warn('a report of replicas failed', { error: String(error) });
    }
    this.#isSending = false;
    if (this.#unsettled > 0) pauseMs = Math.min(pauseMs, AGAIN_MS * 2 ** (this.#unsettled - 1));
    this.#schedule(Math.min(pauseMs, this.#wantedMs));
  }

  async #sendFull(): Promise<{ again: readonly PartitionId[]; sendFull: boolean }> {
    this.#rows.clear();
    this.#gone.clear();
    this.#dirty.clear();
    this.#unconfirmed.clear();
    this.#again.clear();
    const tablets = this.#deps.store.list().map(({ tabletId }) => tabletId);
    for (let from = 0; from + REPORT_REPLICAS_MAX < tablets.length; from += REPORT_REPLICAS_MAX) {
      const part = this.#contentOf(tablets.slice(from, from + REPORT_REPLICAS_MAX), () => true);
      const reply = await this.#send({ kind: 'FULL', isLast: false, ...part });
      if (reply.sendFull) return reply;
    }
    const rest = tablets.length % REPORT_REPLICAS_MAX || REPORT_REPLICAS_MAX;
    const last = this.#contentOf(tablets.slice(-rest), () => true);
    const reply = await this.#send({ kind: 'FULL', isLast: true, ...last });
    this.#needsFull = reply.sendFull;
    return reply;
  }

  async #sendChanges(): Promise<{ again: readonly PartitionId[]; sendFull: boolean }> {
    const { replicas, gone } = this.#changes();
    // Said again with the next report unless this one is confirmed.
    for (const { tabletId } of replicas) this.#unconfirmed.add(tabletId);
    for (const each of gone) this.#gone.set(each.replicaId, each);
    let from = 0;
    for (; from + REPORT_REPLICAS_MAX < replicas.length; from += REPORT_REPLICAS_MAX) {
      const part = replicas.slice(from, from + REPORT_REPLICAS_MAX);
      const content = { replicas: part, gone: [] };
      const reply = await this.#send({ kind: 'CHANGES', isLast: false, ...content });
      if (reply.sendFull) return reply;
    }
    const content = { replicas: replicas.slice(from), gone };
    const reply = await this.#send({ kind: 'CHANGES', isLast: true, ...content });
    if (reply.sendFull) return reply;
    for (const { tabletId } of replicas) this.#unconfirmed.delete(tabletId);
    for (const { replicaId } of gone) this.#gone.delete(replicaId);
    return reply;
  }

  #changes(): Content {
    const { store, clock } = this.#deps;
    const again = new Set(this.#again);
    this.#again.clear();
    const tablets = new Set([...this.#dirty, ...this.#unconfirmed]);
    this.#dirty.clear();
    for (const tabletId of this.#rows.restless(clock.now())) tablets.add(tabletId);
    if (again.size > 0) {
      for (const { tabletId, partitionId } of store.list()) {
        if (again.has(partitionId)) tablets.add(tabletId);
      }
    }
    const isSaid = ({ tabletId, partitionId }: ReplicaReport): boolean =>
      this.#unconfirmed.has(tabletId) || again.has(partitionId);
    const { replicas, gone } = this.#contentOf(tablets, isSaid);
    return { replicas, gone: [...this.#gone.values(), ...gone] };
  }

  /** Rows that have changed, and those that `isSaid` all the same. */
  #contentOf(tablets: Iterable<TabletId>, isSaid: (row: ReplicaReport) => boolean): Content {
    const replicas: ReplicaReport[] = [];
    const gone: Gone[] = [];
    for (const tabletId of tablets) {
      const made = this.#rows.make(tabletId);
      switch (made.kind) {
        case 'row':
          if (made.isChanged || isSaid(made.row)) replicas.push(made.row);
          break;
        case 'gone':
          this.#unconfirmed.delete(tabletId);
          gone.push({ tabletId, replicaId: made.replicaId });
          break;
        case 'none':
          this.#unconfirmed.delete(tabletId);
          break;
      }
    }
    return { replicas, gone };
  }

  async #send(
    part: Pick<TabletsReport, 'kind' | 'isLast' | 'replicas' | 'gone'>,
  ): Promise<{ again: readonly PartitionId[]; sendFull: boolean }> {
    const { backendId, incarnation, store, frontend } = this.#deps;
    const report: TabletsReport = {
      backendId,
      incarnation,
      seq: this.#seq,
      ...part,
      sums: part.isLast ? this.#rows.sums() : [],
      policies: store.policies().map(({ policyId, version }) => ({ policyId, version })),
      resources: store.resources(),
    };
    return await frontend.call('reportTablets', report, { timeoutMs: CALL_TIMEOUT_MS });
  }
}
