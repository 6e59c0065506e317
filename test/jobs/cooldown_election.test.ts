/** Who is elected: the rule alone, over all small cases. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type BackendId, type ReplicaId, id } from '../../base/ids.ts';
import { type Candidate, elect } from '../../jobs/cooldown_election.ts';

const candidate = (replica: number, more: Partial<Candidate> = {}): Candidate => ({
  replicaId: id<ReplicaId>(replica),
  backendId: id<BackendId>(replica * 100),
  isAlive: true,
  isComplete: true,
  reported: { version: 5, isBad: false, cooledVersion: undefined },
  ...more,
});
const cooled = (cooledVersion: number | undefined): Pick<Candidate, 'reported'> => ({
  reported: { version: 5, isBad: false, cooledVersion },
});
const none = (): number => 0;

describe('an election', () => {
  it('takes the most advanced, then the least loaded, then the lowest id', () => {
    const three = [candidate(3), candidate(1), candidate(2)];
    expect(elect(three, 5, none)).toMatchObject({ kind: 'ELECTED', replicaId: 1, backendId: 100 });
    const loads = new Map([
      [100, 4],
      [200, 3],
      [300, 3],
    ]);
    const leadsOf = (backendId: BackendId): number => loads.get(backendId) ?? 0;
    expect(elect(three, 5, leadsOf)).toMatchObject({ replicaId: 2 });
    const advanced = [candidate(2), candidate(1, cooled(3)), candidate(3, cooled(2))];
    expect(elect(advanced, 5, leadsOf)).toMatchObject({ replicaId: 1 });
    // Version 0 is cooled, too: that is more than nothing.
    expect(elect([candidate(1), candidate(2, cooled(0))], 5, none)).toMatchObject({ replicaId: 2 });
  });

  it('leaves out what is dead, incomplete, damaged or behind, and says why nobody is left', () => {
    const dead = candidate(1, { isAlive: false });
    const missing = candidate(2, { isComplete: false });
    const bad = candidate(3, { reported: { version: 5, isBad: true, cooledVersion: 9 } });
    const behind = candidate(4, { reported: { version: 4, isBad: false, cooledVersion: 4 } });
    const silent = candidate(5, { reported: undefined });
    const why = (...some: readonly Candidate[]): unknown => elect(some, 5, none);
    expect(why()).toMatchObject({ why: 'no replica is on a backend that is alive', ask: [] });
    expect(why(dead)).toMatchObject({ why: 'no replica is on a backend that is alive', ask: [] });
    expect(why(dead, missing, bad)).toMatchObject({
      why: 'no replica that is alive is complete',
      ask: [],
    });
    expect(why(dead, behind, silent)).toMatchObject({
      why: 'no replica has reported version 5 yet',
      ask: [400, 500],
    });
    expect(why(dead, missing, bad, behind, silent, candidate(6))).toMatchObject({ replicaId: 6 });
  });

  it('takes a replica that nobody has reported as long as nothing was loaded', () => {
    const silent = candidate(5, { reported: undefined });
    expect(elect([silent], 1, none)).toMatchObject({ replicaId: 5 });
    expect(elect([silent], 2, none)).toMatchObject({ kind: 'NOBODY' });
  });

  it('does not depend on the order, and never takes one that cannot lead', () => {
    const some = fc.record({
      isAlive: fc.boolean(),
      isComplete: fc.boolean(),
      reported: fc.option(
        fc.record({
          version: fc.integer({ min: 1, max: 3 }),
          isBad: fc.boolean(),
          cooledVersion: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
        }),
        { nil: undefined },
      ),
    });
    fc.assert(
      fc.property(
        fc.array(some, { maxLength: 5 }),
        fc.integer({ min: 1, max: 3 }),
        (all, version) => {
          const candidates = all.map((one, at) => candidate(at + 1, one));
          const outcome = elect(candidates, version, (backendId) => (backendId / 100) % 2);
          expect(
            elect(candidates.toReversed(), version, (backendId) => (backendId / 100) % 2),
          ).toEqual(
            outcome.kind === 'ELECTED' ? outcome : { ...outcome, ask: outcome.ask.toReversed() },
          );
          const can = candidates.filter(
            ({ isAlive, isComplete, reported }) =>
              isAlive &&
              isComplete &&
              reported?.isBad !== true &&
              (reported?.version ?? 1) >= version,
          );
          expect(outcome.kind).toBe(can.length > 0 ? 'ELECTED' : 'NOBODY');
          if (outcome.kind !== 'ELECTED') return;
          const chosen = can.find(({ replicaId }) => replicaId === outcome.replicaId);
          const most = Math.max(...can.map(({ reported }) => reported?.cooledVersion ?? -1));
          expect(chosen?.reported?.cooledVersion ?? -1).toBe(most);
        },
      ),
    );
  });
});
