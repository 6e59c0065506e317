/** Makes error 1064: where, what was found, what was expected, and "did you mean". */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import { isReserved } from './keywords.ts';
import { SECRET_WORD } from './secret_words.ts';

/** Characters of the statement quoted after `near`. */
const NEAR_LENGTH_MAX = 80;
/** Expected words that are listed; more are counted. */
const EXPECTED_MAX = 12;
const WHAT_LENGTH_MAX = 400;

export interface SyntaxFault {
  /** The whole text of the request and the offset in it where it went wrong. */
  readonly text: string;
  readonly at: number;
  /** What stands there, for `found '...'`; undefined: the end of the statement. */
  readonly found?: string | undefined;
  /** Keywords and descriptions of what could stand there. */
  readonly expected?: readonly string[];
  /** Said instead of found/expected. */
  readonly detail?: string;
}

/** `what` of SYNTAX, in one line of at most about 400 characters. */
export function syntaxError(fault: SyntaxFault): SqlError {
  const { line, column } = position(fault.text, fault.at);
  const quoted = fault.text.slice(fault.at, fault.at + NEAR_LENGTH_MAX);
  const near = oneLine(SECRET_WORD.test(fault.text) ? withoutValues(fault, quoted) : quoted);
  const place = `check the right syntax to use near '${near}' at line ${line}, column ${column}`;
  const what = `${place}: ${fault.detail ?? expectation(fault)}`;
  return new SqlError('SYNTAX', { what: clip(what, WHAT_LENGTH_MAX) });
}

/** Ends before the first value: errors go into logs, and one of the values is a secret. */
function withoutValues(fault: SyntaxFault, quoted: string): string {
  if (isValue(fault)) return '...';
  const value = quoted.search(/["']/);
  return value < 0 ? quoted : `${quoted.slice(0, value)}...`;
}

/** Whether what was found is a value, in quotes or not, in a statement that has a secret. */
function isValue({ text, at }: SyntaxFault): boolean {
  if (/["']/.test(text.charAt(at))) return true;
  return /(?:=|\b(?:by|as))\s*$/i.test(text.slice(Math.max(0, at - 20), at));
}

function expectation(fault: SyntaxFault): string {
  const isSecret = SECRET_WORD.test(fault.text) && isValue(fault);
  const found = isSecret && fault.found !== undefined ? '******' : fault.found;
  const head = found === undefined ? 'the statement ends here' : `found '${shown(found)}'`;
  const expected = [...new Set(fault.expected ?? [])];
  if (expected.length === 0) return head;
  const listed = expected.slice(0, EXPECTED_MAX).join(', ');
  const more = expected.length > EXPECTED_MAX ? `, ... (${expected.length} in all)` : '';
  const wanted = expected.length === 1 ? 'expected' : 'expected one of';
  const near = found === undefined || found.length > 40 ? undefined : nearWord(found, expected);
  const hint = near === undefined ? reservedHint(found, expected) : `; did you mean ${near}?`;
  return `${head}, ${wanted} ${listed}${more}${hint}`;
}

function reservedHint(found: string | undefined, expected: readonly string[]): string {
  if (found === undefined || !isReserved(found) || !expected.includes('a name')) return '';
  return `; ${found} is a reserved word: as a name it needs backticks`;
}

/** Only words are near misses: `=` is not a misspelt `(`. */
function nearWord(found: string, expected: readonly string[]): string | undefined {
  if (!/^\w{2,}$/.test(found)) return undefined;
  const near = nearest(
    found,
    expected.filter((word) => /^[A-Z_]{2,}$/.test(word)),
  );
  return near?.toUpperCase() === found.toUpperCase() ? undefined : near;
}

/** Line and column count from 1; columns in characters. One pass, done only for an error. */
export function position(text: string, at: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < at; next = text.indexOf('\n', next + 1)) {
    line += 1;
    lineStart = next + 1;
  }
  let column = 1;
  for (let i = lineStart; i < at; i += 1) {
    const c = text.charCodeAt(i);
    if (c < 0xdc00 || c > 0xdfff) column += 1;
  }
  return { line, column };
}

function shown(found: string): string {
  return clip(oneLine(found), 40);
}

/** Control characters become spaces, so that an error is one line in a log and a terminal. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').trimEnd();
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}...`;
}
