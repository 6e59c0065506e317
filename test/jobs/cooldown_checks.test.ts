/** CHECK COOLDOWN TABLE [REPAIR]: who is asked, and what counts as repaired. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentCalls, AgentTransport } from '../../base/agent_messages.ts';
import type { BackendId, TabletId } from '../../base/ids.ts';
import type { CooldownProblem } from '../../base/replica.ts';
import { CooldownChecks } from '../../jobs/cooldown_checks.ts';
import { CooldownWorld } from './cooldown_world.ts';

let world: CooldownWorld;
let tablets: TabletId[];
/** By tablet: what a look finds. */
let problems: Map<TabletId, CooldownProblem[]>;
let repairs: { readonly backendId: BackendId; readonly tabletIds: readonly TabletId[] }[];
let onRepair: (backendId: BackendId, tabletId: TabletId) => void;

const missing: CooldownProblem = { kind: 'MISSING', key: 'a', bytes: 0, what: 'not there' };
const orphan: CooldownProblem = { kind: 'ORPHAN', key: 'b', bytes: 7, what: 'nobody names it' };

beforeEach(async () => {
  world = await CooldownWorld.make();
  const table = await world.table({ buckets: 12 });
  await world.round();
  tablets = world.tablets(table);
  problems = new Map();
  repairs = [];
  onRepair = () => undefined;
});
afterEach(async () => {
  await world.remove();
});

function checks(): CooldownChecks {
  const answer = (backendId: BackendId, name: string, request: unknown): unknown => {
    switch (name) {
      case 'replicaSnapshots': {
        const { tabletIds } = request as AgentCalls['replicaSnapshots']['request'];
        return { replicas: tabletIds.map((tabletId) => ({ tabletId, rowsets: [], version: 1 })) };
      }
      case 'checkCooldown': {
        const { tabletIds, others } = request as AgentCalls['checkCooldown']['request'];
        for (const tabletId of tabletIds) {
          expect(world.leaderOf(tabletId).backendId).toBe(backendId);
          expect(others.filter((one) => one.tabletId === tabletId)).toHaveLength(2);
        }
        const found = tabletIds.map((tabletId) => ({
          tabletId,
          objects: 0,
          bytes: 0,
          problems: problems.get(tabletId) ?? [],
        }));
        return { tablets: found };
      }
      case 'repairCooldown': {
        const { tabletIds } = request as AgentCalls['repairCooldown']['request'];
        repairs.push({ backendId, tabletIds });
        for (const tabletId of tabletIds) onRepair(backendId, tabletId);
        return { repaired: [] };
      }
      default:
        throw new Error(`an unexpected call: ${name}`);
    }
  };
  const transport: AgentTransport = {
    call: async (backendId, name, request) =>
      await Promise.resolve(answer(backendId, name, request) as never),
  };
  const { catalog, registry } = world;
  return new CooldownChecks({ catalog, registry, transport });
}

async function check(repair: boolean, signal = new AbortController().signal) {
  return await checks().check(tablets, { repair, signal });
}

describe('a check', () => {
  it('asks the leader of each tablet, and tells what it found, by tablet', async () => {
    const [first, , third] = tablets;
    if (first === undefined || third === undefined) throw new Error('no tablets');
    problems.set(third, [missing]);
    problems.set(first, [orphan]);
    expect(await check(false)).toEqual([
      { ...orphan, tabletId: first, isRepaired: undefined },
      { ...missing, tabletId: third, isRepaired: undefined },
    ]);
    expect(repairs).toEqual([]);
  });

  it('says of whom nobody could look at', async () => {
    for (const backend of world.backends.values()) backend.isAlive = false;
    await world.rounds(10);
    const found = await check(true);
    expect(found).toHaveLength(12);
    expect(found[0]).toMatchObject({
      kind: 'UNCHECKED',
      what: 'no replica is on a backend that is alive',
      isRepaired: false,
    });
  });

  it('ends with its statement', async () => {
    const stop = new AbortController();
    stop.abort(new Error('killed'));
    await expect(check(false, stop.signal)).rejects.toThrow('killed');
  });
});

describe('a repair', () => {
  it('has every replica try, the leader first, only where something is wrong', async () => {
    const [first] = tablets;
    if (first === undefined) throw new Error('no tablet');
    problems.set(first, [missing, orphan]);
    const leader = world.leaderOf(first).backendId;
    // Another replica has a copy of what the leader has not.
    onRepair = (backendId) => {
      if (backendId !== leader) problems.set(first, [orphan]);
    };
    expect(await check(true)).toEqual([
      { ...missing, tabletId: first, isRepaired: true },
      { ...orphan, tabletId: first, isRepaired: false },
    ]);
    expect(repairs.map(({ tabletIds }) => tabletIds)).toEqual([[first], [first], [first]]);
    expect(repairs[0]?.backendId).toBe(leader);
  });

  it('that fails is no repair, and says why', async () => {
    const [first] = tablets;
    if (first === undefined) throw new Error('no tablet');
    problems.set(first, [missing]);
    onRepair = () => {
      throw new Error('HTTP 503');
    };
    expect(await check(true)).toEqual([
      { ...missing, tabletId: first, what: 'not there; repair: HTTP 503', isRepaired: false },
    ]);
  });
});
