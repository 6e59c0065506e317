/** Calls about replicas: what a backend answers that keeps tablets of replicated tables. */
import type { AgentCallName, AgentCalls } from '../../base/agent_messages.ts';

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
  | 'followNow'
  | 'checkCooldown'
  | 'repairCooldown'
  | 'readCooled'
  | 'rebuildReplica'
  | 'leftInResource'
  | 'replicaSnapshots'
  | 'reportNow'
>;

export type ReplicaHandlers = {
  readonly [Name in ReplicaCallName]: (
    request: AgentCalls[Name]['request'],
    signal: AbortSignal,
  ) => AgentCalls[Name]['reply'] | Promise<AgentCalls[Name]['reply']>;
};
