/** Privileges as GRANT and SHOW GRANTS spell them: Doris's words and MySQL's. */
import { SqlError } from '../../base/errors.ts';
import {
  ANY,
  type Privilege,
  type PrivilegeScope,
  TABLE_PRIVILEGES,
} from '../../base/privileges.ts';
import { quoted } from '../create_table_text.ts';

/** Words that mean a privilege; MySQL's INSERT, UPDATE and DELETE are all of them loads here. */
const WORDS: Readonly<Record<string, Privilege>> = {
  ADMIN_PRIV: 'ADMIN',
  SUPER: 'ADMIN',
  NODE_PRIV: 'NODE',
  GRANT_PRIV: 'GRANT',
  'GRANT OPTION': 'GRANT',
  SELECT_PRIV: 'SELECT',
  SELECT: 'SELECT',
  LOAD_PRIV: 'LOAD',
  INSERT: 'LOAD',
  UPDATE: 'LOAD',
  DELETE: 'LOAD',
  ALTER_PRIV: 'ALTER',
  ALTER: 'ALTER',
  INDEX: 'ALTER',
  CREATE_PRIV: 'CREATE',
  CREATE: 'CREATE',
  DROP_PRIV: 'DROP',
  DROP: 'DROP',
  USAGE_PRIV: 'USAGE',
};

/** In SHOW GRANTS and information_schema: MySQL's word where it has one, in MySQL's order. */
const SHOWN: readonly (readonly [Privilege, string])[] = [
  ['SELECT', 'SELECT'],
  ['LOAD', 'INSERT'],
  ['CREATE', 'CREATE'],
  ['DROP', 'DROP'],
  ['ALTER', 'ALTER'],
  ['USAGE', 'USAGE_PRIV'],
  ['NODE', 'NODE_PRIV'],
];

function isGlobal({ kind, db }: PrivilegeScope): boolean {
  return kind === 'TABLE' && db === ANY;
}

/** Privileges that can be given on it. */
function allowedOn(scope: PrivilegeScope): readonly Privilege[] {
  if (scope.kind !== 'TABLE') return ['USAGE'];
  return isGlobal(scope)
    ? ['ADMIN', 'NODE', 'GRANT', ...TABLE_PRIVILEGES]
    : ['GRANT', ...TABLE_PRIVILEGES];
}

/**
 * What one word of GRANT means there. ALL is everything but the right to give it away, as in
 * MySQL; USAGE is nothing, except on a compute group, resource or vault. Throws BAD_PRIVILEGE.
 */
export function privilegesOf(word: string, scope: PrivilegeScope): readonly Privilege[] {
  const name = word.toUpperCase();
  const allowed = allowedOn(scope);
  if (name === 'ALL' || name === 'ALL PRIVILEGES') {
    return allowed.filter((privilege) => privilege !== 'GRANT');
  }
  if (name === 'USAGE') return scope.kind === 'TABLE' ? [] : ['USAGE'];
  const privilege = Object.hasOwn(WORDS, name) ? WORDS[name] : undefined;
  if (privilege !== undefined && allowed.includes(privilege)) return [privilege];
  throw new SqlError('BAD_PRIVILEGE', {
    name: word,
    scope: scopeText(scope),
    allowed: [...allowed.map((one) => `${one}_PRIV`), 'ALL'].join(', '),
  });
}

/** As it is written after ON. */
export function scopeText({ kind, db, name }: PrivilegeScope): string {
  const one = (text: string): string => (text === ANY ? text : quoted(text));
  switch (kind) {
    case 'TABLE':
      return `${one(db)}.${one(name)}`;
    case 'COMPUTE_GROUP':
      return `COMPUTE GROUP ${one(name)}`;
    case 'RESOURCE':
      return `RESOURCE ${one(name)}`;
    case 'STORAGE_VAULT':
      return `STORAGE VAULT ${one(name)}`;
  }
}

export interface ShownPrivileges {
  /** MySQL's words; everything when it may administrate. */
  readonly words: readonly string[];
  readonly all: boolean;
  readonly grantable: boolean;
}

export function shownPrivileges(privileges: ReadonlySet<Privilege>): ShownPrivileges {
  const all = privileges.has('ADMIN');
  return {
    words: SHOWN.flatMap(([privilege, word]) => {
      const isHere = privileges.has(privilege) || (all && privilege !== 'USAGE');
      return isHere ? [word] : [];
    }),
    all,
    grantable: all || privileges.has('GRANT'),
  };
}

/** One line of SHOW GRANTS: a statement that gives this. */
export function grantText(
  scope: PrivilegeScope,
  privileges: ReadonlySet<Privilege>,
  grantee: string,
): string {
  const { words, all, grantable } = shownPrivileges(privileges);
  const list = all ? 'ALL PRIVILEGES' : words.length === 0 ? 'USAGE' : words.join(', ');
  const option = grantable ? ' WITH GRANT OPTION' : '';
  return `GRANT ${list} ON ${scopeText(scope)} TO ${grantee}${option}`;
}
