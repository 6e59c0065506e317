/**
 * What a tablet needs now: a leader, a push, or nothing. Decided from what is true at the moment
 * (catalog, reports, who is alive), and never from what happened before.
 */
import type { BackendId, PartitionId, ReplicaId, TableId, TabletId } from '../base/ids.ts';
import type { CooldownConf, CooldownLead, ReplicaReport } from '../base/replica.ts';
import type { PartitionDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Election } from '../catalog/cooldown.ts';
import { type ReplicaDef, isComplete } from '../catalog/replicas.ts';
import type { BackendLiveness } from './backend_liveness.ts';
import { elect } from './cooldown_election.ts';
import type { ReplicaBoard } from './replica_board.ts';

export interface ReplicaView extends ReplicaDef {
  readonly isAlive: boolean;
  /** How long its backend has been dead, milliseconds. */
  readonly deadMs: number;
  readonly report: ReplicaReport | undefined;
  /** By its last report, or confirmed since. */
  readonly has: CooldownLead | undefined;
}

/** What is being copied, or is not there yet, hears of its leader later. */
export function canHear(state: ReplicaDef['state'], report: ReplicaReport | undefined): boolean {
  switch (state) {
    case 'NORMAL':
    case 'DECOMMISSIONING':
      return true;
    case 'CREATING':
      return report !== undefined;
    case 'CLONING':
    case 'DROPPING':
      return false;
  }
}

export interface TabletView {
  readonly tabletId: TabletId;
  readonly partition: PartitionDef;
  /** What the catalog has. */
  readonly lead: CooldownLead | undefined;
  readonly replicas: readonly ReplicaView[];
}

export interface ViewDeps {
  readonly catalog: Catalog;
  readonly board: ReplicaBoard;
  readonly liveness: BackendLiveness;
}

/** Tablets as they are at one moment; reads each table's definition once. */
export class TabletViews {
  readonly #deps: ViewDeps;
  readonly #partitions = new Map<TableId, ReadonlyMap<PartitionId, PartitionDef>>();

  constructor(deps: ViewDeps) {
    this.#deps = deps;
  }

  /** undefined: it is gone, or of a shared table. */
  async of(tabletId: TabletId): Promise<TabletView | undefined> {
    const { catalog } = this.#deps;
    const tablet = catalog.tablets.get(tabletId);
    const replicas = catalog.replicas.ofTablet(tabletId);
    if (tablet === undefined || replicas.length === 0) return undefined;
    const partition = (await this.#partitionsOf(tablet.tableId)).get(tablet.partitionId);
    if (partition === undefined) return undefined;
    const lead = catalog.cooldown.lead(tabletId);
    return { tabletId, partition, lead, replicas: replicas.map((one) => this.#replica(one)) };
  }

  #replica(replica: ReplicaDef): ReplicaView {
    const { board, liveness } = this.#deps;
    const { backendId, replicaId, tabletId } = replica;
    return {
      ...replica,
      isAlive: liveness.isAlive(backendId),
      deadMs: liveness.deadMs(backendId),
      report: board.get(backendId, tabletId, replicaId),
      has: board.leadOf(backendId, tabletId),
    };
  }

  async #partitionsOf(tableId: TableId): Promise<ReadonlyMap<PartitionId, PartitionDef>> {
    const known = this.#partitions.get(tableId);
    if (known !== undefined) return known;
    const table = await this.#deps.catalog.tables.byId(tableId);
    const partitions = new Map((table?.partitions ?? []).map((one) => [one.partitionId, one]));
    this.#partitions.set(tableId, partitions);
    return partitions;
  }
}

export type Decision =
  | { readonly kind: 'NONE' }
  | { readonly kind: 'PUSH'; readonly conf: CooldownConf; readonly reason: string }
  | {
      readonly kind: 'ELECT';
      readonly election: Election;
      readonly backendId: BackendId;
      readonly reason: string;
    }
  /** Nobody can be elected now; `version` is what a replica must have reported. */
  | {
      readonly kind: 'WAIT';
      readonly why: string;
      readonly version: number;
      readonly ask: readonly BackendId[];
    };

export interface DecisionTerms {
  /** After this a dead leader is replaced, milliseconds. */
  readonly leaderDeadMs: number;
  /**
   * What a replica must have reported, when it was visible while the tablet began to wait; absent:
   * what is visible now. Otherwise loads that go on would keep every replica behind for ever.
   */
  readonly version?: number;
  readonly leadsOf: (backendId: BackendId) => number;
}

const NOTHING: Decision = { kind: 'NONE' };

export function decide(view: TabletView, terms: DecisionTerms): Decision {
  const isSubject =
    view.partition.storagePolicyId !== undefined ||
    view.lead !== undefined ||
    view.replicas.some(({ has, report }) => has ?? report?.cooledVersion);
  if (!isSubject) return NOTHING;
  const reason = whyElect(view, terms);
  if (reason === undefined) return pushOf(view) ?? NOTHING;
  const election = electionOf(view, reason, terms);
  if (election.kind !== 'WAIT' || !isLed(view, terms)) return election;
  // Nobody can replace the leader yet, and the others should follow it meanwhile.
  return pushOf(view) ?? election;
}

/** A new term for a tablet, whoever leads it now. */
export function electionOf(
  view: TabletView,
  reason: string,
  { version = view.partition.visibleVersion, leadsOf }: DecisionTerms,
  only?: ReplicaId,
): Decision {
  const { tabletId, lead } = view;
  const candidates = view.replicas
    .filter(({ replicaId }) => only === undefined || replicaId === only)
    .map((replica) => ({
      replicaId: replica.replicaId,
      backendId: replica.backendId,
      isAlive: replica.isAlive,
      isComplete: replica.state === 'NORMAL' && isComplete(replica),
      reported:
        replica.report === undefined
          ? undefined
          : { ...replica.report, cooledVersion: replica.report.cooledVersion },
    }));
  const outcome = elect(candidates, version, leadsOf);
  if (outcome.kind === 'NOBODY') {
    return { kind: 'WAIT', why: `no leader: ${outcome.why}`, version, ask: outcome.ask };
  }
  const { replicaId, backendId } = outcome;
  const after = { replicaId, term: highestTerm(view) + 1 };
  return { kind: 'ELECT', election: { tabletId, before: lead, after }, backendId, reason };
}

/** Of a replica that `electionOf` does not take: why, for the one who asked for it. */
export function whyNotLead(replica: ReplicaView, version: number): string {
  const { isAlive, backendId, missing, state, report } = replica;
  if (!isAlive) return `its backend ${backendId} is not alive`;
  if (report?.isBad === true) return 'it is damaged';
  if (missing !== undefined) return `it lacks versions ${missing.from} to ${missing.to}`;
  if (state !== 'NORMAL') return `its state is ${state}`;
  return `it has not reported version ${version} yet`;
}

/**
 * Backends that know a term which the catalog does not have, or the same one with another replica.
 * Neither can be: a term is in the catalog before anybody hears of it. A catalog that was restored
 * from an older copy makes it so, and a higher term ends it.
 */
export function impossibleTerms(view: TabletView): readonly ReplicaView[] {
  const { lead } = view;
  return view.replicas.filter(({ has }) => {
    if (has === undefined) return false;
    if (has.term !== lead?.term) return has.term > (lead?.term ?? 0);
    return has.replicaId !== lead.replicaId;
  });
}

function whyElect(view: TabletView, { leaderDeadMs }: DecisionTerms): string | undefined {
  if (impossibleTerms(view).length > 0) return 'a backend knows a term that the catalog does not';
  if (view.lead === undefined) return 'there was no leader';
  const leader = leaderOf(view);
  if (leader === undefined) return "the leader's replica is gone";
  if (leader.deadMs >= leaderDeadMs) return "the leader's backend is dead";
  if (leader.report?.isBad === true) return "the leader's replica is damaged";
  if (leader.state === 'DECOMMISSIONING') return "the leader's backend is being decommissioned";
  return undefined;
}

function leaderOf({ lead, replicas }: TabletView): ReplicaView | undefined {
  return replicas.find(({ replicaId }) => replicaId === lead?.replicaId);
}

function isLed(view: TabletView, { leaderDeadMs }: DecisionTerms): boolean {
  const leader = leaderOf(view);
  return leader !== undefined && leader.deadMs < leaderDeadMs;
}

/** Only to replicas of which something is known: the others have been told, or will report. */
function pushOf({ tabletId, lead, replicas }: TabletView): Decision | undefined {
  if (lead === undefined) return undefined;
  const isBehind = ({ isAlive, state, report, has }: ReplicaView): boolean =>
    isAlive && canHear(state, report) && report !== undefined && (has?.term ?? 0) < lead.term;
  if (!replicas.some(isBehind)) return undefined;
  return { kind: 'PUSH', conf: { tabletId, ...lead }, reason: 'replicas did not have the term' };
}

function highestTerm({ lead, replicas }: TabletView): number {
  return Math.max(lead?.term ?? 0, ...replicas.map(({ has }) => has?.term ?? 0));
}
