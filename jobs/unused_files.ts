/**
 * Whether a leader may delete objects of a tablet that its list does not name (DESIGN 5.7): only
 * when every replica is there, alive, and has reported the very same list in the same term, nobody
 * is busy with the tablet, and this server is still the one that rules.
 *
 * A query that began before all replicas had that list may read what is not in it any more, on any
 * backend and until its end: what it holds (`snapshot_holds.ts`) has to be released first.
 */
import type { FrontendCalls, UnusedFilesQuestion } from '../base/agent_messages.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';
import {
  type ReplicaView,
  type TabletView,
  TabletViews,
  type ViewDeps,
} from './cooldown_decision.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';

/** Tablets whose marks are kept; the oldest are forgotten, and marked anew when they are asked for. */
const MARKS_MAX = 100_000;

export interface UnusedFilesDeps extends ViewDeps {
  readonly catalog: Catalog;
  readonly registry: Pick<BackendRegistry, 'status'>;
  readonly log: Log;
  /** Of queries. */
  readonly holds: SnapshotHolds;
  /** Whether the tablet's leadership is on its way to somebody. */
  readonly isChanging: (tabletId: TabletId) => boolean;
}

type Request = FrontendCalls['confirmUnusedRemoteFiles']['request'];
type Reply = FrontendCalls['confirmUnusedRemoteFiles']['reply'];

/** When all replicas were first seen with a list: queries that began later read nothing else. */
interface SeenList {
  readonly term: number;
  readonly metaId: string;
  /** Of `SnapshotHolds`. */
  readonly mark: number;
}

export class UnusedFiles {
  readonly #deps: UnusedFilesDeps;
  readonly #seen = new Map<TabletId, SeenList>();

  constructor(deps: UnusedFilesDeps) {
    this.#deps = deps;
  }

  /** Throws CATALOG_LEASE_LOST when another server has taken over. */
  async confirm({ questions }: Request, from: BackendId): Promise<Reply> {
    const first = await this.#accepted(questions, from);
    if (first.length === 0) return { confirmed: [] };
    // Written, so that a server that another one has replaced cannot say yes.
    await this.#deps.catalog.transaction(async () => Promise.resolve());
    // What has changed meanwhile counts.
    const confirmed = await this.#accepted(first, from);
    return { confirmed: confirmed.map(({ tabletId }) => tabletId) };
  }

  async #accepted(
    questions: readonly UnusedFilesQuestion[],
    from: BackendId,
  ): Promise<UnusedFilesQuestion[]> {
    const views = new TabletViews(this.#deps);
    const accepted: UnusedFilesQuestion[] = [];
    const refused: { readonly tabletId: TabletId; readonly why: string }[] = [];
    for (const question of questions) {
      const { tabletId } = question;
      const view = await views.of(tabletId);
      const why =
        view === undefined ? 'there is no such tablet' : this.#whyNot(view, question, from);
      if (why === undefined) accepted.push(question);
      else refused.push({ tabletId, why });
    }
    // One line a request: a leader asks for many tablets, and again and again.
    const [first] = refused;
    if (first !== undefined) {
      const tablets = refused.length;
      this.#deps.log.info('unused remote files may not go', { backendId: from, tablets, first });
    }
    return accepted;
  }

  #whyNot(view: TabletView, question: UnusedFilesQuestion, from: BackendId): string | undefined {
    const { tabletId, replicaId, term, metaId } = question;
    const { lead, partition, replicas } = view;
    if (lead?.replicaId !== replicaId || lead.term !== term) {
      const has = lead === undefined ? 'none' : `${lead.replicaId}@${lead.term}`;
      return `cooldown replica id not match(${has} vs ${replicaId}@${term})`;
    }
    const leader = replicas.find((replica) => replica.replicaId === replicaId);
    if (leader?.backendId !== from) return 'the leader is on another backend';
    if (replicas.length < (partition.replicationNum ?? 1)) return 'num replicas are not enough';
    if (this.#deps.isChanging(tabletId)) return 'a cooldown job has it in its hands';
    for (const replica of replicas) {
      const why = this.#whyNotReplica(replica, term, metaId);
      if (why !== undefined) return `replica ${replica.replicaId}: ${why}`;
    }
    // What it lacks may be in the bucket already, from a leader before it.
    if ((leader.report?.version ?? 0) < partition.visibleVersion) return 'the leader is behind';
    return this.#isReadNoMore(question) ? undefined : 'queries read what was there before';
  }

  /** Whether all queries have ended that began before all replicas had the list. */
  #isReadNoMore({ tabletId, term, metaId }: UnusedFilesQuestion): boolean {
    const { holds } = this.#deps;
    const known = this.#seen.get(tabletId);
    if (known?.term === term && known.metaId === metaId) return holds.isPast(known.mark);
    const mark = holds.mark();
    this.#seen.delete(tabletId);
    this.#seen.set(tabletId, { term, metaId, mark });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MARKS_MAX && oldest !== undefined) this.#seen.delete(oldest);
    return holds.isPast(mark);
  }

  #whyNotReplica(
    { backendId, isAlive, state, report }: ReplicaView,
    term: number,
    metaId: string,
  ): string | undefined {
    const { board, registry } = this.#deps;
    if (!isAlive) return 'replica is not alive';
    if (state !== 'NORMAL') return `it is ${state}`;
    const isOfThisLife =
      board.isComplete(backendId) &&
      board.incarnationOf(backendId) === registry.status(backendId)?.incarnation;
    if (report === undefined || !isOfThisLife) return 'it has not been reported since its start';
    if (report.lead?.term !== term) return "replica's cooldown term not match";
    if (report.metaId !== metaId) return 'cooldown meta id are not same';
    return report.busy ? 'it is busy' : undefined;
  }
}
