/**
 * Statements that were spelled before. Drivers and BI tools send the same text over and over; what
 * is said about it is kept where it depends on nothing but the text, the names of databases and
 * modes of the session that are part of the key, and the columns of the tables.
 */
import { SESSION_FUNCTIONS } from './session_functions.ts';
import { type SpelledStatement, spellStatement } from './speller.ts';
import type { SelectSession, SelectTable } from './table_provider.ts';

/** Statements kept; with one more all are forgotten. */
const KEPT_MAX = 100;
/** Characters of a statement that is kept: its tokens take some 25 times as many bytes. */
const TEXT_MAX = 2048;

type Tables = ReadonlyMap<string, SelectTable>;

interface KeptSpelling {
  readonly tables: Tables;
  readonly spelled: SpelledStatement;
}

/** What the spelling may read of a session without being that session's own. */
const SHARED: ReadonlySet<string | symbol> = new Set([
  'database',
  'ansiQuotes',
  'noBackslashEscapes',
  'warnsOfZeroDivision',
]);

/** Functions whose value is part of the spelling: of the session, or of the moment. */
const MOMENTARY = new RegExp(
  `\\b(?:${[...Object.keys(SESSION_FUNCTIONS), 'UNIX_TIMESTAMP'].join('|')})\\b`,
  'i',
);

export class Spellings {
  /** By key: without tables, and with those that it had the last time. */
  readonly #first = new Map<string, SpelledStatement>();
  readonly #resolved = new Map<string, KeptSpelling>();

  /** As `spellStatement`, whose errors it throws. */
  first(text: string, session: SelectSession, nowMs: number): SpelledStatement {
    const key = keyOf(text, session);
    const known = key === undefined ? undefined : this.#first.get(key);
    if (known !== undefined) return known;
    if (key === undefined) return spellStatement(text, session, nowMs);
    const { spelled, isShared } = spellWatched(text, session, nowMs, new Map());
    if (isShared) keep(this.#first, key, spelled);
    return spelled;
  }

  /** The same with the tables that it refers to. */
  resolved(text: string, session: SelectSession, nowMs: number, tables: Tables): SpelledStatement {
    const key = keyOf(text, session);
    if (key === undefined) return spellStatement(text, session, nowMs, tables);
    const known = this.#resolved.get(key);
    if (known !== undefined && isSame(known.tables, tables)) return known.spelled;
    const shapes = new Map([...tables].map(([name, table]) => [name, shapeOf(table)]));
    const { spelled, isShared } = spellWatched(text, session, nowMs, shapes);
    if (isShared) keep(this.#resolved, key, { tables: shapes, spelled });
    return spelled;
  }
}

function keep<Value>(map: Map<string, Value>, key: string, value: Value): void {
  if (map.size >= KEPT_MAX) map.clear();
  map.set(key, value);
}

/** undefined: not to be kept. */
function keyOf(text: string, session: SelectSession): string | undefined {
  if (text.length > TEXT_MAX || MOMENTARY.test(text)) return undefined;
  const { database, ansiQuotes, noBackslashEscapes, warnsOfZeroDivision } = session;
  const modes = [ansiQuotes, noBackslashEscapes, warnsOfZeroDivision].map(Number).join('');
  return `${modes}${database}\0${text}`;
}

/** Whoever holds it keeps neither a scan nor the session behind one. */
function shapeOf({ database, name, columns, nocase }: SelectTable): SelectTable {
  return {
    database,
    name,
    columns,
    ...(nocase === undefined ? {} : { nocase }),
    scan: () => {
      throw new TypeError('only the shape of a table');
    },
  };
}

function isSame(before: Tables, now: Tables): boolean {
  if (before.size !== now.size) return false;
  for (const [key, table] of now) {
    const known = before.get(key);
    if (known === undefined || known.columns !== table.columns) return false;
    if (known.name !== table.name || known.database !== table.database) return false;
    if ((known.nocase === true) !== (table.nocase === true)) return false;
  }
  return true;
}

/** Whether the spelling has nothing of its session or of the moment. */
function spellWatched(
  text: string,
  session: SelectSession,
  nowMs: number,
  tables: Tables,
): { readonly spelled: SpelledStatement; readonly isShared: boolean } {
  let isShared = true;
  // What is kept refers to this, so the session goes when the spelling is done.
  let source: SelectSession | undefined = session;
  const { database, ansiQuotes, noBackslashEscapes, warnsOfZeroDivision } = session;
  const shared = { database, ansiQuotes, noBackslashEscapes, warnsOfZeroDivision };
  const watched = new Proxy(shared as SelectSession, {
    get: (plain, name): unknown => {
      if (SHARED.has(name)) return Reflect.get(plain, name);
      isShared = false;
      return Reflect.get(source ?? plain, name);
    },
  });
  const spelled = spellStatement(text, watched, nowMs, tables);
  if (isShared) source = undefined;
  return { spelled, isShared };
}
