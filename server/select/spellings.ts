/**
 * Statements that were spelled before. Drivers and BI tools send the same text over and over; what
 * is said about it is kept where it depends on nothing but the text, the names of databases and
 * modes of the session that are part of the key, and the columns of the tables.
 */
import { SESSION_FUNCTIONS } from './session_functions.ts';
import { type SpelledStatement, spellStatement } from './speller.ts';
import type { SelectSession, SelectTable } from './table_provider.ts';

/** Statements kept: as many that came lately, and as many that came before these. */
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
  'pipesAsConcat',
  'warnsOfZeroDivision',
]);

/** Functions whose value is part of the spelling: of the session, or of the moment. */
const MOMENTARY = new RegExp(
  `\\b(?:${[...Object.keys(SESSION_FUNCTIONS), 'UNIX_TIMESTAMP'].join('|')})\\b`,
  'i',
);

/** A text, with what of the session its spelling depends on, and its spellings. */
interface KeptText {
  readonly database: string;
  readonly modes: number;
  /** Without tables. */
  first?: SpelledStatement;
  /** With those that it had the last time. */
  resolved?: KeptSpelling;
}

export class Spellings {
  /** By text; one text may come from sessions with several databases and modes. */
  #kept = new Map<string, KeptText[]>();
  /** The same before `#kept` was begun: of many that come once, some come again. */
  #before = new Map<string, KeptText[]>();
  #size = 0;

  /** As `spellStatement`, whose errors it throws. */
  first(text: string, session: SelectSession, nowMs: number): SpelledStatement {
    const known = this.#find(text, session);
    if (known?.first !== undefined) return known.first;
    if (!mayKeep(text)) return spellStatement(text, session, nowMs);
    const { spelled, isShared } = spellWatched(text, session, nowMs, new Map());
    if (isShared) (known ?? this.#add(text, begun(session))).first = spelled;
    return spelled;
  }

  /** The same with the tables that it refers to. */
  resolved(text: string, session: SelectSession, nowMs: number, tables: Tables): SpelledStatement {
    const known = this.#find(text, session);
    const before = known?.resolved;
    if (before !== undefined && isSame(before.tables, tables)) return before.spelled;
    if (!mayKeep(text)) return spellStatement(text, session, nowMs, tables);
    const shapes = new Map([...tables].map(([name, table]) => [name, shapeOf(table)]));
    const { spelled, isShared } = spellWatched(text, session, nowMs, shapes);
    if (isShared) {
      (known ?? this.#add(text, begun(session))).resolved = { tables: shapes, spelled };
    }
    return spelled;
  }

  #find(text: string, session: SelectSession): KeptText | undefined {
    const now = pick(this.#kept.get(text), session);
    if (now !== undefined) return now;
    const before = pick(this.#before.get(text), session);
    if (before !== undefined) this.#add(text, before);
    return before;
  }

  #add(text: string, added: KeptText): KeptText {
    if (this.#size >= KEPT_MAX) {
      this.#before = this.#kept;
      this.#kept = new Map();
      this.#size = 0;
    }
    this.#size += 1;
    const all = this.#kept.get(text);
    if (all === undefined) this.#kept.set(text, [added]);
    else all.push(added);
    return added;
  }
}

function pick(all: readonly KeptText[] | undefined, session: SelectSession): KeptText | undefined {
  if (all === undefined) return undefined;
  const { database } = session;
  const modes = modesOf(session);
  return all.find((one) => one.modes === modes && one.database === database);
}

function begun(session: SelectSession): KeptText {
  return { database: session.database, modes: modesOf(session) };
}

function mayKeep(text: string): boolean {
  return text.length <= TEXT_MAX && !MOMENTARY.test(text);
}

function modesOf(session: SelectSession): number {
  const { ansiQuotes, noBackslashEscapes, pipesAsConcat, warnsOfZeroDivision } = session;
  return [ansiQuotes, noBackslashEscapes, pipesAsConcat, warnsOfZeroDivision].reduce(
    (bits, mode) => 2 * bits + Number(mode),
    0,
  );
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
  const { database, ansiQuotes, noBackslashEscapes, pipesAsConcat, warnsOfZeroDivision } = session;
  const shared = { database, ansiQuotes, noBackslashEscapes, pipesAsConcat, warnsOfZeroDivision };
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
