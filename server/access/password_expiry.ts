/** Whether an account must change its password before it may do anything else. */
import type { Config } from '../../base/config.ts';
import type { Account } from '../../catalog/accounts.ts';

const DAY_MS = 86_400_000;

/** `nowMs`: wall clock. An account without a password has nothing that could expire. */
export function isPasswordExpired(account: Account, config: Config, nowMs: number): boolean {
  if (account.passwordExpired) return true;
  if (account.authString === '') return false;
  const days = account.passwordLifetimeDays ?? config.get('default_password_lifetime');
  return days > 0 && nowMs - account.passwordChangedMs >= days * DAY_MS;
}
