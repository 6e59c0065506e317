/** Who may do what: grants, roles and their members, and addresses shut out after failed logins. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // ACCOUNT LOCK: nobody logs in with it.
  `ALTER TABLE account ADD COLUMN locked INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1))`,
  `ALTER TABLE account ADD COLUMN comment TEXT NOT NULL DEFAULT ''`,
  // null: never since it was created.
  `ALTER TABLE account ADD COLUMN password_changed_ms INTEGER`,
  `CREATE TABLE role (
    role_name TEXT NOT NULL PRIMARY KEY,
    created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE role_member (
    role_name TEXT NOT NULL,
    user_name TEXT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (role_name, user_name, host)
  ) STRICT, WITHOUT ROWID`,
  // grantee: a user with its host, or a role with an empty host. scope_db and scope_name: '*' is
  // all of them; scope_db is empty where the scope is no table.
  `CREATE TABLE privilege_grant (
    grantee_kind TEXT NOT NULL CHECK (grantee_kind IN ('USER', 'ROLE')),
    grantee TEXT NOT NULL,
    host TEXT NOT NULL,
    scope_kind TEXT NOT NULL
      CHECK (scope_kind IN ('TABLE', 'COMPUTE_GROUP', 'RESOURCE', 'STORAGE_VAULT')),
    scope_db TEXT NOT NULL,
    scope_name TEXT NOT NULL,
    privilege TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (grantee_kind, grantee, host, scope_kind, scope_db, scope_name, privilege)
  ) STRICT, WITHOUT ROWID`,
  // Logins of a user from an address that are refused until then.
  `CREATE TABLE login_lock (
    user_name TEXT NOT NULL,
    address TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (user_name, address)
  ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX login_lock_by_time ON login_lock (until_ms)`,
];

export const PRIVILEGES: Migration = { version: 6, name: 'privileges', statements: STATEMENTS };
