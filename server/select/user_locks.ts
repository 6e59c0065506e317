/** GET_LOCK and its like: calls in a SELECT whose values are found out before it runs. */
import { BIGINT, typed, type Spelled } from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';

export type LockFunction =
  | 'GET_LOCK'
  | 'RELEASE_LOCK'
  | 'IS_FREE_LOCK'
  | 'IS_USED_LOCK'
  | 'RELEASE_ALL_LOCKS';

export interface LockCall {
  readonly name: LockFunction;
  /** Spelled arguments; constants, since the call is made once and not for every row. */
  readonly args: readonly string[];
  /** Index of the parameter that takes the value. */
  readonly param: number;
}

const ARGUMENTS: Readonly<Record<LockFunction, number>> = {
  GET_LOCK: 2,
  RELEASE_LOCK: 1,
  IS_FREE_LOCK: 1,
  IS_USED_LOCK: 1,
  RELEASE_ALL_LOCKS: 0,
};

export function lockFunction(name: string): LockFunction | undefined {
  return Object.hasOwn(ARGUMENTS, name) ? (name as LockFunction) : undefined;
}

/** `undefined`: another number of arguments than it takes. */
export function spellLockCall(
  ctx: SpellerContext,
  name: LockFunction,
  args: readonly Spelled[],
): Spelled | undefined {
  if (args.length !== ARGUMENTS[name]) return undefined;
  const param = ctx.params.length;
  const sql = ctx.bind(null);
  ctx.lockCalls.push({ name, args: args.map((arg) => arg.sql), param });
  return typed(sql, BIGINT);
}
