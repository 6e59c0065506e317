/**
 * The rows of a virtual table by column, as a scan hands them out. Dashboards ask again and again,
 * and what they ask for has mostly not changed: then the scan hands out the very same columns, which
 * tells the engine that all that came of them is still right (select/recent_results.ts). Rows are
 * made for each statement, within its own privileges, and compared cell by cell.
 */
import type { SqlRow } from '../../base/values.ts';
import type { ScanRows } from '../select/table_provider.ts';

/** Rows handed to the engine at once. */
const BATCH_ROWS = 1000;
/** Rows, and characters in them, of one table that are kept; numbers count as 8. */
const KEPT_ROWS_MAX = 256;
const KEPT_CHARACTERS_MAX = 32 * 1024;

interface KeptRows {
  readonly rows: readonly SqlRow[];
  /** By the list of names that a kept spelling asks for. */
  readonly scans: WeakMap<readonly string[], readonly ScanRows[]>;
}

/** The rows of the last time, by table. */
const kept = new WeakMap<object, KeptRows>();

/**
 * `rows` of `table` by column, in the order of `wanted`; in batches as somebody asks for them when
 * they are many. `columns` are those of a row.
 */
export function unchangedRows(
  table: { readonly columns: readonly { readonly name: string }[] },
  rows: readonly SqlRow[],
  wanted: readonly string[],
): readonly ScanRows[] | AsyncIterable<ScanRows> {
  if (rows.length > KEPT_ROWS_MAX) {
    kept.delete(table);
    return inBatches(rows, placesOf(table, wanted));
  }
  const before = kept.get(table);
  const isSame = before !== undefined && sameRows(before.rows, rows);
  const known = isSame ? before.scans.get(wanted) : undefined;
  if (known !== undefined) return known;
  const batches = rows.length === 0 ? [] : [columnar(rows, placesOf(table, wanted))];
  const scans = isSame ? before.scans : keep(table, rows);
  scans?.set(wanted, batches);
  return batches;
}

export function placesOf(
  { columns }: { readonly columns: readonly { readonly name: string }[] },
  wanted: readonly string[],
): readonly number[] {
  return wanted.map((column) => columns.findIndex(({ name }) => name === column));
}

export function columnar(rows: readonly SqlRow[], places: readonly number[]): ScanRows {
  const columns = places.map((place) => rows.map((row) => row[place] ?? null));
  return { rows: rows.length, columns };
}

async function* inBatches(
  rows: readonly SqlRow[],
  places: readonly number[],
): AsyncGenerator<ScanRows> {
  for (let at = 0; at < rows.length; at += BATCH_ROWS) {
    yield columnar(rows.slice(at, at + BATCH_ROWS), places);
  }
}

function keep(table: object, rows: readonly SqlRow[]): KeptRows['scans'] | undefined {
  if (isLong(rows)) {
    kept.delete(table);
    return undefined;
  }
  const scans: KeptRows['scans'] = new WeakMap();
  kept.set(table, { rows, scans });
  return scans;
}

function isLong(rows: readonly SqlRow[]): boolean {
  let characters = 0;
  for (const row of rows) {
    for (const value of row) characters += typeof value === 'string' ? value.length : 8;
    if (characters > KEPT_CHARACTERS_MAX) return true;
  }
  return false;
}

/** Listings keep the rows of what has ended: those are the same objects. */
function sameRows(before: readonly SqlRow[], now: readonly SqlRow[]): boolean {
  if (before.length !== now.length) return false;
  for (let at = 0; at < now.length; at += 1) {
    const [one = [], other = []] = [before[at], now[at]];
    if (one === other) continue;
    if (one.length !== other.length) return false;
    for (let place = 0; place < one.length; place += 1) {
      if (!Object.is(one[place], other[place])) return false;
    }
  }
  return true;
}
