/** SQLite's error texts → MySQL's errors. */
import { SqlError } from '../../base/errors.ts';
import type { Clause } from './speller_context.ts';

/** Deepest expression SQLite takes; a chain of ANDs is as deep as it is long. */
const SQLITE_DEPTH_MAX = 1000;

/** What is needed of the statement to name things as the user did. */
export interface StatementNames {
  /** The statement as the client sent it. */
  readonly text: string;
  readonly firstClause: ReadonlyMap<string, Clause>;
  /** `db.table` by the name inside SQLite. */
  readonly tables: ReadonlyMap<string, string>;
}

type Maker = (match: RegExpExecArray, names: StatementNames) => SqlError;

/** First match counts. */
const RULES: readonly (readonly [RegExp, Maker])[] = [
  [
    /^no such column: (.+?)(?: - should this be.*)?$/s,
    (match, names) => unknownColumn(match, names),
  ],
  [/^cannot join using column (\S+) -/, (match, names) => unknownColumn(match, names)],
  [/^ambiguous column name: (.+)$/s, (match, names) => ambiguousColumn(match, names)],
  [
    /^no such table: (?:\w+\.)?(.+)$/s,
    (match, names) =>
      new SqlError('NO_SUCH_TABLE', { name: names.tables.get(plain(match)) ?? plain(match) }),
  ],
  [
    /^(\d+)\w\w (?:ORDER|GROUP) BY term out of range/,
    (match) => new SqlError('UNKNOWN_COLUMN', { name: match[1] ?? '', where: 'ORDER BY' }),
  ],
  [
    /^(?:misuse of aggregate|misuse of window function|aggregate functions are not allowed)/,
    () => new SqlError('INVALID_GROUP_FUNC'),
  ],
  [
    /^wrong number of arguments to function (?:mysql_)?(\w+)/,
    (match) => new SqlError('WRONG_PARAM_COUNT', { name: (match[1] ?? '').toUpperCase() }),
  ],
  [/do not have the same number of result columns/, () => new SqlError('WRONG_COLUMN_COUNT')],
  [/^all VALUES must have the same number/, () => new SqlError('WRONG_COLUMN_COUNT')],
  [
    /^sub-select returns \d+ columns - expected (\d+)/,
    (match) => new SqlError('OPERAND_COLUMNS', { count: match[1] ?? '1' }),
  ],
  [/^more rows than one where one value/, () => new SqlError('SUBQUERY_ROWS')],
  [/^row value misused/, () => new SqlError('OPERAND_COLUMNS', { count: '1' })],
  [/^bad JSON path: '(.*)'$/s, (match) => new SqlError('BAD_JSON_PATH', { path: match[1] ?? '' })],
  [/^malformed JSON/, () => new SqlError('BAD_JSON')],
  [/^integer overflow/, () => new SqlError('BIGINT_RANGE')],
  [
    /^(?:Expression tree is too large|parser stack overflow|too many terms|Recursion limit)/,
    () =>
      new SqlError('STATEMENT_TOO_COMPLEX', {
        limit: SQLITE_DEPTH_MAX,
        what: 'levels of expressions',
      }),
  ],
  [/^near "(.*)": syntax error/s, (match, names) => syntaxError(match, names)],
];

/** Whatever SQLite threw, as what the client sees. Our own errors pass through. */
export function sqlErrorOf(error: unknown, names: StatementNames): SqlError {
  if (error instanceof SqlError) return error;
  const message = messageOf(error);
  for (const [pattern, make] of RULES) {
    const match = pattern.exec(message);
    if (match !== null) return make(match, names);
  }
  return new SqlError('QUERY_FAILED', { why: message }, { cause: error });
}

/** Errors of native code are of another realm in tests, so not `instanceof Error`. */
function messageOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error)
    return String(error.message);
  return String(error);
}

function plain(match: RegExpExecArray): string {
  return (match[1] ?? '').replaceAll('"', '');
}

function unknownColumn(match: RegExpExecArray, names: StatementNames): SqlError {
  const name = plain(match);
  return new SqlError('UNKNOWN_COLUMN', { name, where: clauseOf(name, names) });
}

function ambiguousColumn(match: RegExpExecArray, names: StatementNames): SqlError {
  const name = plain(match);
  return new SqlError('AMBIGUOUS_COLUMN', { name, where: clauseOf(name, names) });
}

function clauseOf(name: string, names: StatementNames): string {
  return names.firstClause.get(name.toLowerCase()) ?? 'SELECT';
}

/** SQLite names a token of its own spelling; the first like it in the client's text is meant. */
function syntaxError(match: RegExpExecArray, names: StatementNames): SqlError {
  const token = match[1] ?? '';
  const at = names.text.toLowerCase().indexOf(token.toLowerCase());
  const near = at < 0 ? token : names.text.slice(at, at + 80);
  const line = names.text.slice(0, Math.max(0, at)).split('\n').length;
  const what = `check the manual for the right syntax to use near '${near}' at line ${line}`;
  return new SqlError('SYNTAX', { what });
}
