/** Why a replica's cooling did not go on; the message is what operators read. */
export type CooldownFailureKind =
  /** The resource knows a higher term: this replica leads no more. */
  | 'FENCED'
  /** Somebody else changed HEAD meanwhile: look again at once. */
  | 'HEAD_MOVED'
  /** The replica's rowsets do not fit what is published. */
  | 'NOT_ALIGNED'
  /** A local segment is missing or has another checksum. */
  | 'LOCAL_DAMAGED'
  /** HEAD, a manifest or a data object is missing or not what it should be. */
  | 'REMOTE_DAMAGED'
  /** What must never be: two replicas of one term. */
  | 'CONFLICT'
  /** Something that others must do first. */
  | 'NOT_READY';

export class CooldownFailure extends Error {
  readonly kind: CooldownFailureKind;

  constructor(kind: CooldownFailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CooldownFailure';
    this.kind = kind;
  }
}

/** By kind, and not by class: errors may come from another realm. */
export function isFailure(error: unknown, kind: CooldownFailureKind): boolean {
  const { name, kind: found } = (error ?? {}) as { name?: unknown; kind?: unknown };
  return name === 'CooldownFailure' && found === kind;
}
