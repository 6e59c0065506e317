/** Calls about replicas: what a backend answers that keeps tablets of replicated tables. */
import type { AgentCallName, AgentCalls } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';

export type ReplicaCallName = Extract<
  AgentCallName,
  | 'createReplicas'
  | 'dropReplicas'
  | 'settleTxns'
  | 'cloneReplica'
  | 'setPolicies'
  | 'pushStoragePolicies'
  | 'pushCooldownConf'
  | 'cooldownNow'
  | 'replicaSnapshots'
  | 'reportNow'
>;

export type ReplicaHandlers = {
  readonly [Name in ReplicaCallName]: (
    request: AgentCalls[Name]['request'],
    signal: AbortSignal,
  ) => AgentCalls[Name]['reply'] | Promise<AgentCalls[Name]['reply']>;
};

function notYet(): never {
  throw new SqlError('NOT_SUPPORTED', { what: 'replicated tables' });
}

/** Of a backend without replicas. */
export const NO_REPLICAS: ReplicaHandlers = {
  createReplicas: notYet,
  dropReplicas: notYet,
  settleTxns: notYet,
  cloneReplica: notYet,
  setPolicies: notYet,
  pushStoragePolicies: notYet,
  pushCooldownConf: notYet,
  cooldownNow: notYet,
  replicaSnapshots: notYet,
  reportNow: notYet,
};
