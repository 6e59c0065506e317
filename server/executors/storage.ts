/** Storage vaults. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import type { NewVault } from '../../catalog/vaults.ts';
import type { CreateStorageVault } from '../../parser/statement.ts';
import { type PropertySchemas, readProperties } from '../../parser/properties.ts';
import { ENDPOINT, ROOT_PATH, checkStore } from '../store_check.ts';
import type { Executor } from './executor.ts';

const VAULT_PROPERTIES = {
  type: { kind: 'choice', choices: ['s3', 'file'] },
  's3.endpoint': ENDPOINT,
  's3.region': { kind: 'text' },
  's3.bucket': { kind: 'text' },
  's3.root.path': ROOT_PATH,
  's3.access_key': { kind: 'text' },
  's3.secret_key': { kind: 'text' },
  provider: { kind: 'text' },
  use_path_style: { kind: 'bool' },
  path: { kind: 'text', pattern: /^\//, allowed: 'an absolute directory' },
} as const satisfies PropertySchemas;

/** Checked for real before it is stored: it is written to, read, listed and deleted from. */
export const createStorageVault: Executor<'CreateStorageVault'> = async (statement, context) => {
  const { catalog } = context.services;
  const { name, ifNotExists } = statement;
  const vault = readVault(statement);
  if ((await catalog.vaults.find(name)) !== undefined) {
    if (!ifNotExists) throw new SqlError('VAULT_EXISTS', { name });
    const message = `Storage vault ${name} already exists`;
    context.session.warn({ level: 'Note', code: 1105, message });
    return OK;
  }
  await checkStore(name, vault, 'VAULT_CHECK_FAILED', context.services);
  await catalog.vaults.create(vault);
  return OK;
};

function readVault(statement: CreateStorageVault): NewVault {
  const { name } = statement;
  const values = readProperties(statement.properties, VAULT_PROPERTIES);
  const need = (key: keyof typeof VAULT_PROPERTIES, why: string): string => {
    const value = values[key];
    if (typeof value === 'string' && value !== '') return value;
    throw new SqlError('MISSING_PROPERTY', { name: key, why });
  };
  const type = need('type', "it says what kind of vault it is, 's3' or 'file'");
  if (type === 'file') {
    return { kind: 'file', name, path: need('path', 'it is the directory of the vault') };
  }
  const why = 'an s3 vault cannot be reached without it';
  return {
    kind: 's3',
    name,
    endpoint: need('s3.endpoint', why),
    region: need('s3.region', why),
    bucket: need('s3.bucket', why),
    rootPath: (values['s3.root.path'] ?? '').replaceAll(/^\/+|\/+$/g, ''),
    accessKey: need('s3.access_key', why),
    secretKey: need('s3.secret_key', why),
    usePathStyle: values.use_path_style ?? true,
  };
}

export const dropStorageVault: Executor<'DropStorageVault'> = async (statement, context) => {
  const { catalog } = context.services;
  const { name, ifExists } = statement;
  if (ifExists && (await catalog.vaults.find(name)) === undefined) {
    const message = `Storage vault ${name} does not exist`;
    context.session.warn({ level: 'Note', code: 1105, message });
    return OK;
  }
  await catalog.vaults.drop(name);
  return OK;
};

export const setDefaultStorageVault: Executor<'SetDefaultStorageVault'> = async (
  { name },
  { services },
) => {
  await services.catalog.vaults.setDefault(name);
  return OK;
};

/** As in Doris: CREATE TABLE must name a vault then. */
export const unsetDefaultStorageVault: Executor<'UnsetDefaultStorageVault'> = async (
  _,
  { services },
) => {
  await services.catalog.vaults.unsetDefault();
  return OK;
};
