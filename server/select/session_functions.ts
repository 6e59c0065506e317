/** Functions about the session and the time: their values are bound as parameters. */
import type { SqlValue } from '../../base/values.ts';
import { formatDate, formatDatetime } from './date_math.ts';
import { BIGINT, DATE, DATETIME, STRING, TIME, decimal, type StaticType } from './spelled.ts';
import { toLocal } from './time_zones.ts';
import type { SelectSession } from './table_provider.ts';

export interface SessionFunction {
  readonly type: StaticType;
  /** `digits`: of the fraction of a second, 0 to 6. */
  readonly value: (session: SelectSession, nowMs: number, digits: number) => SqlValue;
  /** Takes an optional number of fraction digits, by which its type is this. */
  readonly typeOf?: (digits: number) => StaticType;
}

const fixed = (type: StaticType, value: SessionFunction['value']): SessionFunction => ({
  type,
  value,
});
const local = (session: SelectSession, nowMs: number): bigint =>
  toLocal(session.timeZone, BigInt(nowMs) * 1000n) ?? BigInt(nowMs) * 1000n;
const time = (micros: bigint, digits: number): SqlValue =>
  formatDatetime(micros, digits)?.slice(11) ?? null;
const datetimeOf = (precision: number): StaticType => ({ kind: 'DATETIME', precision });
const timeOf = (): StaticType => TIME;

const now: SessionFunction = {
  ...fixed(
    DATETIME,
    (session, nowMs, digits) => formatDatetime(local(session, nowMs), digits) ?? null,
  ),
  typeOf: datetimeOf,
};
const today = fixed(DATE, (session, nowMs) => formatDate(local(session, nowMs)) ?? null);
const clock: SessionFunction = {
  ...fixed(TIME, (session, nowMs, digits) => time(local(session, nowMs), digits)),
  typeOf: timeOf,
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
  UTC_TIME: { ...fixed(TIME, (_, nowMs, digits) => time(BigInt(nowMs) * 1000n, digits)), typeOf: timeOf },
  UTC_TIMESTAMP: { ...fixed(DATETIME, (_, nowMs, digits) => formatDatetime(BigInt(nowMs) * 1000n, digits) ?? null), typeOf: datetimeOf },
};

/** UNIX_TIMESTAMP() without an argument. */
export function unixTimestamp(nowMs: number): {
  readonly value: bigint;
  readonly type: StaticType;
} {
  return { value: BigInt(Math.floor(nowMs / 1000)), type: decimal(0) };
}
