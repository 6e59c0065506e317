/**
 * The last report of each replica, of all backends. Memory only: a server that has just started
 * knows of a backend's replicas when that has reported in full.
 */
import type { BackendId, ReplicaId, TabletId } from '../base/ids.ts';
import type { CooldownConf, CooldownLead, ReplicaReport } from '../base/replica.ts';
import { BackendReports } from './backend_reports.ts';

/** Of these tablets something is known that was not known before. */
export interface BoardChange {
  readonly backendId: BackendId;
  readonly tablets: readonly TabletId[];
}

interface Ack extends CooldownLead {
  /** Which life of the backend has confirmed it. */
  readonly incarnation: string | undefined;
}

interface Backend {
  readonly reports: BackendReports;
  /** Confs that it has confirmed and its reports do not show yet. */
  readonly acks: Map<TabletId, Ack>;
  /** The life of the backend that the reports are of; '' before the first. */
  incarnation: string;
  /** It has reported all it has. */
  isComplete: boolean;
}

export class ReplicaBoard {
  readonly #backends = new Map<BackendId, Backend>();
  readonly #listeners = new Set<(change: BoardChange) => void>();

  /** Calls `listener` after each message of a report that said something new. */
  onChange(listener: (change: BoardChange) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** undefined: not reported, or the backend has another replica of the tablet. */
  get(backendId: BackendId, tabletId: TabletId, replicaId: ReplicaId): ReplicaReport | undefined {
    const report = this.#backends.get(backendId)?.reports.get(tabletId);
    return report?.replicaId === replicaId ? report : undefined;
  }

  /** On all backends, also of replicas that the catalog does not know. */
  ofTablet(
    tabletId: TabletId,
  ): { readonly backendId: BackendId; readonly report: ReplicaReport }[] {
    return [...this.#backends].flatMap(([backendId, { reports }]) => {
      const report = reports.get(tabletId);
      return report === undefined ? [] : [{ backendId, report }];
    });
  }

  ofBackend(backendId: BackendId): Iterable<ReplicaReport> {
    return this.#backends.get(backendId)?.reports.all() ?? [];
  }

  /** Whether the backend has reported all its replicas since it or the server started. */
  isComplete(backendId: BackendId): boolean {
    return this.#backends.get(backendId)?.isComplete ?? false;
  }

  /** Of the life that the reports are of; undefined: there is none. */
  incarnationOf(backendId: BackendId): string | undefined {
    const incarnation = this.#backends.get(backendId)?.incarnation;
    return incarnation === '' ? undefined : incarnation;
  }

  /** What the replica has by its last report or by what its backend has confirmed since. */
  leadOf(backendId: BackendId, tabletId: TabletId): CooldownLead | undefined {
    const backend = this.#backends.get(backendId);
    const reported = backend?.reports.get(tabletId)?.lead;
    const ack = backend?.acks.get(tabletId);
    if (ack === undefined || ack.term <= (reported?.term ?? 0)) return reported;
    return { replicaId: ack.replicaId, term: ack.term };
  }

  /** This life of the backend has persisted the conf; its reports will tell. */
  acknowledge(
    backendId: BackendId,
    { tabletId, replicaId, term }: CooldownConf,
    incarnation: string | undefined,
  ): void {
    const backend = this.#backend(backendId);
    if ((backend.reports.get(tabletId)?.lead?.term ?? 0) >= term) return;
    backend.acks.set(tabletId, { replicaId, term, incarnation });
  }

  /** Those of which something is known. */
  backends(): BackendId[] {
    return [...this.#backends.keys()];
  }

  /** Replicas that are reported. */
  get size(): number {
    let size = 0;
    for (const { reports } of this.#backends.values()) size += reports.size;
    return size;
  }

  /** It was dropped. */
  forget(backendId: BackendId): void {
    const backend = this.#backends.get(backendId);
    this.#backends.delete(backendId);
    this.tell(
      backendId,
      [...(backend?.reports.all() ?? [])].map(({ tabletId }) => tabletId),
    );
  }

  // -- for TabletReports

  /** What another life of the backend has said counts until this one has reported in full. */
  beginLife(backendId: BackendId, incarnation: string): BackendReports {
    const backend = this.#backend(backendId);
    for (const [tabletId, ack] of backend.acks) {
      if (ack.incarnation !== incarnation) backend.acks.delete(tabletId);
    }
    backend.incarnation = incarnation;
    backend.isComplete = false;
    return backend.reports;
  }

  completed(backendId: BackendId): void {
    const backend = this.#backends.get(backendId);
    if (backend !== undefined) backend.isComplete = true;
  }

  put(backendId: BackendId, report: ReplicaReport, round: number): boolean {
    const backend = this.#backends.get(backendId);
    if (backend === undefined) return false;
    const ack = backend.acks.get(report.tabletId);
    if (ack !== undefined && (report.lead?.term ?? 0) >= ack.term) {
      backend.acks.delete(report.tabletId);
    }
    return backend.reports.put(report, round);
  }

  remove(backendId: BackendId, tabletId: TabletId, replicaId?: ReplicaId): boolean {
    const backend = this.#backends.get(backendId);
    if (backend?.reports.remove(tabletId, replicaId) !== true) return false;
    backend.acks.delete(tabletId);
    return true;
  }

  reportsOf(backendId: BackendId): BackendReports | undefined {
    return this.#backends.get(backendId)?.reports;
  }

  tell(backendId: BackendId, tablets: readonly TabletId[]): void {
    if (tablets.length === 0) return;
    for (const listener of this.#listeners) listener({ backendId, tablets });
  }

  #backend(backendId: BackendId): Backend {
    const known = this.#backends.get(backendId);
    if (known !== undefined) return known;
    const acks = new Map<TabletId, Ack>();
    const made = { reports: new BackendReports(), acks, incarnation: '', isComplete: false };
    this.#backends.set(backendId, made);
    return made;
  }
}
