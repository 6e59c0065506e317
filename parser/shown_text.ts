/** A request's text as others may see it: PROCESSLIST shows what runs, and no secrets. */
import { SECRET_WORD } from '../grammar/secret_words.ts';
import { formatStatement } from './format.ts';
import { type ParsedStatement, readStatements } from './parse.ts';

/**
 * Kinds whose literals may be statements, with secrets of their own, and the one whose text is not
 * read: statements of Doris that this server does not have take credentials, too.
 */
const HOLDS_TEXT: ReadonlySet<string> = new Set([
  'PrepareStatement',
  'SetVariables',
  'Unsupported',
]);
/** `"key" = "value"` within a query: an argument of a table function such as `S3(...)`. */
const ARGUMENT = /(["'`])[^"'`]*\1\s*=\s*["']/g;
/** Longer texts are not read for this; a statement with a secret in it is short. */
const READ_CHARS_MAX = 65_536;

/**
 * The text as it was sent where it holds no secret; else each statement that does in its canonical
 * form with `******` for them. What cannot be read ends before the first suspicious word.
 */
export function shownText(text: string): string {
  const hint = SECRET_WORD.exec(text);
  if (hint === null) return text;
  const beginning = `${text.slice(0, hint.index)}...`;
  if (text.length > READ_CHARS_MAX) return beginning;
  const bytes = Buffer.byteLength(text);
  const limits = { maxBytes: bytes, insertMaxBytes: bytes, allowMulti: true };
  try {
    return [...readStatements(text, limits)].map(maskedText).join('; ');
  } catch {
    return beginning;
  }
}

function maskedText({ statement, text }: ParsedStatement): string {
  const masked = formatStatement(statement, { maskSecrets: true });
  if (masked !== formatStatement(statement)) return masked;
  // A statement within a statement: what it holds is not looked at.
  const at = HOLDS_TEXT.has(statement.kind)
    ? SECRET_WORD.exec(text)?.index
    : [...text.matchAll(ARGUMENT)].find(([pair]) => SECRET_WORD.test(pair))?.index;
  return at === undefined ? text : `${text.slice(0, at)}...`;
}
