/** Properties of storage policies: what CREATE and ALTER take, and how times are written. */
import { parseCivil } from '../base/civil_time.ts';
import { SqlError } from '../base/errors.ts';
import type { CooldownTime, StoragePolicyDef } from '../base/schema.ts';
import type { Properties } from '../parser/statement.ts';

const KEYS: ReadonlySet<string> = new Set([
  'storage_resource',
  'cooldown_datetime',
  'cooldown_ttl',
]);

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const UNIT_S: Readonly<Record<string, number>> = {
  '': 1,
  h: HOUR_S,
  hour: HOUR_S,
  d: DAY_S,
  day: DAY_S,
  week: 7 * DAY_S,
};
const TTL = /^([+-]?\d+) *(|h|hour|d|day|week)$/;
const DATETIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/;
/** A thousand years: beyond it a sum with a time of day would leave the years that there are. */
const TTL_SECONDS_MAX = 1000 * 365 * DAY_S;

export interface PolicySettings {
  readonly resource: string;
  readonly cooldown: CooldownTime;
}

/** Throws MISSING_IN_PROPERTIES, and every POLICY_ error about times. */
export function newPolicy(given: Properties): PolicySettings {
  const values = readValues(given);
  const resource = values.get('storage_resource') ?? '';
  if (resource === '') {
    throw new SqlError('MISSING_IN_PROPERTIES', { name: 'storage_resource' });
  }
  const datetime = values.get('cooldown_datetime');
  const ttl = values.get('cooldown_ttl');
  const atMs = datetime === undefined ? undefined : readDatetime(datetime);
  const seconds = ttl === undefined ? undefined : readTtl(ttl);
  return { resource, cooldown: oneTime(atMs, seconds) };
}

/**
 * What an ALTER makes of a policy; undefined `before` is the default policy without a resource,
 * which the first ALTER gives one. An empty text unsets a time, and a time to live of 0, which a
 * new policy may have, counts as unset.
 */
export function changedPolicy(
  before: StoragePolicyDef | undefined,
  given: Properties,
): PolicySettings {
  const values = readValues(given);
  const resource = values.get('storage_resource') ?? before?.resourceName ?? '';
  if (resource === '') {
    throw new SqlError('MISSING_IN_PROPERTIES', { name: 'storage_resource' });
  }
  if (before !== undefined && resource !== before.resourceName) {
    throw new SqlError('POLICY_RESOURCE_FIXED');
  }
  const datetime = values.get('cooldown_datetime');
  const ttl = values.get('cooldown_ttl');
  const atMs = given.some(({ key }) => key === 'cooldown_datetime')
    ? readUnless('', datetime, readDatetime)
    : before?.cooldown.kind === 'datetime'
      ? before.cooldown.atMs
      : undefined;
  const seconds =
    ttl === undefined
      ? before?.cooldown.kind === 'ttl'
        ? before.cooldown.seconds
        : undefined
      : readUnless('', ttl, readTtl);
  return { resource, cooldown: oneTime(atMs, seconds === 0 ? undefined : seconds) };
}

function readUnless<T>(
  unset: string,
  text: string | undefined,
  read: (text: string) => T,
): T | undefined {
  return text === undefined || text === unset ? undefined : read(text);
}

function oneTime(atMs: number | undefined, seconds: number | undefined): CooldownTime {
  if (atMs !== undefined && seconds !== undefined) throw new SqlError('POLICY_TWO_TIMES');
  if (atMs !== undefined) return { kind: 'datetime', atMs };
  if (seconds !== undefined) return { kind: 'ttl', seconds };
  throw new SqlError('POLICY_NO_TIME');
}

/** Throws POLICY_UNKNOWN_PROPERTY, DUPLICATE_PROPERTY. Values are not told: they may be secrets. */
function readValues(given: Properties): ReadonlyMap<string, string> {
  const unknown = given.filter(({ key }) => !KEYS.has(key)).map(({ key }) => key);
  if (unknown.length > 0) {
    const hint = `allowed: ${[...KEYS].join(', ')}`;
    const names = `{${unknown.join(', ')}}`;
    throw new SqlError('POLICY_UNKNOWN_PROPERTY', { names }, { hint });
  }
  const values = new Map<string, string>();
  for (const { key, value } of given) {
    if (values.has(key)) throw new SqlError('DUPLICATE_PROPERTY', { name: key });
    values.set(key, value.trim());
  }
  return values;
}

/** In UTC, as all times are shown. Throws POLICY_BAD_DATETIME. */
function readDatetime(text: string): number {
  const time = DATETIME.test(text) ? parseCivil(text) : undefined;
  if (time === undefined) {
    const hint = 'allowed: yyyy-MM-dd HH:mm:ss';
    throw new SqlError('POLICY_BAD_DATETIME', { value: text.slice(0, 60) }, { hint });
  }
  return time.seconds * 1000;
}

/** `100`, `3h`, `3hour`, `1d`, `1day`, `1week` → seconds. Throws POLICY_BAD_TTL, POLICY_NEGATIVE_TTL. */
function readTtl(text: string): number {
  const [, digits = '', unit = ''] = TTL.exec(text) ?? [];
  const seconds = digits === '' ? NaN : Number(digits) * (UNIT_S[unit] ?? NaN);
  if (seconds < 0) throw new SqlError('POLICY_NEGATIVE_TTL');
  if (seconds <= TTL_SECONDS_MAX) return seconds === 0 ? 0 : seconds;
  const hint = `allowed: seconds, or 3h, 3hour, 1d, 1day, 1week; at most ${TTL_SECONDS_MAX} seconds`;
  throw new SqlError('POLICY_BAD_TTL', {}, { hint });
}
