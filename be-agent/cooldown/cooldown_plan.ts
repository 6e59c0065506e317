/** What a replica should do next, and when. Pure: the engine carries it out. */
import type { ResourceId } from '../../base/ids.ts';
import type { AgentPolicy, CooldownLead } from '../../base/replica.ts';
import type { ReplicaState } from '../replica/replica_store.ts';
import type { CooldownStatus } from '../replica/report_rows.ts';
import { type Coldness, cooledRowsets, cooledVersionOf, localBytesOf, nextDueMs } from './pick.ts';
import type { Control } from './tablet_control.ts';

/**
 * A follower looks at HEAD with every interval while something of it is due. Otherwise there is
 * only to be seen that a compaction has changed the list, and the more replicas a backend has, the
 * more rarely each is looked at: 200 replicas with every interval, 100,000 with every 15th, which
 * is 333 requests a second with the default of 20 s.
 */
const IDLE_INTERVALS_MAX = 15;
const LOOKS_PER_INTERVAL = 200;

export interface PlanInput {
  readonly replica: ReplicaState;
  readonly control: Control;
  /** The replica's; undefined: it has none, or it has not arrived yet. */
  readonly policy: AgentPolicy | undefined;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** Milliseconds of the monotonic clock. */
  readonly monotonicMs: number;
  readonly intervalMs: number;
  /** How many the backend has. */
  readonly replicas: number;
}

export type Plan =
  | { readonly kind: 'NOTHING' }
  | {
      readonly kind: 'LEAD' | 'FOLLOW';
      readonly lead: CooldownLead;
      readonly resourceId: ResourceId;
      /** Milliseconds until it may begin; 0 or less: now. */
      readonly inMs: number;
      /** Order among those that may begin. */
      readonly dueMs: number;
      readonly bytes: number;
    };

const NOTHING: Plan = { kind: 'NOTHING' };

type ColdnessInput = Pick<PlanInput, 'replica' | 'policy' | 'control'>;

/** A policy of another resource than the one where cooled data is cools nothing further. */
export function coldnessOf({ replica, policy, control }: ColdnessInput): Coldness {
  if (policy === undefined || resourceOf(replica, policy) !== policy.resourceId) {
    return { time: undefined, forcedVersion: -1 };
  }
  return { time: policy.cooldown, forcedVersion: control.forcedVersion };
}

/** Where its data is cooled, or will be; undefined: nowhere. */
export function resourceOf(
  replica: ReplicaState,
  policy: AgentPolicy | undefined,
): ResourceId | undefined {
  const [cooled] = cooledRowsets(replica.rowsets);
  return cooled?.place.kind === 'remote' ? cooled.place.resourceId : policy?.resourceId;
}

/** Whether it leads by what it knows: its own id, and no higher term in the resource. */
export function isLeader(replica: ReplicaState, control: Control): boolean {
  const { lead, replicaId } = replica;
  return lead?.replicaId === replicaId && lead.term > control.fencedTerm;
}

export function planOf(input: PlanInput): Plan {
  const { replica, control, policy, nowMs, monotonicMs, intervalMs } = input;
  const { lead } = replica;
  const resourceId = resourceOf(replica, policy) ?? control.resourceId;
  if (lead === undefined || resourceId === undefined) return NOTHING;
  const leads = isLeader(replica, control);
  const due = nextDueMs(replica, coldnessOf(input));
  const untilDue = due === undefined ? Number.POSITIVE_INFINITY : due - nowMs + 1;
  const sinceLook = monotonicMs - control.lookedAt;
  let inMs: number;
  if (control.settledTerm !== lead.term) inMs = 0;
  else if (leads) inMs = untilDue;
  else {
    const soon = Math.max(untilDue, intervalMs - sinceLook);
    inMs = Math.min(soon, idleIntervals(input.replicas) * intervalMs - sinceLook);
  }
  inMs = Math.max(inMs, control.notBefore - monotonicMs);
  const kind = leads ? 'LEAD' : 'FOLLOW';
  const dueMs = due ?? Number.POSITIVE_INFINITY;
  return { kind, lead, resourceId, inMs, dueMs, bytes: localBytesOf(replica.rowsets) };
}

function idleIntervals(replicas: number): number {
  return Math.min(IDLE_INTERVALS_MAX, Math.max(1, Math.ceil(replicas / LOOKS_PER_INTERVAL)));
}

/** For reports. */
export function statusOf(
  input: Omit<PlanInput, 'monotonicMs' | 'intervalMs' | 'replicas'> & {
    readonly isRunning: boolean;
    readonly isBusy: boolean;
  },
): CooldownStatus {
  const { replica, control, nowMs, isRunning, isBusy: busy } = input;
  const { error } = control;
  if (replica.policyId === undefined) return { state: 'NONE', waits: '', error, busy };
  const due = nextDueMs(replica, coldnessOf(input));
  const isDue = due !== undefined && due < nowMs;
  const isCooled = cooledVersionOf(replica.rowsets) >= 0;
  const known = due === undefined || !Number.isFinite(due) ? {} : { dueMs: due };
  const waits = waitsFor(input, isDue);
  const rest = { ...known, waits, error, busy };
  if (isRunning && isDue) return { state: 'COOLING', ...rest };
  if (error !== '') return { state: 'FAILED', ...rest };
  if (isDue || waits !== '') return { state: 'WAITING', ...rest };
  return { state: isCooled ? 'COOLED' : 'HOT', ...rest };
}

function waitsFor(
  { replica, control, policy }: Pick<PlanInput, 'replica' | 'control' | 'policy'>,
  isDue: boolean,
): string {
  const { lead, policyId } = replica;
  if (policy === undefined) return `storage policy ${policyId ?? ''} to be sent by the server`;
  const cooledIn = resourceOf(replica, undefined);
  if (cooledIn !== undefined && cooledIn !== policy.resourceId) {
    return `a policy with resource ${cooledIn}, where its cooled data is`;
  }
  if (!isDue) return '';
  if (lead === undefined) return 'a leader to be elected';
  if (lead.replicaId === replica.replicaId && !isLeader(replica, control)) {
    return `the server to name the leader: its term ${lead.term} is over`;
  }
  if (lead.replicaId !== replica.replicaId) return `replica ${lead.replicaId} to upload`;
  if (control.waits !== '') return control.waits;
  return control.failures === 0 ? 'its turn' : 'its next try, after a pause';
}
