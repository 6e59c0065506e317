/** Names that the catalog accepts; the parser has cut quotes, nothing else. */
import { SqlError } from '../base/errors.ts';
import { IDENTIFIER_LENGTH_MAX } from '../base/schema.ts';

/** Databases of the server itself: they exist always and are no rows of the catalog. */
export const RESERVED_DATABASES: ReadonlySet<string> = new Set([
  'information_schema',
  'mysql',
  'performance_schema',
  '__internal_schema',
]);

export type NameKind =
  | 'database'
  | 'table'
  | 'partition'
  | 'compute group'
  | 'storage vault'
  | 'resource'
  | 'storage policy';

/** Control characters, unpaired surrogates and, as in MySQL, a trailing space are refused. */
export function checkName(kind: NameKind, name: string): void {
  if (characters(name) > IDENTIFIER_LENGTH_MAX) {
    throw new SqlError('IDENT_TOO_LONG', { name: printable(name), limit: IDENTIFIER_LENGTH_MAX });
  }
  const why = fault(name);
  if (why === undefined) return;
  const shown = printable(name);
  if (kind === 'database') throw new SqlError('WRONG_DB_NAME', { name: shown }, { hint: why });
  if (kind === 'table') throw new SqlError('WRONG_TABLE_NAME', { name: shown }, { hint: why });
  throw new SqlError('WRONG_NAME', { kind, name: shown, why });
}

/** Code points, as MySQL counts. */
function characters(name: string): number {
  return Array.from(name).length;
}

function fault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (/\p{Cc}/u.test(name)) return 'it has a control character in it';
  if (!name.isWellFormed()) return 'it is not valid Unicode';
  if (name.endsWith(' ')) return 'it ends with a space';
  if (name.includes('/')) return "it has a '/' in it";
  return undefined;
}

function printable(name: string): string {
  const short = name.length > 80 ? `${name.slice(0, 80)}...` : name;
  return short.toWellFormed().replaceAll(/\p{Cc}/gu, '?');
}
