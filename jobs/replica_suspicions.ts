/**
 * What reports say against replicas. A report is a moment old, and a replica may have been made,
 * copied or published since: what speaks against one must still be said after it was asked again.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, ReplicaId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { ReplicaReport } from '../base/replica.ts';
import type { ReplicaDef } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { ReplicaBoard } from './replica_board.ts';
import type { ReplicaCondition } from './replica_plan.ts';

/** So long it must have been said, with a report asked for meanwhile; milliseconds. */
export const SUSPECT_MS = 5000;
/** A version may be late: its backend asks for outcomes of loads by itself. */
export const BEHIND_MS = 30_000;
const ASK_EVERY_MS = 2000;
const ASK_TIMEOUT_MS = 5000;

interface Suspicion {
  readonly condition: 'BEHIND' | 'BAD' | 'LOST';
  /** Monotonic. */
  readonly since: number;
  /** What it should have had by then. */
  readonly version: number;
}

export interface ReplicaSuspicionsDeps {
  readonly transport: AgentTransport;
  readonly board: ReplicaBoard;
  readonly registry: Pick<BackendRegistry, 'status'>;
  readonly clock: Clock;
}

export class ReplicaSuspicions {
  readonly #deps: ReplicaSuspicionsDeps;
  readonly #suspicions = new Map<ReplicaId, Suspicion>();
  readonly #asked = new Map<BackendId, number>();

  constructor(deps: ReplicaSuspicionsDeps) {
    this.#deps = deps;
  }

  /** BAD, LOST and BEHIND are certain. */
  conditionOf(replica: ReplicaDef, visibleVersion: number): ReplicaCondition {
    const { board, clock } = this.#deps;
    const { backendId, tabletId, replicaId } = replica;
    const report = board.get(backendId, tabletId, replicaId);
    const said = this.#isOfThisLife(backendId) ? saidOf(report, visibleVersion) : 'UNKNOWN';
    if (said === 'GOOD' || said === 'UNKNOWN') {
      this.#suspicions.delete(replicaId);
      return said;
    }
    const now = clock.monotonic();
    const known = this.#suspicions.get(replicaId);
    // While loads go on it is always a little behind; what counts is whether it moves.
    const moved = said === 'BEHIND' && (report?.version ?? 0) >= (known?.version ?? 0);
    const fresh = { condition: said, since: now, version: visibleVersion };
    const suspicion = known?.condition === said && !moved ? known : fresh;
    this.#suspicions.set(replicaId, suspicion);
    if (now - suspicion.since >= (said === 'BEHIND' ? BEHIND_MS : SUSPECT_MS)) return said;
    this.#ask(backendId);
    return said === 'BEHIND' ? 'LAGGING' : 'SUSPECT';
  }

  /** What a backend said before it was started again may be of a disk that it has lost since. */
  #isOfThisLife(backendId: BackendId): boolean {
    const { board, registry } = this.#deps;
    if (!board.isComplete(backendId)) return false;
    return registry.status(backendId)?.incarnation === board.incarnationOf(backendId);
  }

  #ask(backendId: BackendId): void {
    const { clock, transport } = this.#deps;
    const now = clock.monotonic();
    if (now - (this.#asked.get(backendId) ?? -Infinity) < ASK_EVERY_MS) return;
    this.#asked.set(backendId, now);
    transport.call(backendId, 'reportNow', {}, { timeoutMs: ASK_TIMEOUT_MS }).catch(() => {
      // It is away, or reports by itself.
    });
  }
}

function saidOf(
  report: ReplicaReport | undefined,
  version: number,
): 'GOOD' | 'BEHIND' | 'BAD' | 'LOST' {
  if (report === undefined) return 'LOST';
  if (report.isBad) return 'BAD';
  return report.version < version ? 'BEHIND' : 'GOOD';
}
