/** SHOW CONFIG, ADMIN SHOW and ADMIN SET FRONTEND CONFIG. */
import { Config, isConfigKey, isSecret } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import type { Properties } from '../../parser/statement.ts';
import { CONFIG_ENTRIES } from '../listings/config.ts';
import type { Executor } from './executor.ts';
import { showListing } from './filtered.ts';

export const showConfig: Executor<'ShowConfig'> = async ({ filter }, context) =>
  await showListing(CONFIG_ENTRIES, context.services, filter, context);

export const adminShowConfig: Executor<'AdminShowConfig'> = async ({ filter }, context) =>
  await showListing(CONFIG_ENTRIES, context.services, filter, context);

/**
 * All keys or none: they are checked on a copy, then stored (with `"persist" = "true"`), and only
 * then changed. There is one frontend, so ALL changes nothing.
 */
export const adminSetConfig: Executor<'AdminSetConfig'> = async ({ properties }, { services }) => {
  const { config, catalog } = services;
  const { changes, persist } = readChanges(properties);
  const copy = new Config();
  for (const [name, value] of changes) copy.setLive(name, value);
  const secret = persist
    ? [...changes.keys()].find((name) => isConfigKey(name) && isSecret(name))
    : undefined;
  if (secret !== undefined) {
    const what = `"persist" for ${secret}, which is a secret; put it into the file or the environment`;
    throw new SqlError('NOT_SUPPORTED', { what });
  }
  if (persist) {
    await catalog.transaction(async (tx) => {
      for (const [name, value] of changes) await tx.configOverrides.set(name, value);
    });
  }
  for (const [name, value] of changes) config.setLive(name, value);
  return OK;
};

function readChanges(properties: Properties): {
  readonly changes: ReadonlyMap<string, string>;
  readonly persist: boolean;
} {
  const changes = new Map<string, string>();
  for (const { key, value } of properties) {
    if (changes.has(key)) throw new SqlError('DUPLICATE_PROPERTY', { name: key });
    changes.set(key, value);
  }
  const persist = changes.get('persist') ?? 'false';
  changes.delete('persist');
  if (!/^(true|false)$/i.test(persist)) {
    const allowed = 'true or false';
    throw new SqlError('BAD_PROPERTY', { name: 'persist', value: persist, allowed });
  }
  if (changes.size === 0) {
    throw new SqlError('MISSING_PROPERTY', { name: 'key', why: 'there is nothing to set' });
  }
  return { changes, persist: persist.toLowerCase() === 'true' };
}
