/**
 * Reports of replicas as they come in (`reportTablets`): full ones in parts, changes, and sums by
 * which a lost message is noticed. A message may come twice, late, or never; what is stored is
 * always what some report of the backend's present life has said.
 */
import { SqlError } from '../base/errors.ts';
import type { BackendId, PartitionId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { PartitionSum, TabletsReport, TabletsReportReply } from '../base/replica.ts';
import { sumText } from '../base/report_sum.ts';
import type { BackendReports } from './backend_reports.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { ReplicaBoard } from './replica_board.ts';

/** Earlier lives of a backend that are remembered, to refuse what they still send. */
const EARLIER_LIVES_MAX = 8;

export interface TabletReportsDeps {
  readonly board: ReplicaBoard;
  readonly registry: Pick<BackendRegistry, 'status'>;
  readonly log: Log;
}

/** Which policies and resources a backend has. */
export type ReportedVersions = Pick<TabletsReport, 'backendId' | 'policies' | 'resources'>;

/** Since the server started, for the metrics. */
export interface ReportCounts {
  /** Reports that were received to their end. */
  full: number;
  changes: number;
  /** Replicas in them. */
  replicas: number;
  /** Partitions whose sum was not the one that the backend has. */
  wrongSums: number;
  /** Of another life of the backend, or late. */
  refused: number;
}

interface Life {
  readonly incarnation: string;
  readonly earlier: readonly string[];
  /** Of the last report that began. */
  seq: number;
  /** The same, as a number that no other report has. */
  round: number;
  /** A report of all it has has ended. */
  hasFull: boolean;
}

export class TabletReports {
  readonly counts: ReportCounts = { full: 0, changes: 0, replicas: 0, wrongSums: 0, refused: 0 };
  readonly #deps: TabletReportsDeps;
  readonly #lives = new Map<BackendId, Life>();
  readonly #versionListeners = new Set<(versions: ReportedVersions) => void>();
  #rounds = 0;

  constructor(deps: TabletReportsDeps) {
    this.#deps = deps;
  }

  /** Calls `listener` at the end of each report. */
  onVersions(listener: (versions: ReportedVersions) => void): void {
    this.#versionListeners.add(listener);
  }

  /** Throws BACKEND_STATE when it is of an earlier life of the backend. */
  receive(report: TabletsReport): TabletsReportReply {
    const { board } = this.#deps;
    const { backendId, kind, seq } = report;
    const life = this.#lifeOf(report);
    if (life === undefined || (kind === 'CHANGES' && !life.hasFull)) {
      return { again: [], sendFull: true };
    }
    if (seq < life.seq) {
      this.counts.refused += 1;
      return { again: [], sendFull: false };
    }
    if (seq > life.seq) {
      life.seq = seq;
      this.#rounds += 1;
      life.round = this.#rounds;
    }
    const changed = this.#store(report, life.round);
    const again = report.isLast ? this.#end(report, life, changed) : [];
    board.tell(backendId, changed);
    return { again, sendFull: false };
  }

  /** The backend was dropped. */
  forget(backendId: BackendId): void {
    this.#lives.delete(backendId);
    this.#deps.board.forget(backendId);
  }

  /** undefined: it has to report in full first, or to be heard of by its heartbeat. */
  #lifeOf(report: TabletsReport): Life | undefined {
    const { board, registry } = this.#deps;
    const { backendId, incarnation, kind } = report;
    const life = this.#lives.get(backendId);
    const alive = registry.status(backendId)?.incarnation;
    // Unless its heartbeats go on: two processes had the same id, and the other one is gone.
    if (life?.earlier.includes(incarnation) === true && alive !== incarnation) this.#refuse(report);
    const isOther = alive !== undefined && alive !== incarnation;
    if (life?.incarnation === incarnation) {
      // A younger life of it has been heard of since.
      if (isOther) this.#refuse(report);
      return life;
    }
    // Only a heartbeat tells which life is the present one.
    if (isOther || kind === 'CHANGES') return undefined;
    const before = life === undefined ? [] : [life.incarnation, ...life.earlier];
    const made: Life = {
      incarnation,
      earlier: before.filter((each) => each !== incarnation).slice(0, EARLIER_LIVES_MAX),
      seq: -1,
      round: 0,
      hasFull: false,
    };
    this.#lives.set(backendId, made);
    board.beginLife(backendId, incarnation);
    return made;
  }

  #refuse({ backendId }: TabletsReport): never {
    this.counts.refused += 1;
    const what = 'this report is of an earlier life of it';
    throw new SqlError('BACKEND_STATE', { name: backendId, state: 'restarted', what });
  }

  /** Tablets of which it says something new. */
  #store({ backendId, replicas, gone }: TabletsReport, round: number): TabletId[] {
    const { board } = this.#deps;
    const changed: TabletId[] = [];
    for (const { tabletId, replicaId } of gone) {
      if (board.remove(backendId, tabletId, replicaId)) changed.push(tabletId);
    }
    for (const replica of replicas) {
      if (board.put(backendId, replica, round)) changed.push(replica.tabletId);
    }
    this.counts.replicas += replicas.length;
    return changed;
  }

  /** Partitions that the backend has to report again; adds what is gone to `changed`. */
  #end(report: TabletsReport, life: Life, changed: TabletId[]): readonly PartitionId[] {
    const { board, log } = this.#deps;
    const { backendId, kind, policies, resources } = report;
    const reports = board.reportsOf(backendId);
    if (reports === undefined) return [];
    const { gone, again } = compare(reports, report.sums, life.round);
    for (const tabletId of gone) {
      if (board.remove(backendId, tabletId)) changed.push(tabletId);
    }
    if (kind === 'FULL' && !life.hasFull) {
      log.info('a backend has reported all its replicas', { backendId, replicas: reports.size });
    }
    if (kind === 'FULL') life.hasFull = true;
    board.completed(backendId);
    this.counts[kind === 'FULL' ? 'full' : 'changes'] += 1;
    this.counts.wrongSums += again.length;
    if (again.length > 0) {
      log.info('a backend reports partitions again: their sums differ', {
        backendId,
        partitions: again.length,
      });
    }
    for (const listener of this.#versionListeners) listener({ backendId, policies, resources });
    return again;
  }
}

/**
 * Where the sums differ, two things can have happened: something is stored that is gone, and then
 * what came with this report is all there is; or something was lost, and then it comes again.
 */
function compare(
  reports: BackendReports,
  sums: readonly PartitionSum[],
  round: number,
): { readonly gone: readonly TabletId[]; readonly again: readonly PartitionId[] } {
  const expected = new Map(sums.map((sum) => [sum.partitionId, sum]));
  const wrong = new Set<PartitionId>();
  for (const sum of sums)
    if (!agrees(reports.sumOf(sum.partitionId), sum)) wrong.add(sum.partitionId);
  for (const partitionId of reports.partitions()) {
    if (!expected.has(partitionId)) wrong.add(partitionId);
  }
  if (wrong.size === 0) return { gone: [], again: [] };
  const gone: TabletId[] = [];
  const again: PartitionId[] = [];
  for (const [partitionId, came] of reports.cameWith(round, wrong)) {
    const sum = expected.get(partitionId);
    const isAll = sum === undefined ? came.replicas === 0 : agrees(came, sum);
    if (isAll) gone.push(...came.others);
    else if (sum !== undefined) again.push(partitionId);
  }
  return { gone, again };
}

type Stored = ReturnType<BackendReports['sumOf']>;

function agrees(stored: Stored, { replicas, sum }: PartitionSum): boolean {
  return stored.replicas === replicas && sumText(stored.sum) === sum;
}
