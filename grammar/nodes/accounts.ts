/** Statements about users, roles and privileges. */
import type { ShowFilter } from './clauses.ts';

/** `'user'@'host'`; host `%` when not written. `CURRENT_USER()` is `current`. */
export type AccountRef =
  | { readonly kind: 'account'; readonly user: string; readonly host: string }
  | { readonly kind: 'current' };

export interface Credential {
  /** IDENTIFIED WITH plugin. */
  readonly plugin: string | undefined;
  /** A password in clear (BY 'x'), or a hash (AS 'x', BY PASSWORD 'x'). */
  readonly password: { readonly kind: 'clear' | 'hash'; readonly text: string } | undefined;
}

export interface UserSpec {
  readonly account: AccountRef;
  readonly credential: Credential | undefined;
}

/** PASSWORD EXPIRE: now, never, as the server's setting says, or after so many days. */
export type PasswordExpiry = 'NOW' | 'NEVER' | 'DEFAULT' | number;

/** What stands behind the accounts of CREATE and ALTER USER; undefined: was not written. */
export interface AccountOptions {
  /** REQUIRE SSL is true, REQUIRE NONE false. */
  readonly requireTls: boolean | undefined;
  /** WITH MAX_...; 0: no limit. */
  readonly queriesPerHour: number | undefined;
  readonly updatesPerHour: number | undefined;
  readonly connectionsPerHour: number | undefined;
  readonly userConnections: number | undefined;
  readonly expire: PasswordExpiry | undefined;
  /** FAILED_LOGIN_ATTEMPTS; 0: never locked. */
  readonly failedLoginAttempts: number | undefined;
  /** PASSWORD_LOCK_TIME, seconds. */
  readonly passwordLockSecond: number | 'UNBOUNDED' | undefined;
  /** ACCOUNT LOCK | UNLOCK. */
  readonly lock: boolean | undefined;
  readonly comment: string | undefined;
}

export interface CreateUser {
  readonly kind: 'CreateUser';
  readonly ifNotExists: boolean;
  readonly users: readonly UserSpec[];
  readonly defaultRole: string | undefined;
  readonly options: AccountOptions;
}

export interface AlterUser {
  readonly kind: 'AlterUser';
  readonly ifExists: boolean;
  readonly users: readonly UserSpec[];
  readonly options: AccountOptions;
}

export interface DropUser {
  readonly kind: 'DropUser';
  readonly ifExists: boolean;
  readonly accounts: readonly AccountRef[];
}

/** `RENAME USER a TO b, ...`. */
export interface RenameUser {
  readonly kind: 'RenameUser';
  readonly renames: readonly { readonly from: AccountRef; readonly to: AccountRef }[];
}

/** `SET PASSWORD [FOR account] = PASSWORD('x') | 'x'`. */
export interface SetPassword {
  readonly kind: 'SetPassword';
  /** undefined: the session's own. */
  readonly account: AccountRef | undefined;
  readonly password: { readonly kind: 'clear' | 'hash'; readonly text: string };
}

/** Roles of SET ROLE and SET DEFAULT ROLE. */
export type RoleChoice =
  | { readonly kind: 'none' }
  | { readonly kind: 'all'; readonly except: readonly string[] }
  | { readonly kind: 'default' }
  | { readonly kind: 'some'; readonly roles: readonly string[] };

export interface SetRole {
  readonly kind: 'SetRole';
  readonly choice: RoleChoice;
}

export interface SetDefaultRole {
  readonly kind: 'SetDefaultRole';
  readonly choice: RoleChoice;
  readonly to: readonly AccountRef[];
}

export interface CreateRole {
  readonly kind: 'CreateRole';
  readonly ifNotExists: boolean;
  readonly roles: readonly string[];
}

export interface DropRole {
  readonly kind: 'DropRole';
  readonly ifExists: boolean;
  readonly roles: readonly string[];
}

export type Grantee =
  | { readonly kind: 'user'; readonly account: AccountRef }
  | { readonly kind: 'role'; readonly name: string };

/** On what: `*.*`, `db.*`, `db.table`, or a named thing; `*` stands for all of them. */
export type GrantScope =
  | { readonly kind: 'table'; readonly db: string; readonly table: string }
  /** `ON t`: a table of the session's database. */
  | { readonly kind: 'localTable'; readonly table: string }
  | { readonly kind: 'computeGroup'; readonly name: string }
  | { readonly kind: 'resource'; readonly name: string }
  | { readonly kind: 'storageVault'; readonly name: string };

export interface Privilege {
  /** As written: SELECT_PRIV, SELECT, ALL, CREATE USER, ...; compare without regard to case. */
  readonly name: string;
  readonly columns: readonly string[];
}

export interface Grant {
  readonly kind: 'Grant';
  readonly privileges: readonly Privilege[];
  readonly on: GrantScope;
  readonly to: readonly Grantee[];
  readonly withGrantOption: boolean;
}

export interface Revoke {
  readonly kind: 'Revoke';
  readonly privileges: readonly Privilege[];
  readonly on: GrantScope;
  readonly from: readonly Grantee[];
}

/** `GRANT 'role', ... TO account`. */
export interface GrantRole {
  readonly kind: 'GrantRole';
  readonly roles: readonly string[];
  readonly to: readonly AccountRef[];
}

export interface RevokeRole {
  readonly kind: 'RevokeRole';
  readonly roles: readonly string[];
  readonly from: readonly AccountRef[];
}

/** `SHOW GRANTS [FOR account]`, `SHOW ALL GRANTS`. */
export interface ShowGrants {
  readonly kind: 'ShowGrants';
  readonly account: AccountRef | undefined;
  readonly all: boolean;
  readonly filter: ShowFilter;
}

export interface ShowCreateUser {
  readonly kind: 'ShowCreateUser';
  readonly account: AccountRef;
}

export interface ShowRoles {
  readonly kind: 'ShowRoles';
  readonly filter: ShowFilter;
}

export type AccountStatement =
  | CreateUser
  | AlterUser
  | DropUser
  | RenameUser
  | SetPassword
  | SetRole
  | SetDefaultRole
  | CreateRole
  | DropRole
  | Grant
  | Revoke
  | GrantRole
  | RevokeRole
  | ShowGrants
  | ShowCreateUser
  | ShowRoles;
