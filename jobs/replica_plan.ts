/**
 * What is to be done about the replicas of one tablet: pure, from what there is and what there
 * should be. It is asked again after each step and after each change, so a step says nothing of
 * the next one, and a crash between two steps costs nothing.
 */
import type { BackendId, ReplicaId } from '../base/ids.ts';
import type { ReplicaDef } from '../catalog/replicas.ts';

/**
 * ALIVE: also one that may be alive, since the server has only just started. AWAY: silent, and
 * expected back. DEAD: silent for longer than `tablet_repair_delay_seconds`, or stopped. LEAVING:
 * being decommissioned. DROPPED: nobody knows it any more.
 */
export type BackendCondition = 'ALIVE' | 'AWAY' | 'DEAD' | 'LEAVING' | 'DROPPED';

/**
 * By its backend's reports. UNKNOWN: none has come. LAGGING: the last one is older than the last
 * load, or the load is not published there yet. BEHIND: that has been so for too long. LOST: the
 * backend has reported all it has, and it is not among that. SUSPECT: BAD or LOST, and being asked
 * again.
 */
export type ReplicaCondition =
  | 'GOOD'
  | 'UNKNOWN'
  | 'LAGGING'
  | 'BEHIND'
  | 'SUSPECT'
  | 'BAD'
  | 'LOST';

export interface PlannedReplica extends ReplicaDef {
  readonly backend: BackendCondition;
  readonly condition: ReplicaCondition;
  /** It uploads what cools. */
  readonly isLeader: boolean;
  /** Of all tablets, on its backend. */
  readonly replicasOfBackend: number;
}

export type RepairStep =
  /** Its backend is gone for good: its row goes. */
  | { readonly kind: 'FORGET'; readonly replica: PlannedReplica }
  /** The catalog learns that it has not what it should have. */
  | { readonly kind: 'MARK'; readonly replica: PlannedReplica }
  /** From one of the sources, best first. */
  | {
      readonly kind: 'CLONE';
      readonly replica: PlannedReplica;
      readonly sources: readonly PlannedReplica[];
    }
  /** It has all: from CLONING to NORMAL. */
  | { readonly kind: 'FINISH'; readonly replica: PlannedReplica }
  /** One more, on a backend that is none of `taken`. */
  | { readonly kind: 'ADD'; readonly taken: readonly BackendId[] }
  /** To be dropped when the others are enough: DECOMMISSIONING. */
  | { readonly kind: 'LEAVE'; readonly replica: PlannedReplica }
  /** It is needed after all: from DECOMMISSIONING to NORMAL. */
  | { readonly kind: 'STAY'; readonly replica: PlannedReplica }
  /** When those that stay have confirmed that they have all. */
  | {
      readonly kind: 'DROP';
      readonly replica: PlannedReplica;
      readonly staying: readonly PlannedReplica[];
    };

export interface RepairPlan {
  readonly steps: readonly RepairStep[];
  /** All is as it should be: the tablet need not be looked at before something changes. */
  readonly isHealthy: boolean;
  /** Why nothing can be done, in words; '' otherwise. */
  readonly waits: string;
}

/** What cannot be repaired: at best it is rebuilt (`replica_rebuild.ts`). */
export const NO_SOURCE = 'no replica is complete and can be reached';

const HEALTHY: RepairPlan = { steps: [], isHealthy: true, waits: '' };

/** `wanted`: how many replicas the partition's tablets should have. */
export function planRepair(replicas: readonly PlannedReplica[], wanted: number): RepairPlan {
  const gone = replicas.filter(({ backend }) => backend === 'DROPPED');
  if (gone.length > 0) return steps(gone.map((replica) => ({ kind: 'FORGET', replica })));
  const marks = replicas.filter(mustMark);
  if (marks.length > 0) return steps(marks.map((replica) => ({ kind: 'MARK', replica })));
  const finished = replicas.filter(({ state, missing }) => {
    return state === 'CLONING' && missing === undefined;
  });
  if (finished.length > 0) return steps(finished.map((replica) => ({ kind: 'FINISH', replica })));
  const leavers = replicas.filter(({ backend, state }) => {
    return backend === 'LEAVING' && (state === 'NORMAL' || state === 'CLONING');
  });
  if (leavers.length > 0) return steps(leavers.map((replica) => ({ kind: 'LEAVE', replica })));
  const members = replicas.filter(isMember);
  const change = members.length < wanted ? more(replicas) : fewer(replicas, members, wanted);
  return withClones(change, replicas, members);
}

function steps(list: readonly RepairStep[]): RepairPlan {
  return { steps: list, isHealthy: false, waits: '' };
}

/** The catalog takes it for complete, and it is not. */
function mustMark({ state, missing, condition, backend }: PlannedReplica): boolean {
  if (missing !== undefined || !isReachable(backend)) return false;
  if (state !== 'NORMAL' && state !== 'DECOMMISSIONING') return false;
  return condition === 'BAD' || condition === 'LOST' || condition === 'BEHIND';
}

function isReachable(backend: BackendCondition): boolean {
  return backend === 'ALIVE' || backend === 'LEAVING';
}

/** Counts as one of those that the tablet should have. */
function isMember({ backend, state }: PlannedReplica): boolean {
  if (backend !== 'ALIVE' && backend !== 'AWAY') return false;
  return state === 'NORMAL' || state === 'CLONING' || state === 'CREATING';
}

/** It can leave when it is there. */
function isUnmadeLeaver({ backend, state }: PlannedReplica): boolean {
  return backend === 'LEAVING' && state === 'CREATING';
}

/** Has all, and can be read from right now. */
function isSound({ state, missing, condition, backend }: PlannedReplica): boolean {
  if (missing !== undefined || !isReachable(backend)) return false;
  if (condition !== 'GOOD' && condition !== 'LAGGING') return false;
  return state === 'NORMAL' || state === 'DECOMMISSIONING';
}

function more(replicas: readonly PlannedReplica[]): RepairPlan {
  // One that was to go, on a backend that stays, is nearer than a new one.
  const kept = replicas.find(
    ({ backend, state }) => backend === 'ALIVE' && state === 'DECOMMISSIONING',
  );
  if (kept !== undefined) return steps([{ kind: 'STAY', replica: kept }]);
  if (!replicas.some(isSound)) {
    return { steps: [], isHealthy: false, waits: NO_SOURCE };
  }
  return steps([{ kind: 'ADD', taken: replicas.map(({ backendId }) => backendId) }]);
}

/** Never below `wanted` sound ones that stay. */
function fewer(
  replicas: readonly PlannedReplica[],
  members: readonly PlannedReplica[],
  wanted: number,
): RepairPlan {
  const leaving = replicas.filter(({ state }) => state === 'DECOMMISSIONING');
  const sound = members.filter(isSound).length;
  if (members.length > wanted && sound >= wanted) {
    // An unsound one costs nothing; a sound one must not be one too many of them.
    const choice = members.filter((one) => !isSound(one) || sound > wanted).sort(byUselessness)[0];
    if (choice !== undefined) return steps([{ kind: 'LEAVE', replica: choice }]);
  }
  if (leaving.length === 0) {
    if (replicas.some(isUnmadeLeaver)) {
      const waits = 'a replica is being made on a backend that is being decommissioned';
      return { steps: [], isHealthy: false, waits };
    }
    if (members.length === wanted && members.every(isSettled)) return HEALTHY;
    return { steps: [], isHealthy: false, waits: 'replicas are being copied, or are away' };
  }
  if (sound < wanted) {
    return { steps: [], isHealthy: false, waits: 'the replicas that stay are not complete yet' };
  }
  const free = leaving.filter(({ isLeader }) => !isLeader);
  const staying = members.filter(isSound);
  if (free.length > 0) return steps(free.map((replica) => ({ kind: 'DROP', replica, staying })));
  return { steps: [], isHealthy: false, waits: 'another replica has to become the leader first' };
}

/** Nothing is known against it. */
function isSettled({ state, missing, condition, backend }: PlannedReplica): boolean {
  return (
    state === 'NORMAL' &&
    missing === undefined &&
    backend === 'ALIVE' &&
    (condition === 'GOOD' || condition === 'UNKNOWN')
  );
}

/** The one to go first: incomplete, then not the leader, then on the fullest backend. */
function byUselessness(one: PlannedReplica, other: PlannedReplica): number {
  return (
    Number(isSound(one)) - Number(isSound(other)) ||
    Number(one.isLeader) - Number(other.isLeader) ||
    other.replicasOfBackend - one.replicasOfBackend ||
    other.replicaId - one.replicaId
  );
}

/** Beside the change: those that stay and lack something are filled. */
function withClones(
  change: RepairPlan,
  replicas: readonly PlannedReplica[],
  members: readonly PlannedReplica[],
): RepairPlan {
  const leaving = new Set<ReplicaId>(
    change.steps.flatMap((step) => (step.kind === 'LEAVE' ? [step.replica.replicaId] : [])),
  );
  const lacking = members.filter(
    ({ replicaId, missing, backend }) =>
      missing !== undefined && backend === 'ALIVE' && !leaving.has(replicaId),
  );
  if (lacking.length === 0) return change;
  const sources = replicas.filter(isSound);
  if (sources.length === 0) {
    return { steps: change.steps, isHealthy: false, waits: NO_SOURCE };
  }
  const clones = lacking
    .filter(({ state }) => state === 'NORMAL' || state === 'CLONING')
    .map((replica): RepairStep => ({ kind: 'CLONE', replica, sources }));
  return { steps: [...change.steps, ...clones], isHealthy: false, waits: '' };
}
