/** Who leads which tablet, in memory: 16 bytes a tablet and its place in the map. Follows commits. */
import { type ReplicaId, type TabletId, id } from '../base/ids.ts';
import type { CooldownConf, CooldownLead } from '../base/replica.ts';
import { SlotMap } from '../base/slot_map.ts';

const CAPACITY_MIN = 64;

export class LeadIndex {
  readonly #slotOf = new SlotMap();
  readonly #free: number[] = [];
  #used = 0;
  /** Two numbers a tablet: replica, term. */
  #leads = new Float64Array(CAPACITY_MIN * 2);

  get size(): number {
    return this.#slotOf.size;
  }

  get(tabletId: TabletId): CooldownLead | undefined {
    const slot = this.#slotOf.get(tabletId);
    if (slot === -1) return undefined;
    const [replicaId = 0, term = 0] = this.#leads.subarray(slot * 2, slot * 2 + 2);
    return { replicaId: id<ReplicaId>(replicaId), term };
  }

  *tablets(): Generator<TabletId> {
    for (const tabletId of this.#slotOf.keys()) yield id<TabletId>(tabletId);
  }

  /** Catalog only. */
  set({ tabletId, replicaId, term }: CooldownConf): void {
    const known = this.#slotOf.get(tabletId);
    const slot = known === -1 ? (this.#free.pop() ?? this.#used) : known;
    if (slot === this.#used) {
      this.#used += 1;
      if (this.#used * 2 > this.#leads.length) {
        const grown = new Float64Array(this.#leads.length * 2);
        grown.set(this.#leads);
        this.#leads = grown;
      }
    }
    this.#slotOf.set(tabletId, slot);
    this.#leads.set([replicaId, term], slot * 2);
  }

  /** Catalog only. */
  delete(tabletId: TabletId): void {
    const slot = this.#slotOf.get(tabletId);
    if (slot === -1) return;
    this.#slotOf.delete(tabletId);
    this.#free.push(slot);
  }
}
