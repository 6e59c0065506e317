/** Settings that MySQL clients know as variables of the same name: a change of one changes the other. */
import type { Config } from '../base/config.ts';
import type { GlobalVariables } from './variables.ts';

export const SETTING_VARIABLES = [
  'wait_timeout',
  'query_timeout',
  'exec_mem_limit',
  'max_allowed_packet',
  'max_connections',
  'max_prepared_stmt_count',
  'max_user_connections',
  'default_password_lifetime',
  'require_secure_transport',
] as const;

export type SettingVariable = (typeof SETTING_VARIABLES)[number];

/** The setting behind a variable, if there is one. */
export function settingOf(variable: string): SettingVariable | undefined {
  const name = variable.toLowerCase();
  return SETTING_VARIABLES.find((setting) => setting === name);
}

/** The variables show what the settings are, now and after each change. */
export function followSettings(globals: GlobalVariables, config: Config): void {
  const follow = (name: SettingVariable): void => {
    const value = config.get(name);
    globals.write(name, typeof value === 'boolean' ? Number(value) : value);
  };
  for (const name of SETTING_VARIABLES) follow(name);
  config.onChange((key) => {
    const name = settingOf(key);
    if (name !== undefined) follow(name);
  });
}
