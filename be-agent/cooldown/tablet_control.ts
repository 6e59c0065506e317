/** What the engine remembers of a tablet between its turns; in memory only. */
import type { Config } from '../../base/config.ts';
import type { ReplicaId, ResourceId } from '../../base/ids.ts';
import type { Random } from '../../base/ports.ts';
import { isFailure } from './failure.ts';
import type { Published } from './heads.ts';

/** Pauses after failures double up to this many intervals; what does not fit waits so long at once. */
const PAUSE_INTERVALS_MAX = 10;

export interface Control {
  /** Of the replica that this is about: another one of the tablet begins anew. */
  readonly replicaId: ReplicaId;
  /** Not before this, milliseconds of the monotonic clock. */
  notBefore: number;
  /** In a row. */
  failures: number;
  /** '' when the last turn went well. */
  error: string;
  /** Why the last turn did not go on although nothing failed. */
  waits: string;
  /** ADMIN COOLDOWN TABLE: cold up to this version; -1: nothing was asked for. */
  forcedVersion: number;
  /** The resource has a higher term than this one: no leader by it any more; 0: none. */
  fencedTerm: number;
  /** Last term with which what is published was taken over since the start; 0: none. */
  settledTerm: number;
  /** Where others have cooled it; known of a tablet without a policy when the server has said so. */
  resourceId: ResourceId | undefined;
  /** What was last seen published. */
  seen: Published | undefined;
  /** Since when it was last asked to publish nothing for a while, monotonic milliseconds. */
  restedAt: number;
  /** Until when, monotonic milliseconds. */
  restsUntil: number;
  /** End of the last turn that found everything in order, monotonic milliseconds. */
  lookedAt: number;
}

export function newControl(replicaId: ReplicaId): Control {
  return {
    replicaId,
    notBefore: Number.NEGATIVE_INFINITY,
    failures: 0,
    error: '',
    waits: '',
    forcedVersion: -1,
    fencedTerm: 0,
    settledTerm: 0,
    resourceId: undefined,
    seen: undefined,
    restedAt: Number.NEGATIVE_INFINITY,
    restsUntil: Number.NEGATIVE_INFINITY,
    lookedAt: Number.NEGATIVE_INFINITY,
  };
}

export function succeeded(control: Control, nowMs: number): void {
  control.failures = 0;
  control.error = '';
  control.waits = '';
  control.notBefore = Number.NEGATIVE_INFINITY;
  control.lookedAt = nowMs;
}

/** Spread by chance, so that replicas that failed together do not come back together. */
export function failed(
  control: Control,
  error: unknown,
  { nowMs, config, random }: { nowMs: number; config: Config; random: Random },
): void {
  const intervalMs = config.get('generate_cooldown_task_interval_sec') * 1000;
  const isStuck = isFailure(error, 'NOT_ALIGNED') || isFailure(error, 'CONFLICT');
  const intervals = isStuck
    ? PAUSE_INTERVALS_MAX
    : Math.min(PAUSE_INTERVALS_MAX, 2 ** control.failures);
  const pauseMs = intervals * intervalMs;
  control.failures += 1;
  control.error = error instanceof Error ? error.message : String(error);
  control.notBefore = nowMs + pauseMs - random.int(Math.floor(pauseMs / 4) + 1);
}

/** The next turn may come at once, and is as the first. */
export function freshen(control: Control): void {
  control.notBefore = Number.NEGATIVE_INFINITY;
  control.failures = 0;
  control.lookedAt = Number.NEGATIVE_INFINITY;
}
