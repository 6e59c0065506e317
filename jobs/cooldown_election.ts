/** Who of a tablet's replicas uploads: a pure decision (DESIGN 5.3). */
import type { BackendId, ReplicaId } from '../base/ids.ts';
import { FIRST_VERSION } from '../base/replica.ts';

export interface Candidate {
  readonly replicaId: ReplicaId;
  readonly backendId: BackendId;
  readonly isAlive: boolean;
  /** In the catalog: NORMAL, and it got every version. */
  readonly isComplete: boolean;
  /** By its last report; undefined: it has not been reported since the server started. */
  readonly reported:
    | {
        readonly version: number;
        readonly isBad: boolean;
        /** undefined: nothing is cooled. */
        readonly cooledVersion: number | undefined;
      }
    | undefined;
}

export type ElectionOutcome =
  | { readonly kind: 'ELECTED'; readonly replicaId: ReplicaId; readonly backendId: BackendId }
  /** `ask`: backends whose next report may make their replica eligible. */
  | { readonly kind: 'NOBODY'; readonly why: string; readonly ask: readonly BackendId[] };

/**
 * Of the replicas that are alive and complete the most advanced one, that is, the one that knows
 * most of what is cooled already: it need not upload that again. Then the one on the backend that
 * leads fewest tablets, then the one with the lowest id. `version` is what a replica must have.
 */
export function elect(
  candidates: readonly Candidate[],
  version: number,
  leadsOf: (backendId: BackendId) => number,
): ElectionOutcome {
  const alive = candidates.filter(({ isAlive }) => isAlive);
  const complete = alive.filter(
    ({ isComplete, reported }) => isComplete && reported?.isBad !== true,
  );
  const eligible = complete.filter((candidate) => hasVersion(candidate, version));
  const [best] = eligible.toSorted(
    (a, b) =>
      cooledVersionOf(b) - cooledVersionOf(a) ||
      leadsOf(a.backendId) - leadsOf(b.backendId) ||
      a.replicaId - b.replicaId,
  );
  if (best !== undefined) {
    return { kind: 'ELECTED', replicaId: best.replicaId, backendId: best.backendId };
  }
  const why =
    alive.length === 0
      ? 'no replica is on a backend that is alive'
      : complete.length === 0
        ? 'no replica that is alive is complete'
        : `no replica has reported version ${version} yet`;
  return { kind: 'NOBODY', why, ask: complete.map(({ backendId }) => backendId) };
}

/** What was made empty, and loaded never, has all there is without saying so. */
function hasVersion({ reported }: Candidate, version: number): boolean {
  return (reported?.version ?? FIRST_VERSION) >= version;
}

function cooledVersionOf({ reported }: Candidate): number {
  return reported?.cooledVersion ?? -1;
}
