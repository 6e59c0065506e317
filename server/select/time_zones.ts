/**
 * Time zones: offsets, and names as the runtime's own tables know them (Intl), so that nobody has
 * to fill tables first as in MySQL.
 */

/** Minutes of an offset as MySQL writes them; undefined: a name, or nothing. */
function fixedMinutes(zone: string): number | undefined {
  if (/^(?:system|utc|gmt)$/i.test(zone)) return 0;
  const match = /^([+-])(\d{1,2}):(\d\d)$/.exec(zone);
  if (match === null || Number(match[2]) > 14 || Number(match[3]) > 59) return undefined;
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
}

/** Longer than any name there is, characters. */
const NAME_LENGTH_MAX = 64;
/** Zones whose formatters are kept. */
const FORMATTERS_MAX = 100;
const formatters = new Map<string, Intl.DateTimeFormat | undefined>();

function formatterOf(zone: string): Intl.DateTimeFormat | undefined {
  const key = zone.toLowerCase();
  if (formatters.has(key)) return formatters.get(key);
  let formatter: Intl.DateTimeFormat | undefined;
  // Names begin with a letter; offsets are written as MySQL writes them or not at all.
  if (/^[a-z][\w+/-]*$/i.test(zone) && zone.length <= NAME_LENGTH_MAX) {
    try {
      formatter = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        timeZoneName: 'longOffset',
        year: 'numeric',
      });
    } catch {
      // there is no such zone
    }
  }
  if (formatters.size >= FORMATTERS_MAX) formatters.clear();
  formatters.set(key, formatter);
  return formatter;
}

export function isTimeZone(zone: string): boolean {
  return fixedMinutes(zone) !== undefined || formatterOf(zone) !== undefined;
}

/** Zones change their offset at full quarters of an hour only. */
const QUARTER_MS = 900_000;
/** Offsets remembered, of all zones. */
const OFFSETS_MAX = 10_000;
const offsets = new Map<string, number>();

/** Minutes east of UTC at a moment; undefined: there is no such zone. */
export function offsetMinutes(zone: string, utcMs: number): number | undefined {
  const fixed = fixedMinutes(zone);
  if (fixed !== undefined) return fixed;
  const formatter = formatterOf(zone);
  if (formatter === undefined) return undefined;
  const key = `${Math.floor(utcMs / QUARTER_MS)} ${zone}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  const minutes = readOffset(formatter, utcMs);
  if (offsets.size >= OFFSETS_MAX) offsets.clear();
  offsets.set(key, minutes);
  return minutes;
}

/** `GMT+02:00`, `GMT-00:25:21`, `GMT`; seconds, which zones had long ago, are left out. */
function readOffset(formatter: Intl.DateTimeFormat, utcMs: number): number {
  const parts = Number.isFinite(new Date(utcMs).getTime()) ? formatter.formatToParts(utcMs) : [];
  const text = parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const match = /^GMT([+-])(\d\d):(\d\d)/.exec(text);
  if (match === null) return 0;
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
}

const MINUTE_MICROS = 60_000_000n;

/** Microseconds since 1970 as a clock on the wall there shows them. */
export function toLocal(zone: string, utcMicros: bigint): bigint | undefined {
  const minutes = offsetMinutes(zone, Number(utcMicros / 1000n));
  return minutes === undefined ? undefined : utcMicros + BigInt(minutes) * MINUTE_MICROS;
}

/**
 * The moment at which a clock there shows this. Where the clock goes back, two moments show the
 * same: the first, as in MySQL. What no clock shows, where it goes forward, is the moment at which
 * it does.
 */
export function toUtc(zone: string, localMicros: bigint): bigint | undefined {
  const before = offsetMinutes(zone, Number(localMicros / 1000n) - DAY_MS);
  const after = offsetMinutes(zone, Number(localMicros / 1000n) + DAY_MS);
  if (before === undefined || after === undefined) return undefined;
  const first = localMicros - BigInt(before) * MINUTE_MICROS;
  if (before === after || toLocal(zone, first) === localMicros) return first;
  const second = localMicros - BigInt(after) * MINUTE_MICROS;
  if (toLocal(zone, second) === localMicros) return second;
  const [from, to] = second < first ? [second, first] : [first, second];
  return firstQuarter(zone, from, to, after) ?? second;
}

/** The first quarter of an hour within the two that has the offset. */
function firstQuarter(zone: string, from: bigint, to: bigint, wanted: number): bigint | undefined {
  const quarter = BigInt(QUARTER_MS) * 1000n;
  for (let at = ((from + quarter - 1n) / quarter) * quarter; at <= to; at += quarter) {
    if (offsetMinutes(zone, Number(at / 1000n)) === wanted) return at;
  }
  return undefined;
}

const DAY_MS = 86_400_000;
