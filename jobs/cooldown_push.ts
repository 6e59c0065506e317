/** Tells backends who leads which tablets, and reads from their answers and reports who knows. */
import type { AgentTransport, ConfOutcome } from '../base/agent_messages.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { CooldownConf } from '../base/replica.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendLiveness } from './backend_liveness.ts';
import { canHear } from './cooldown_decision.ts';
import type { ReplicaBoard } from './replica_board.ts';

/** Of one call with at most 100 confs, each durable before the reply. */
const PUSH_TIMEOUT_MS = 10_000;

export interface PushDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly board: ReplicaBoard;
  readonly liveness: BackendLiveness;
  readonly log: Log;
}

/** A replica that does not have its tablet's term yet. */
export interface OpenReplica {
  readonly conf: CooldownConf;
  readonly backendId: BackendId;
}

/** Replicas that their backends do not have: they are repaired, and told then. */
export type MissingReplicas = Map<BackendId, Set<TabletId>>;

export class CooldownPush {
  /** Confs that were sent since the server started, for the metrics. */
  sent = 0;
  readonly #deps: PushDeps;

  constructor(deps: PushDeps) {
    this.#deps = deps;
  }

  /**
   * Replicas that a job still waits for. A tablet that was dropped, or has a newer term, waits for
   * nobody; neither does one whose leader is gone or has been dead for `leaderDeadMs`, since it is
   * to get another one.
   */
  open(
    confs: readonly CooldownConf[],
    missing: MissingReplicas,
    leaderDeadMs: number,
  ): OpenReplica[] {
    return confs.flatMap((conf) => this.#openOf(conf, missing, leaderDeadMs));
  }

  /** One call per backend. What could not be sent is open still. */
  async send(open: readonly OpenReplica[], missing: MissingReplicas): Promise<void> {
    const byBackend = Map.groupBy(open, ({ backendId }) => backendId);
    const calls = [...byBackend].filter(([backendId]) => this.#deps.liveness.isAlive(backendId));
    await Promise.all(
      calls.map(async ([backendId, own]) => {
        await this.#call(
          backendId,
          own.map(({ conf }) => conf),
          missing,
        );
      }),
    );
  }

  #openOf(conf: CooldownConf, missing: MissingReplicas, leaderDeadMs: number): OpenReplica[] {
    const { catalog, board, liveness } = this.#deps;
    const { tabletId, term } = conf;
    if (catalog.tablets.get(tabletId) === undefined) return [];
    if ((catalog.cooldown.lead(tabletId)?.term ?? 0) !== term) return [];
    const replicas = catalog.replicas.ofTablet(tabletId);
    const leader = replicas.find(({ replicaId }) => replicaId === conf.replicaId);
    if (leader === undefined || liveness.deadMs(leader.backendId) >= leaderDeadMs) return [];
    return replicas.flatMap(({ backendId, state, replicaId }) => {
      if (!canHear(state, board.get(backendId, tabletId, replicaId))) return [];
      if (missing.get(backendId)?.has(tabletId) === true) return [];
      if ((board.leadOf(backendId, tabletId)?.term ?? 0) >= term) return [];
      const counts = liveness.counts(backendId) || replicaId === conf.replicaId;
      return counts ? [{ conf, backendId }] : [];
    });
  }

  async #call(
    backendId: BackendId,
    confs: readonly CooldownConf[],
    missing: MissingReplicas,
  ): Promise<void> {
    const { liveness, log, transport } = this.#deps;
    const incarnation = liveness.incarnationOf(backendId);
    this.sent += confs.length;
    try {
      const options = { timeoutMs: PUSH_TIMEOUT_MS };
      const { outcomes } = await transport.call(backendId, 'pushCooldownConf', { confs }, options);
      const asked = new Map(confs.map((conf) => [conf.tabletId, conf]));
      for (const outcome of outcomes) {
        this.#take({ backendId, incarnation }, outcome, asked, missing);
      }
    } catch (error) {
      log.warn('a backend was not told who leads its tablets', {
        backendId,
        tablets: confs.length,
        error: String(error),
      });
    }
  }

  #take(
    { backendId, incarnation }: { backendId: BackendId; incarnation: string | undefined },
    { tabletId, outcome, lead }: ConfOutcome,
    asked: ReadonlyMap<TabletId, CooldownConf>,
    missing: MissingReplicas,
  ): void {
    const { board } = this.#deps;
    const conf = asked.get(tabletId);
    if (conf === undefined) return;
    switch (outcome) {
      case 'ACCEPTED':
      case 'SAME':
        board.acknowledge(backendId, conf, incarnation);
        return;
      case 'STALE':
      case 'CONFLICT':
        // The scheduler finds what cannot be, says so, and ends it with a higher term.
        if (lead !== undefined) board.acknowledge(backendId, { tabletId, ...lead }, incarnation);
        return;
      case 'MISSING':
        missing.set(backendId, (missing.get(backendId) ?? new Set()).add(tabletId));
    }
  }
}
