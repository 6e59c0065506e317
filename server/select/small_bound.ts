/**
 * Which SELECTs over tables are so small that they run on the main thread (ADR 0003). Nothing can
 * stop SQLite there, so what a statement may cost is bounded before it starts, from above: by its
 * words, and by the rows and characters that its tables turned out to have.
 */
import { functionSpec } from './functions.ts';
import { charactersOfBatch } from './recent_results.ts';
import type { SpelledStatement } from './speller.ts';
import type { ScanRows, SelectSession } from './table_provider.ts';
import { scanSelect, type SelectToken } from './tokens.ts';

/** Rows of all its tables together. */
export const SMALL_ROWS_MAX = 2000;
/**
 * Values of all its tables together, and values of its result: to bring one into SQLite or out of
 * it takes about half a microsecond, more than most that is done with it there.
 */
export const SMALL_CELLS_MAX = 4000;
/** Characters of all values of its tables together. */
export const SMALL_CHARACTERS_MAX = 512 * 1024;
/**
 * Steps: rows that nested loops over all its tables look at, times what is done with each. A step
 * is an operator or an operand of SQLite's, a few nanoseconds.
 */
export const SMALL_STEPS_MAX = 600_000;
/** Characters that functions over those rows may touch; about 1 ns each. */
export const SMALL_TEXT_MAX = 4 * 1024 * 1024;
/** Steps that a call of a function written in JavaScript stands for. */
const CALL_STEPS = 40;
/** SELECTs in one statement, subqueries and branches of UNION counted. */
const SELECTS_MAX = 6;
/** Characters of a statement. */
const STATEMENT_MAX = 8192;
/** Characters of a LIKE pattern: matching takes value × pattern steps at worst. */
const PATTERN_MAX = 64;

/**
 * Rows that come from nowhere, loops over rows of a window, patterns that backtrack, names that
 * stand for a longer text each time (`@x := CONCAT(@x, @x)`), and functions whose result is longer
 * than their arguments by a factor: nested, they grow without bound.
 */
const REFUSED = new Set(
  (
    'WITH RECURSIVE VALUES OVER WINDOW REGEXP RLIKE := GROUP_CONCAT ' +
    'CONV HEX QUOTE TO_BASE64 INET_ATON JSON_ARRAY JSON_ARRAYAGG JSON_OBJECT JSON_PRETTY ' +
    'JSON_KEYS JSON_EXTRACT JSON_UNQUOTE JSON_CONTAINS -> ->>'
  ).split(' '),
);

/** What is known of a statement from its words. */
export interface SmallShape {
  readonly selects: number;
  readonly tokens: number;
  /** Of functions written in JavaScript, and concatenations. */
  readonly calls: number;
  /** Characters of the statement. */
  readonly length: number;
}

/** Of statements whose spelling is kept (spellings.ts). */
const known = new WeakMap<SpelledStatement, SmallShape | 'never'>();

/** undefined: it must not run on the main thread, however few rows there are. */
export function smallShape(
  text: string,
  spelled: SpelledStatement,
  session: SelectSession,
): SmallShape | undefined {
  let shape = known.get(spelled);
  if (shape === undefined) {
    shape = findShape(text, spelled, session) ?? 'never';
    known.set(spelled, shape);
  }
  return shape === 'never' ? undefined : shape;
}

function findShape(
  text: string,
  { sql }: SpelledStatement,
  session: SelectSession,
): SmallShape | undefined {
  if (text.length > STATEMENT_MAX) return undefined;
  const tokens = scanSelect(text, session);
  let selects = 0;
  for (const [at, { kind, key }] of tokens.entries()) {
    if (REFUSED.has(key)) return undefined;
    if (key === 'SELECT' || key === 'TABLE') selects += 1;
    if (kind === 'word' && functionSpec(key)?.heavy === true) return undefined;
    if (key === 'LIKE' && !isShortPattern(tokens[at + 1])) return undefined;
  }
  if (selects > SELECTS_MAX) return undefined;
  return { selects, tokens: tokens.length, calls: callsIn(sql), length: text.length };
}

function isShortPattern(pattern: SelectToken | undefined): boolean {
  return pattern?.kind === 'string' && pattern.text.length <= PATTERN_MAX;
}

/** What a statement's tables have delivered so far. */
export class SmallInput {
  #rows = 0;
  #characters = 0;
  #cells = 0;
  readonly #tables: { rows: number; characters: number }[] = [];
  readonly #rowsMax: number;

  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax;
  }

  /** A batch of the table at this place among the statement's references; false: too much. */
  add(table: number, batch: ScanRows): boolean {
    const { rows, columns } = batch;
    this.#rows += rows;
    this.#cells += rows * columns.length;
    if (this.#rows > this.#rowsMax || this.#cells > SMALL_CELLS_MAX) return false;
    const characters = charactersOfBatch(batch);
    this.#characters += characters;
    const known = this.#of(table);
    this.#tables[table] = {
      rows: known.rows + rows,
      characters: known.characters + characters,
    };
    return this.#characters <= SMALL_CHARACTERS_MAX;
  }

  #of(table: number): { readonly rows: number; readonly characters: number } {
    return this.#tables[table] ?? { rows: 0, characters: 0 };
  }

  /**
   * Whether the statement is over soon. Every loop is over at most all combinations of rows of all
   * tables, subqueries' too; (a + 1)(b + 1) is more than the a + b of a UNION, and 2 a SELECT more
   * than the one row that it may make without a table.
   */
  isWithin(
    { selects, tokens, calls, length }: SmallShape,
    { references }: SpelledStatement,
  ): boolean {
    let combinations = 2 ** (selects - 1);
    for (const [at, { count }] of references.entries()) {
      combinations *= (this.#of(at).rows + 1) ** count;
    }
    if (combinations * (tokens + CALL_STEPS * calls) > SMALL_STEPS_MAX) return false;
    let text = combinations * length;
    for (const [at, { count }] of references.entries()) {
      const { rows, characters } = this.#of(at);
      text += (combinations / (rows + 1)) * characters * count;
    }
    // Each call may be handed a text as long as all operands of the statement together, and names
    // of a derived table's columns, such a text again.
    const growth = calls === 0 ? 1 : (calls * tokens) ** Math.min(selects, calls);
    return text * growth <= SMALL_TEXT_MAX;
  }
}

/** Of the spelled text. */
function callsIn(sql: string): number {
  return (sql.match(/\bmysql_\w+\(|\|\||\breplace\(/g) ?? []).length;
}
