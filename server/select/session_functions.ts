/** Functions about the session and the time: their values are bound as parameters. */
import type { SqlValue } from '../../base/values.ts';
import { formatDate, formatDatetime } from './date_math.ts';
import { BIGINT, DATE, DATETIME, STRING, TIME, decimal, type StaticType } from './spelled.ts';
import { toLocal } from './time_zones.ts';
import type { SelectSession } from './table_provider.ts';

export interface SessionFunction {
  readonly type: StaticType;
  readonly value: (session: SelectSession, nowMs: number) => SqlValue;
  /** Takes an optional number of fraction digits. */
  readonly digits?: true;
}

const fixed = (type: StaticType, value: SessionFunction['value']): SessionFunction => ({
  type,
  value,
});
const local = (session: SelectSession, nowMs: number): bigint =>
  toLocal(session.timeZone, BigInt(nowMs) * 1000n) ?? BigInt(nowMs) * 1000n;
const time = (micros: bigint): SqlValue => formatDatetime(micros, 0)?.slice(11) ?? null;

const now: SessionFunction = {
  ...fixed(DATETIME, (session, nowMs) => formatDatetime(local(session, nowMs), 0) ?? null),
  digits: true,
};
const today = fixed(DATE, (session, nowMs) => formatDate(local(session, nowMs)) ?? null);
const clock: SessionFunction = {
  ...fixed(TIME, (session, nowMs) => time(local(session, nowMs))),
  digits: true,
};
const database = fixed(STRING, (session) => (session.database === '' ? null : session.database));
const user = fixed(STRING, (session) => session.user);
const currentUser = fixed(STRING, (session) => session.currentUser);

// prettier-ignore
export const SESSION_FUNCTIONS: Readonly<Record<string, SessionFunction>> = {
  DATABASE: database, SCHEMA: database,
  USER: user, SESSION_USER: user, SYSTEM_USER: user, CURRENT_USER: currentUser,
  CURRENT_ROLE: fixed(STRING, (session) => session.roles().map((role) => `\`${role}\`@\`%\``).join(',') || 'NONE'),
  VERSION: fixed(STRING, (session) => session.systemVariable('version', undefined).value),
  CONNECTION_ID: fixed(BIGINT, (session) => BigInt(session.connectionId)),
  ROW_COUNT: fixed(BIGINT, (session) => session.rowCount),
  FOUND_ROWS: fixed(BIGINT, (session) => session.foundRows),
  LAST_INSERT_ID: fixed(BIGINT, () => 0n),
  NOW: now, CURRENT_TIMESTAMP: now, LOCALTIME: now, LOCALTIMESTAMP: now, SYSDATE: now,
  CURDATE: today, CURRENT_DATE: today, CURTIME: clock, CURRENT_TIME: clock,
  UTC_DATE: fixed(DATE, (_, nowMs) => formatDate(BigInt(nowMs) * 1000n) ?? null),
  UTC_TIME: { ...fixed(TIME, (_, nowMs) => time(BigInt(nowMs) * 1000n)), digits: true },
  UTC_TIMESTAMP: { ...fixed(DATETIME, (_, nowMs) => formatDatetime(BigInt(nowMs) * 1000n, 0) ?? null), digits: true },
};

/** UNIX_TIMESTAMP() without an argument. */
export function unixTimestamp(nowMs: number): {
  readonly value: bigint;
  readonly type: StaticType;
} {
  return { value: BigInt(Math.floor(nowMs / 1000)), type: decimal(0) };
}
