/** After how many failed logins an account is refused, and for how long, where it has its own limits. */
import type { Migration } from './migration.ts';

const STATEMENTS: readonly string[] = [
  // FAILED_LOGIN_ATTEMPTS; null: as the server's setting says, 0: never.
  `ALTER TABLE account ADD COLUMN failed_login_attempts INTEGER`,
  // PASSWORD_LOCK_TIME, seconds; null: as the server's setting says, -1: until it is unlocked.
  `ALTER TABLE account ADD COLUMN password_lock_second INTEGER`,
];

export const LOGIN_LOCK_LIMITS: Migration = {
  version: 13,
  name: 'login_lock_limits',
  statements: STATEMENTS,
};
