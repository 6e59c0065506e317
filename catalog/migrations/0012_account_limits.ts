/** What an account may use, and when its password must be changed. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // WITH MAX_...: 0 is no limit.
  `ALTER TABLE account ADD COLUMN queries_per_hour INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE account ADD COLUMN updates_per_hour INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE account ADD COLUMN connections_per_hour INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE account ADD COLUMN user_connections INTEGER NOT NULL DEFAULT 0`,
  // REQUIRE SSL.
  `ALTER TABLE account ADD COLUMN require_tls INTEGER NOT NULL DEFAULT 0 CHECK (require_tls IN (0, 1))`,
  // PASSWORD EXPIRE: it must be changed now.
  `ALTER TABLE account ADD COLUMN password_expired INTEGER NOT NULL DEFAULT 0
    CHECK (password_expired IN (0, 1))`,
  // Days that a password lives; null: as the server's setting says, 0: for ever.
  `ALTER TABLE account ADD COLUMN password_lifetime_days INTEGER`,
  // SET DEFAULT ROLE: whether the role is active from the login on.
  `ALTER TABLE role_member ADD COLUMN is_default INTEGER NOT NULL DEFAULT 1
    CHECK (is_default IN (0, 1))`,
];

export const ACCOUNT_LIMITS: Migration = {
  version: 12,
  name: 'account_limits',
  statements: STATEMENTS,
};
