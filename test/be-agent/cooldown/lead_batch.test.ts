/** Leads that come together are one durable transaction. */
import { describe, expect, it } from '@jest/globals';
import type { ConfOutcome } from '../../../base/agent_messages.ts';
import { type ReplicaId, type TabletId, id } from '../../../base/ids.ts';
import type { CooldownConf } from '../../../base/replica.ts';
import { LeadBatch } from '../../../be-agent/cooldown/lead_batch.ts';

const conf = (tablet: number): CooldownConf => ({
  tabletId: id<TabletId>(tablet),
  replicaId: id<ReplicaId>(tablet * 10),
  term: 1,
});

function store(fails = false) {
  const transactions: number[][] = [];
  let current: number[] = [];
  return {
    transactions,
    batch: <T>(work: () => T): T => {
      current = [];
      const result = work();
      if (fails) throw new Error('disk full');
      transactions.push(current);
      return result;
    },
    setLead: ({ tabletId }: CooldownConf): ConfOutcome => {
      current.push(tabletId);
      return { tabletId, outcome: tabletId === 3 ? 'MISSING' : 'ACCEPTED' };
    },
  };
}

describe('leads', () => {
  it('of one push are one transaction, each with its own outcome', async () => {
    const known = store();
    const batch = new LeadBatch(known);
    const outcomes = await Promise.all([1, 2, 3].map(async (tablet) => batch.set(conf(tablet))));
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['ACCEPTED', 'ACCEPTED', 'MISSING']);
    await batch.set(conf(4));
    expect(known.transactions).toEqual([[1, 2, 3], [4]]);
  });

  it('that cannot be stored fail together, and later ones are tried', async () => {
    const batch = new LeadBatch(store(true));
    const both = await Promise.allSettled([batch.set(conf(1)), batch.set(conf(2))]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(batch.set(conf(3))).rejects.toThrow('disk full');
  });
});
