/** Copies: how many at once, from where, and what happens when one fails. */
import { describe, expect, it } from '@jest/globals';
import type { AgentCallName, AgentTransport, CloneRequest } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type BackendId, type ReplicaId, type TabletId, id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { NewReplica } from '../../base/replica.ts';
import type { BackendDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { ReplicaClones } from '../../jobs/replica_clones.ts';
import { ManualClock } from '../manual_clock.ts';

interface Call {
  readonly to: BackendId;
  readonly request: CloneRequest;
  readonly end: PromiseWithResolvers<{ readonly version: number }>;
}

class World {
  readonly clock = new ManualClock();
  readonly calls: Call[] = [];
  readonly ended: TabletId[] = [];
  readonly states: string[] = [];
  readonly clones: ReplicaClones;
  /** What clearMissing answers. */
  isComplete = true;

  constructor(settings: Readonly<Record<string, string>> = {}) {
    const call = async (to: BackendId, name: AgentCallName, request: unknown): Promise<unknown> => {
      if (name !== 'cloneReplica') return {};
      const end = Promise.withResolvers<{ readonly version: number }>();
      this.calls.push({ to, request: request as CloneRequest, end });
      return await end.promise;
    };
    const replicas = {
      clearMissing: async (_key: unknown, version: number) => {
        this.states.push(`has ${version}`);
        return await Promise.resolve(this.isComplete);
      },
      setState: async (_key: unknown, from: readonly string[], to: string) => {
        this.states.push(`${from.join()} > ${to}`);
        return await Promise.resolve(true);
      },
      get: () => undefined,
    };
    this.clones = new ReplicaClones({
      catalog: { replicas } as unknown as Catalog,
      transport: { call } as unknown as AgentTransport,
      config: new Config(settings),
      clock: this.clock,
      log: SILENT_LOG,
      onEnd: (tabletId) => this.ended.push(tabletId),
    });
  }

  /** Replica n of tablet n, on backend `to`. */
  start(n: number, to: number, from: readonly number[]): void {
    this.clones.start(
      replica(n),
      backend(to),
      from.map((one) => ({ replicaId: id<ReplicaId>(1000 + one), backend: backend(one) })),
    );
  }

  get routes(): string[] {
    return this.calls.map(({ to, request }) => `${request.source.backendId} > ${to}`);
  }

  async settled(): Promise<void> {
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
  }
}

function replica(n: number): NewReplica {
  return {
    tabletId: id(n),
    replicaId: id(100 + n),
    tableId: id(1),
    partitionId: id(2),
    indexId: id(3),
  };
}

function backend(n: number): BackendDef {
  return {
    backendId: id(n),
    computeGroupId: id(1),
    computeGroupName: 'g',
    kind: 'remote',
    host: 'h',
    httpPort: n,
    adminState: 'ENABLED',
    createdMs: 0,
  };
}

describe('copies of replicas', () => {
  it('say where from, and what came of it', async () => {
    const world = new World();
    world.start(1, 7, [8]);
    const [call] = world.calls;
    expect(call?.request).toMatchObject({
      tabletId: 1,
      replica: replica(1),
      source: { backendId: 8, host: 'h', httpPort: 8, replicaId: 1008 },
    });
    expect(world.clones.isRunning(id(1))).toBe(true);
    call?.end.resolve({ version: 5 });
    await world.settled();
    expect(world.states).toEqual(['has 5', 'CLONING > NORMAL']);
    expect(world.ended).toEqual([1]);
    expect(world.clones.isRunning(id(1))).toBe(false);
  });

  it('leave it lacking when a load was committed meanwhile', async () => {
    const world = new World();
    world.isComplete = false;
    world.start(1, 7, [8]);
    world.calls[0]?.end.resolve({ version: 5 });
    await world.settled();
    expect(world.states).toEqual(['has 5']);
    world.start(1, 7, [8]);
    expect(world.calls).toHaveLength(2);
  });

  it('are few per backend, on either side, and in all', () => {
    const world = new World({
      replica_clone_slots_per_backend: '2',
      max_concurrent_replica_clones: '3',
    });
    world.start(1, 7, [8]);
    world.start(1, 7, [8]);
    world.start(2, 7, [8]);
    world.start(3, 7, [9]);
    world.start(4, 9, [8, 10]);
    world.start(5, 11, [12]);
    expect(world.routes).toEqual(['8 > 7', '8 > 7', '10 > 9']);
  });

  it('pause after a failure, longer each time, and take another source', async () => {
    const world = new World();
    const fail = async (): Promise<void> => {
      world.calls.at(-1)?.end.reject(new SqlError('STORE_FAILED', { what: 'disk full' }));
      await world.settled();
    };
    world.start(1, 7, [8, 9]);
    await fail();
    expect(world.clones.errorOf(id(101))).toContain('disk full');
    world.start(1, 7, [8, 9]);
    expect(world.calls).toHaveLength(1);
    world.clock.advance(1000);
    world.start(1, 7, [8, 9]);
    expect(world.routes).toEqual(['8 > 7', '9 > 7']);
    await fail();
    world.clock.advance(1999);
    world.start(1, 7, [8, 9]);
    expect(world.calls).toHaveLength(2);
    world.clock.advance(1);
    world.start(1, 7, [8, 9]);
    world.calls.at(-1)?.end.resolve({ version: 2 });
    await world.settled();
    expect(world.clones.errorOf(id(101))).toBe('');
    await world.settled();
    expect(world.clones.counts).toEqual({ running: 0, done: 1, failed: 2 });
  });

  it('begin no more after the end', () => {
    const world = new World();
    world.clones.close();
    world.start(1, 7, [8]);
    expect(world.calls).toEqual([]);
  });
});
