/** What reports prove against replicas, and when. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentTransport, Heartbeat } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { type BackendId, id } from '../../base/ids.ts';
import type { ReplicaReport } from '../../base/replica.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { ReplicaBoard } from '../../jobs/replica_board.ts';
import { BEHIND_MS, ReplicaSuspicions, SUSPECT_MS } from '../../jobs/replica_suspicions.ts';
import { ManualClock } from '../manual_clock.ts';

const BACKEND = id<BackendId>(7);
const REPLICA: ReplicaDef = {
  tabletId: id(1),
  replicaId: id(10),
  backendId: BACKEND,
  state: 'NORMAL',
};
const VERSION = 5;

let clock: ManualClock;
let board: ReplicaBoard;
let registry: BackendRegistry;
let suspicions: ReplicaSuspicions;
let asked: number;
let round: number;

beforeEach(() => {
  clock = new ManualClock();
  board = new ReplicaBoard();
  registry = new BackendRegistry(clock, new Config());
  [asked, round] = [0, 0];
  const transport = {
    call: async () => {
      asked += 1;
      return await Promise.resolve({});
    },
  } as unknown as AgentTransport;
  suspicions = new ReplicaSuspicions({ transport, board, registry, clock });
  life('first');
});

function life(incarnation: string): void {
  registry.heartbeat({ backendId: BACKEND, incarnation } as Heartbeat);
  board.beginLife(BACKEND, incarnation);
}

function reported(more: Partial<ReplicaReport> = {}): void {
  round += 1;
  const report: ReplicaReport = {
    tabletId: REPLICA.tabletId,
    replicaId: REPLICA.replicaId,
    partitionId: id(2),
    version: VERSION,
    rows: 1,
    localBytes: 1,
    remoteBytes: 0,
    rowsets: 1,
    isBad: false,
    cooldownState: 'NONE',
    cooldownWaits: '',
    cooldownError: '',
    busy: false,
    ...more,
  };
  board.put(BACKEND, report, round);
}

function condition(version = VERSION): string {
  return suspicions.conditionOf(REPLICA, version);
}

describe('a replica', () => {
  it('is unknown until its backend has reported all it has in this life', () => {
    expect(condition()).toBe('UNKNOWN');
    reported();
    expect(condition()).toBe('UNKNOWN');
    board.completed(BACKEND);
    expect(condition()).toBe('GOOD');
    registry.heartbeat({ backendId: BACKEND, incarnation: 'second' } as Heartbeat);
    expect(condition()).toBe('UNKNOWN');
    life('second');
    expect(condition()).toBe('UNKNOWN');
  });

  it('is lost when it is not in a full report, and still not after asking again', () => {
    board.completed(BACKEND);
    expect(condition()).toBe('SUSPECT');
    expect(asked).toBe(1);
    clock.advance(SUSPECT_MS - 1);
    expect(condition()).toBe('SUSPECT');
    clock.advance(1);
    expect(condition()).toBe('LOST');
    reported();
    expect(condition()).toBe('GOOD');
  });

  it('that is damaged and copied is suspected anew only by a new report', () => {
    reported({ isBad: true });
    board.completed(BACKEND);
    expect(condition()).toBe('SUSPECT');
    reported();
    expect(condition()).toBe('GOOD');
    reported({ isBad: true });
    expect(condition()).toBe('SUSPECT');
    clock.advance(SUSPECT_MS);
    expect(condition()).toBe('BAD');
  });

  it('lags while loads go on, and is behind only when it does not move', () => {
    board.completed(BACKEND);
    for (let version = VERSION; version < VERSION + 20; version += 1) {
      reported({ version: version - 1 });
      expect(condition(version)).toBe('LAGGING');
      clock.advance(BEHIND_MS / 2);
    }
    reported({ version: 3 });
    condition(9);
    clock.advance(BEHIND_MS);
    expect(condition(12)).toBe('BEHIND');
  });
});
