/**
 * Looks for tablets that have a policy or a lead, again and again: a safety net under the events by
 * which the scheduler hears of changes. The first round goes through at once, later ones take some
 * tablets per tick, so that they cost little however many tablets there are.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BackendId, ReplicaId, TabletId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';

/** From the beginning of a round to that of the next, if that is enough for all. */
const SWEEP_MS = 60_000;
const TABLETS_PER_TICK = 2000;
/** Tablets between two turns of the event loop. */
const TABLETS_PER_TURN = 500;
/** Leads of dropped tablets forgotten in one transaction. */
const FORGET_MAX = 1000;

export interface CooldownSweepDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
}

export class CooldownSweep {
  readonly #deps: CooldownSweepDeps;
  readonly #gone: TabletId[] = [];
  /** How many tablets each backend leads; counted anew by every round. */
  #leads = new Map<BackendId, number>();
  /** On the monotonic clock; undefined: before the first round. */
  #beganMs: number | undefined;
  #rest: Generator<TabletId, void> | undefined;

  constructor(deps: CooldownSweepDeps) {
    this.#deps = deps;
  }

  /** Before the first round nobody has been looked at. */
  get hasBegun(): boolean {
    return this.#beganMs !== undefined;
  }

  leadsOf(backendId: BackendId): number {
    return this.#leads.get(backendId) ?? 0;
  }

  /** An election: the next ones are to go to other backends. */
  elected(tabletId: TabletId, before: ReplicaId | undefined, backendId: BackendId): void {
    this.#leads.set(backendId, this.leadsOf(backendId) + 1);
    const left = before && this.#deps.catalog.replicas.get(tabletId, before)?.backendId;
    if (left !== undefined) this.#leads.set(left, this.leadsOf(left) - 1);
  }

  /** Hands the next tablets to `look`. */
  async tick(look: (tabletId: TabletId) => void): Promise<void> {
    const now = this.#deps.clock.monotonic();
    const most = this.hasBegun ? TABLETS_PER_TICK : Infinity;
    if (this.#rest === undefined) {
      if (now - (this.#beganMs ?? -Infinity) < SWEEP_MS) return;
      this.#beganMs = now;
      this.#rest = this.#subjects();
    }
    for (let seen = 1; seen <= most; seen += 1) {
      const next = this.#rest.next();
      if (next.done === true) {
        this.#rest = undefined;
        await this.#forgetGone();
        return;
      }
      look(next.value);
      if (seen % TABLETS_PER_TURN === 0) await nextTurn();
    }
  }

  *#subjects(): Generator<TabletId, void> {
    const { catalog } = this.#deps;
    for (const partitionId of catalog.storagePolicies.boundPartitions()) {
      for (const { tabletId } of catalog.tablets.ofPartition(partitionId)) yield tabletId;
    }
    const leads = new Map<BackendId, number>();
    for (const tabletId of catalog.cooldown.ledTablets()) {
      const lead = catalog.cooldown.lead(tabletId);
      const leader = lead && catalog.replicas.get(tabletId, lead.replicaId);
      if (leader !== undefined) leads.set(leader.backendId, (leads.get(leader.backendId) ?? 0) + 1);
      const isThere =
        catalog.tablets.get(tabletId) !== undefined ||
        catalog.replicas.ofTablet(tabletId).length > 0;
      if (!isThere) this.#gone.push(tabletId);
      yield tabletId;
    }
    this.#leads = leads;
  }

  async #forgetGone(): Promise<void> {
    while (this.#gone.length > 0) {
      await this.#deps.catalog.cooldown.forgetLeads(this.#gone.splice(0, FORGET_MAX));
    }
  }
}
