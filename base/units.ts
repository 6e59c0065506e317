/** Sizes and times as people read and write them. */

export const KIB = 1024;
export const MIB = 1024 * KIB;

const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `512.000 B`, `1.500 MB`: Doris's form in SHOW DATA and SHOW BACKENDS (powers of 1024). */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(3)} ${BYTE_UNITS[unit]}`;
}

/** `0b`, `716kb`, `58.2mb`, `-1.5gb`: the form of sizes in SyncStats (one decimal, powers of 1024). */
export function shortBytesText(bytes: number): string {
  const sign = bytes < 0 ? '-' : '';
  let value = Math.abs(bytes);
  let unit = 0;
  // What one decimal would round to 1024 is one of the next unit.
  while (Math.round(value * 10) / 10 >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${sign}${Math.round(value * 10) / 10}${BYTE_UNITS[unit]?.toLowerCase()}`;
}

/** `yyyy-MM-dd HH:mm:ss.SSS` in UTC, the form of SHOW WARM UP JOB's times. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 23);
}

/** `timeText`, and NULL for a moment that has not come. */
export function timeTextOrNull(ms: number | null): string | null {
  return ms === null ? null : timeText(ms);
}

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i;

/** `1073741824`, `512MB`, `1.5g` → bytes (powers of 1024); undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((match[2] ?? '').toLowerCase());
  const bytes = Math.floor(Number(match[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
