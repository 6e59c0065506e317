/** SQLite connections that know MySQL's functions. */
import Database from 'better-sqlite3';
import {
  FUNCTION_TEXT_MAX,
  LIBRARY,
  noteCutGroup,
  text,
  type LibraryValue,
} from './function_library.ts';

export type Connection = Database.Database;

/** Functions whose integer arguments may exceed what a JavaScript number holds exactly. */
const WIDE = new Set([
  'mod',
  'div',
  'round',
  'truncate',
  'floor',
  'ceil',
  'hex',
  'field',
  'decimal_key',
  'largeint_number',
  'divisor',
  'assign',
]);

/** Functions that do something, or have another value each time. */
const EACH_TIME = new Set(['sleep', 'divisor', 'assign', 'variable']);

/** Everything in memory; for statements without tables. */
export function openMemoryConnection(): Connection {
  return prepareConnection(new Database(':memory:'));
}

/** In memory up to `memoryBytes`, beyond it in a temporary file that SQLite removes by itself. */
export function openSpillingConnection(memoryBytes: number): Connection {
  const db = new Database('');
  const kib = Math.max(1024, Math.floor(memoryBytes / 1024));
  db.pragma('journal_mode = OFF');
  db.pragma('synchronous = OFF');
  db.pragma('temp_store = FILE');
  db.pragma(`cache_size = -${kib}`);
  return prepareConnection(db);
}

function prepareConnection(db: Connection): Connection {
  db.defaultSafeIntegers(true);
  db.pragma('trusted_schema = OFF');
  for (const [name, fn] of Object.entries(LIBRARY)) {
    const options = {
      varargs: true,
      deterministic: !EACH_TIME.has(name),
      safeIntegers: WIDE.has(name),
    };
    db.function(`mysql_${name}`, options, (...args: readonly LibraryValue[]) =>
      bounded(fn(...args)),
    );
  }
  addAggregates(db);
  return db;
}

/** MySQL's answer to a text that is too long; calls of calls would grow without end. */
function bounded(value: LibraryValue): LibraryValue {
  return typeof value === 'string' && value.length > FUNCTION_TEXT_MAX ? null : value;
}

interface Moments {
  count: number;
  mean: number;
  squares: number;
}

function addAggregates(db: Connection): void {
  const moments = (result: (total: Moments) => number | null): Database.AggregateOptions => ({
    start: () => ({ count: 0, mean: 0, squares: 0 }),
    step: (state: unknown, next: unknown) => {
      const [total, value] = [state as Moments, next as LibraryValue];
      if (value === null) return total;
      // Welford's update: no cancellation for large, close values.
      const count = total.count + 1;
      const delta = Number(value) - total.mean;
      const mean = total.mean + delta / count;
      return { count, mean, squares: total.squares + delta * (Number(value) - mean) };
    },
    result: (total: unknown) => result(total as Moments),
  });
  const population = ({ count, squares }: Moments): number | null =>
    count === 0 ? null : squares / count;
  const sample = ({ count, squares }: Moments): number | null =>
    count < 2 ? null : squares / (count - 1);
  const root = (value: number | null): number | null => (value === null ? null : Math.sqrt(value));
  db.aggregate('mysql_var_pop', moments(population));
  db.aggregate('mysql_var_samp', moments(sample));
  db.aggregate(
    'mysql_stddev_pop',
    moments((total) => root(population(total))),
  );
  db.aggregate(
    'mysql_stddev_samp',
    moments((total) => root(sample(total))),
  );
  const bits = (
    start: bigint,
    join: (a: bigint, b: bigint) => bigint,
  ): Database.AggregateOptions => ({
    safeIntegers: true,
    start: () => start,
    step: (total: unknown, value: unknown) =>
      value === null ? total : join(total as bigint, BigInt(Math.round(Number(value)))),
    result: (total: unknown) => BigInt.asIntN(64, total as bigint),
  });
  db.aggregate(
    'mysql_bit_and',
    bits(-1n, (a, b) => a & b),
  );
  db.aggregate(
    'mysql_bit_or',
    bits(0n, (a, b) => a | b),
  );
  db.aggregate(
    'mysql_bit_xor',
    bits(0n, (a, b) => a ^ b),
  );
  db.aggregate('mysql_group_concat', groupConcat(false));
  db.aggregate('mysql_group_concat_distinct', groupConcat(true));
}

/** Up to group_concat_max_len bytes; what is more is cut, with a warning. */
interface Joined {
  text: string;
  bytes: number;
  values: number;
  cut: boolean;
  readonly seen: Set<string> | undefined;
}

function groupConcat(distinct: boolean): Database.AggregateOptions {
  return {
    varargs: true,
    start: (): Joined => ({
      text: '',
      bytes: 0,
      values: 0,
      cut: false,
      seen: distinct ? new Set() : undefined,
    }),
    step: (state: unknown, value: unknown, separator?: unknown, max?: unknown): unknown => {
      const joined = state as Joined;
      if (value === null || joined.cut) return joined;
      const one = text(value as LibraryValue);
      if (joined.seen?.has(one) === true) return joined;
      joined.seen?.add(one);
      const piece = joined.values === 0 ? one : text(separator as LibraryValue) + one;
      joined.values += 1;
      joined.text += piece;
      joined.bytes += Buffer.byteLength(piece);
      const limit = Number(max);
      if (joined.bytes > limit) {
        joined.cut = true;
        joined.text = cutText(joined.text, limit);
        noteCutGroup();
      }
      return joined;
    },
    result: (state: unknown) => {
      const { values, text: all } = state as Joined;
      return values === 0 ? null : all;
    },
  };
}

/** Whole characters within so many bytes. */
function cutText(all: string, bytes: number): string {
  return new TextDecoder().decode(Buffer.from(all).subarray(0, bytes), { stream: true });
}
