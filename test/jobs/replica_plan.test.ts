/** What is done about a tablet's replicas, case by case and for all small cases. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { id } from '../../base/ids.ts';
import {
  type BackendCondition,
  type PlannedReplica,
  type RepairStep,
  type ReplicaCondition,
  planRepair,
} from '../../jobs/replica_plan.ts';

const LACKS = { missing: { from: 2, to: 5 } };

/** Replica n is on backend n. */
function replica(n: number, more: Partial<PlannedReplica> = {}): PlannedReplica {
  return {
    tabletId: id(1),
    replicaId: id(100 + n),
    backendId: id(n),
    state: 'NORMAL',
    backend: 'ALIVE',
    condition: 'GOOD',
    isLeader: false,
    replicasOfBackend: 10,
    ...more,
  };
}

/** `KIND n`, n being the backend; clones with their sources. */
function steps(replicas: readonly PlannedReplica[], wanted: number): string[] {
  return planRepair(replicas, wanted).steps.map(stepText);
}

function stepText(step: RepairStep): string {
  if (step.kind === 'ADD') return `ADD not ${step.taken.join(' ')}`;
  const text = `${step.kind} ${step.replica.backendId}`;
  if (step.kind !== 'CLONE') return text;
  return `${text} from ${step.sources.map(({ backendId }) => backendId).join(' ')}`;
}

describe('a tablet', () => {
  it('with all its replicas is left alone', () => {
    const plan = planRepair([replica(1), replica(2), replica(3)], 3);
    expect(plan).toEqual({ steps: [], isHealthy: true, waits: '' });
    const unknown = [replica(1, { condition: 'UNKNOWN' }), replica(2)];
    expect(planRepair(unknown, 2).isHealthy).toBe(true);
  });

  it('gets what a replica missed from a complete one', () => {
    expect(steps([replica(1), replica(2, LACKS), replica(3)], 3)).toEqual(['CLONE 2 from 1 3']);
  });

  it('waits when no complete replica can be reached', () => {
    const plan = planRepair([replica(1, { backend: 'AWAY' }), replica(2, LACKS)], 2);
    expect(plan.steps).toEqual([]);
    expect(plan.waits).toBe('no replica is complete and can be reached');
  });

  it.each<ReplicaCondition>(['BAD', 'LOST', 'BEHIND'])(
    'whose replica is %s learns that it misses everything, then copies',
    (condition) => {
      expect(steps([replica(1), replica(2, { condition })], 2)).toEqual(['MARK 2']);
      expect(steps([replica(1), replica(2, { condition, ...LACKS })], 2)).toEqual([
        'CLONE 2 from 1',
      ]);
    },
  );

  it('is not copied from a replica that is suspected, and from one that lags it is', () => {
    const lacking = replica(3, LACKS);
    const suspect = replica(1, { condition: 'SUSPECT' });
    const lagging = replica(2, { condition: 'LAGGING' });
    expect(steps([suspect, lagging, lacking], 3)).toEqual(['CLONE 3 from 2']);
    expect(planRepair([suspect, replica(2)], 2).isHealthy).toBe(false);
  });

  it('is not added to while its backend may come back, and is when that stays dead', () => {
    expect(steps([replica(1), replica(2, { backend: 'AWAY' })], 2)).toEqual([]);
    expect(steps([replica(1), replica(2, { backend: 'DEAD' })], 2)).toEqual(['ADD not 1 2']);
    const filling = replica(3, { state: 'CLONING', ...LACKS });
    const dead = replica(2, { backend: 'DEAD' });
    expect(steps([replica(1), dead, filling], 2)).toEqual(['CLONE 3 from 1']);
    expect(steps([replica(1), dead, replica(3, { state: 'CLONING' })], 2)).toEqual(['FINISH 3']);
    expect(planRepair([replica(1), dead, replica(3)], 2).isHealthy).toBe(true);
  });

  it('loses the surplus when the dead backend comes back', () => {
    const back = replica(2, LACKS);
    expect(steps([replica(1), back, replica(3)], 2)).toEqual(['LEAVE 2']);
    const leaving = replica(2, { ...LACKS, state: 'DECOMMISSIONING' });
    expect(steps([replica(1), leaving, replica(3)], 2)).toEqual(['DROP 2']);
  });

  it('forgets replicas of dropped backends', () => {
    expect(steps([replica(1), replica(2, { backend: 'DROPPED' })], 2)).toEqual(['FORGET 2']);
  });

  it('moves away from a backend that is decommissioned before it is dropped there', () => {
    const own = replica(2, { backend: 'LEAVING' });
    expect(steps([replica(1), own], 2)).toEqual(['LEAVE 2']);
    const leaving = replica(2, { backend: 'LEAVING', state: 'DECOMMISSIONING' });
    expect(steps([replica(1), leaving], 2)).toEqual(['ADD not 1 2']);
    const filling = replica(3, { state: 'CLONING', ...LACKS });
    expect(steps([replica(1), leaving, filling], 2)).toEqual(['CLONE 3 from 1 2']);
    expect(steps([replica(1), leaving, replica(3)], 2)).toEqual(['DROP 2']);
    const leader = replica(2, { backend: 'LEAVING', state: 'DECOMMISSIONING', isLeader: true });
    expect(planRepair([replica(1), leader, replica(3)], 2)).toMatchObject({
      steps: [],
      waits: 'another replica has to become the leader first',
    });
  });

  it('keeps the replica when the decommissioning is cancelled', () => {
    const leaving = replica(2, { state: 'DECOMMISSIONING' });
    expect(steps([replica(1), leaving], 2)).toEqual(['STAY 2']);
  });

  it('is reduced one by one, the leader last, the fullest backend first', () => {
    const leader = replica(1, { isLeader: true, replicasOfBackend: 99 });
    const fullest = replica(3, { replicasOfBackend: 50 });
    expect(steps([leader, replica(2), fullest], 2)).toEqual(['LEAVE 3']);
    expect(steps([leader, replica(2, LACKS), fullest], 1)).toEqual(['LEAVE 2']);
  });
});

describe('a replica that is being made on a backend that is being decommissioned', () => {
  it('is waited for although there are enough: then it leaves', () => {
    const unmade = replica(1, { state: 'CREATING', backend: 'LEAVING' });
    const plan = planRepair([unmade, replica(2)], 1);
    expect(plan).toMatchObject({ steps: [], isHealthy: false });
    expect(plan.waits).toMatch(/being decommissioned/);
    expect(steps([{ ...unmade, state: 'NORMAL' }, replica(2)], 1)).toEqual(['LEAVE 1']);
  });
});

const conditions: readonly ReplicaCondition[] = [
  'GOOD',
  'UNKNOWN',
  'LAGGING',
  'BEHIND',
  'SUSPECT',
  'BAD',
  'LOST',
];
const backendConditions: readonly BackendCondition[] = ['ALIVE', 'AWAY', 'DEAD', 'LEAVING'];

const anyReplicas = fc
  .array(
    fc.record({
      state: fc.constantFrom<PlannedReplica['state']>(
        'NORMAL',
        'CREATING',
        'CLONING',
        'DECOMMISSIONING',
      ),
      backend: fc.constantFrom(...backendConditions),
      condition: fc.constantFrom(...conditions),
      lacks: fc.boolean(),
      isLeader: fc.boolean(),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((list) =>
    list.map(({ lacks, ...more }, at) => replica(at + 1, { ...more, ...(lacks ? LACKS : {}) })),
  );

function isSound({ state, missing, condition, backend }: PlannedReplica): boolean {
  if (missing !== undefined || (condition !== 'GOOD' && condition !== 'LAGGING')) return false;
  if (backend !== 'ALIVE' && backend !== 'LEAVING') return false;
  return state === 'NORMAL' || state === 'DECOMMISSIONING';
}

describe('whatever there is', () => {
  it('nothing is dropped unless enough complete ones stay', () => {
    fc.assert(
      fc.property(anyReplicas, fc.integer({ min: 1, max: 4 }), (replicas, wanted) => {
        const plan = planRepair(replicas, wanted);
        const dropped = plan.steps.flatMap((step) => (step.kind === 'DROP' ? [step.replica] : []));
        if (dropped.length === 0) return;
        const stay = replicas.filter((one) => !dropped.includes(one) && isSound(one));
        expect(stay.length).toBeGreaterThanOrEqual(wanted);
        expect(dropped.every(({ isLeader }) => !isLeader)).toBe(true);
      }),
    );
  });

  it('is copied from complete ones only', () => {
    fc.assert(
      fc.property(anyReplicas, fc.integer({ min: 1, max: 4 }), (replicas, wanted) => {
        for (const step of planRepair(replicas, wanted).steps) {
          if (step.kind === 'CLONE') expect(step.sources.every(isSound)).toBe(true);
        }
      }),
    );
  });

  it('ends well when every step works: `wanted` complete ones, and no others', () => {
    fc.assert(
      fc.property(anyReplicas, fc.integer({ min: 1, max: 4 }), (begun, wanted) => {
        fc.pre(begun.some(isSound));
        // Everybody is back, reports, and leaders move away.
        let replicas = begun.map((one): PlannedReplica => ({
          ...one,
          backend: one.backend === 'LEAVING' ? 'LEAVING' : 'ALIVE',
          isLeader: false,
        }));
        for (let round = 0; round < 40; round += 1) {
          const plan = planRepair(replicas, wanted);
          if (plan.isHealthy) break;
          for (const step of plan.steps) replicas = after(replicas, step);
          replicas = replicas.map((one) =>
            one.state === 'CREATING' ? { ...one, state: 'NORMAL', condition: 'GOOD' } : one,
          );
          if (plan.steps.length === 0) {
            replicas = replicas.map((one) => ({ ...one, condition: 'GOOD' }));
          }
        }
        expect(replicas.length).toBe(wanted);
        expect(replicas.every((one) => one.backend === 'ALIVE' && one.state === 'NORMAL')).toBe(
          true,
        );
        expect(replicas.every(({ missing }) => missing === undefined)).toBe(true);
      }),
    );
  });
});

function after(replicas: readonly PlannedReplica[], step: RepairStep): PlannedReplica[] {
  if (step.kind === 'ADD') {
    const n = Math.max(0, ...step.taken) + 1;
    return [...replicas, replica(n, { state: 'CLONING', condition: 'UNKNOWN', ...LACKS })];
  }
  return replicas.flatMap((one) => {
    if (one.replicaId !== step.replica.replicaId) return [one];
    const { missing: _, ...rest } = one;
    switch (step.kind) {
      case 'FORGET':
      case 'DROP':
        return [];
      case 'MARK':
        return [{ ...one, ...LACKS }];
      case 'CLONE':
      case 'FINISH':
        return [{ ...rest, state: 'NORMAL' as const, condition: 'GOOD' as const }];
      case 'LEAVE':
        return [{ ...one, state: 'DECOMMISSIONING' as const }];
      case 'STAY':
        return [{ ...one, state: 'NORMAL' as const }];
    }
  });
}
