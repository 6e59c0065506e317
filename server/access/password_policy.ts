/** What a new password must be like: settings with the names of MySQL's variables. */
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';

/** Only a password in clear can be checked; a hash is taken as it is. Throws WEAK_PASSWORD. */
export function expectGoodPassword(config: Config, user: string, password: string): void {
  const rules = [
    ['validate_password_length', 'characters', Array.from(password).length],
    ['validate_password_mixed_case_count', 'lower case letters', count(password, /\p{Ll}/gu)],
    ['validate_password_mixed_case_count', 'upper case letters', count(password, /\p{Lu}/gu)],
    ['validate_password_number_count', 'digits', count(password, /\p{Nd}/gu)],
    ['validate_password_special_char_count', 'special characters', count(password, SPECIAL)],
  ] as const;
  for (const [setting, what, found] of rules) {
    const least = config.get(setting);
    if (found < least) throw weak(`at least ${least} ${what} (setting ${setting})`);
  }
  if (!config.get('validate_password_check_user_name') || user === '') return;
  const reversed = Array.from(user).toReversed().join('');
  if (password === user || password === reversed) throw weak('not the name of the user');
}

const SPECIAL = /[^\p{L}\p{N}]/gu;

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

function weak(what: string): SqlError {
  return new SqlError('WEAK_PASSWORD', { what });
}
