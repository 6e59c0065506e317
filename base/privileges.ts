/** Privileges and what they are given on: Doris's, with MySQL's words for them. */

/** In the order of SHOW GRANTS. ADMIN includes all others everywhere. */
export const PRIVILEGES = [
  'ADMIN',
  'NODE',
  'GRANT',
  'SELECT',
  'LOAD',
  'ALTER',
  'CREATE',
  'DROP',
  'USAGE',
] as const;
export type Privilege = (typeof PRIVILEGES)[number];

/** Privileges that a database or a table can be given. */
export const TABLE_PRIVILEGES = ['SELECT', 'LOAD', 'ALTER', 'CREATE', 'DROP'] as const;

export type ScopeKind = 'TABLE' | 'COMPUTE_GROUP' | 'RESOURCE' | 'STORAGE_VAULT';

/** All of them. */
export const ANY = '*';

export interface PrivilegeScope {
  readonly kind: ScopeKind;
  /** Of TABLE: a database or ANY; else empty. */
  readonly db: string;
  /** A table or a named thing, or ANY; never a table of ANY database. */
  readonly name: string;
}

export const GLOBAL: PrivilegeScope = { kind: 'TABLE', db: ANY, name: ANY };

/** An account by its name and host pattern. */
export interface AccountName {
  readonly user: string;
  readonly host: string;
}

/**
 * The account that a data directory begins with. It may do everything, and neither can that be
 * taken from it nor can it be dropped.
 */
export const ROOT: AccountName = { user: 'root', host: '%' };

export function isRoot({ user, host }: AccountName): boolean {
  return user === ROOT.user && host === ROOT.host;
}

/** `'user'@'host'`, as statements take it. */
export function accountText({ user, host }: AccountName): string {
  const text = (name: string): string => name.replaceAll('\\', '\\\\').replaceAll("'", "''");
  return `'${text(user)}'@'${text(host)}'`;
}
