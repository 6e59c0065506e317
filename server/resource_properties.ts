/**
 * Properties of resources, in all spellings that Doris has had for them: `s3.endpoint`,
 * `s3_endpoint` (its first version) and `AWS_ENDPOINT` are the same property.
 */
import { SqlError } from '../base/errors.ts';
import type { S3StoreLimits, S3StoreSpec, StoreSpec } from '../base/schema.ts';
import type { Properties } from '../parser/statement.ts';
import { type PropertySchemas, readProperties } from '../parser/properties.ts';
import { ENDPOINT, ROOT_PATH } from './store_check.ts';

/** Doris's, in the names of the newest spelling. */
const DEFAULT_LIMITS: S3StoreLimits = {
  connectionsMax: 50,
  requestTimeoutMs: 3000,
  connectTimeoutMs: 1000,
};
const CONNECTIONS_MAX = 10_000;
const TIMEOUT_MS_MAX = 3_600_000;

type Family = 'dotted' | 'underscored' | 'aws';

/** The first name of a family is the one that messages use. */
type Spellings = Readonly<Record<Family, readonly [string, ...string[]]>>;

// prettier-ignore
const S3_SPELLINGS = {
  's3.endpoint':    { dotted: ['s3.endpoint'],    underscored: ['s3_endpoint'],    aws: ['AWS_ENDPOINT'] },
  's3.region':      { dotted: ['s3.region'],      underscored: ['s3_region'],      aws: ['AWS_REGION'] },
  's3.bucket':      { dotted: ['s3.bucket'],      underscored: ['s3_bucket'],      aws: ['AWS_BUCKET'] },
  's3.root.path':   { dotted: ['s3.root.path'],   underscored: ['s3_root_path'],   aws: ['AWS_ROOT_PATH'] },
  's3.access_key':  { dotted: ['s3.access_key'],  underscored: ['s3_access_key'],  aws: ['AWS_ACCESS_KEY'] },
  's3.secret_key':  { dotted: ['s3.secret_key'],  underscored: ['s3_secret_key'],  aws: ['AWS_SECRET_KEY'] },
  's3.session_token': {
    dotted: ['s3.session_token'], underscored: ['s3_session_token', 's3_token'], aws: ['AWS_TOKEN'],
  },
  's3.connection.maximum': {
    dotted: ['s3.connection.maximum'], underscored: ['s3_max_connections'],
    aws: ['AWS_MAX_CONNECTIONS', 'AWS_MAX_CONNECTION'],
  },
  's3.connection.request.timeout': {
    dotted: ['s3.connection.request.timeout'], underscored: ['s3_request_timeout_ms'],
    aws: ['AWS_REQUEST_TIMEOUT_MS'],
  },
  's3.connection.timeout': {
    dotted: ['s3.connection.timeout'], underscored: ['s3_connection_timeout_ms'],
    aws: ['AWS_CONNECTION_TIMEOUT_MS'],
  },
} as const satisfies Readonly<Record<string, Spellings>>;

type S3Key = keyof typeof S3_SPELLINGS;
const S3_KEYS = Object.keys(S3_SPELLINGS) as S3Key[];
const FAMILIES: readonly Family[] = ['dotted', 'underscored', 'aws'];

/** By every spelling. */
const SPELLED: ReadonlyMap<string, { readonly key: S3Key; readonly family: Family }> = new Map(
  S3_KEYS.flatMap((key) =>
    FAMILIES.flatMap((family) =>
      S3_SPELLINGS[key][family].map((name) => [name, { key, family }] as const),
    ),
  ),
);

/** What says where the data lies, and must stay while a policy uses the resource. */
const PLACES: ReadonlySet<string> = new Set([
  's3.endpoint',
  's3.region',
  's3.bucket',
  's3.root.path',
  'local.root.path',
]);

const REQUIRED = [
  's3.endpoint',
  's3.region',
  's3.root.path',
  's3.access_key',
  's3.secret_key',
  's3.bucket',
] as const satisfies readonly S3Key[];

const S3_SCHEMA = {
  's3.endpoint': ENDPOINT,
  's3.region': { kind: 'text' },
  's3.root.path': ROOT_PATH,
  's3.access_key': { kind: 'text' },
  's3.secret_key': { kind: 'text' },
  's3.bucket': { kind: 'text' },
  's3.session_token': { kind: 'text' },
  's3.connection.maximum': { kind: 'int', min: 1, max: CONNECTIONS_MAX },
  's3.connection.request.timeout': { kind: 'int', min: 1, max: TIMEOUT_MS_MAX },
  's3.connection.timeout': { kind: 'int', min: 1, max: TIMEOUT_MS_MAX },
  use_path_style: { kind: 'bool' },
  s3_validity_check: { kind: 'bool' },
} as const satisfies PropertySchemas;

const LOCAL_SCHEMA = {
  'local.root.path': { kind: 'text', pattern: /^(?:\/|$)/, allowed: 'an absolute directory' },
} as const satisfies PropertySchemas;

const TYPE_SCHEMA = { type: { kind: 'choice', choices: ['s3', 'local'] } } as const;

export interface ResourceSettings {
  readonly store: StoreSpec;
  /** Whether the store is to be tried out. */
  readonly validityCheck: boolean;
}

/**
 * Of CREATE RESOURCE. Throws RESOURCE_NO_TYPE, MISSING_IN_PROPERTIES with the name in the spelling
 * that the statement uses, and what `readProperties` throws.
 */
export function newResource(given: Properties): ResourceSettings {
  const { type } = readProperties(
    given.filter(({ key }) => key === 'type'),
    TYPE_SCHEMA,
  );
  if (type === undefined) throw new SqlError('RESOURCE_NO_TYPE');
  const rest = given.filter(({ key }) => key !== 'type');
  return type === 's3' ? s3Settings(rest, undefined) : localSettings(rest, undefined);
}

/** Of ALTER RESOURCE: what is not given stays. Throws RESOURCE_FIXED for the type besides. */
export function changedResource(before: ResourceSettings, given: Properties): ResourceSettings {
  const type = given.find(({ key }) => key === 'type');
  if (type !== undefined) throw new SqlError('RESOURCE_FIXED', { name: type.key });
  return before.store.kind === 's3'
    ? s3Settings(given, { store: before.store, validityCheck: before.validityCheck })
    : localSettings(given, before.store.path);
}

/** As the statement spells it: the first property that says where the data lies. */
export function placeGiven(given: Properties): string | undefined {
  return given.find(({ key }) => PLACES.has(SPELLED.get(key)?.key ?? key))?.key;
}

function s3Settings(
  given: Properties,
  before: { readonly store: S3StoreSpec; readonly validityCheck: boolean } | undefined,
): ResourceSettings {
  const values = readProperties(given.map(oneSpelling), S3_SCHEMA);
  const old = before?.store;
  const texts = {
    's3.endpoint': values['s3.endpoint'] ?? old?.endpoint,
    's3.region': values['s3.region'] ?? old?.region,
    's3.root.path': values['s3.root.path'] ?? (old && `/${old.rootPath}`),
    's3.access_key': values['s3.access_key'] ?? old?.accessKey,
    's3.secret_key': values['s3.secret_key'] ?? old?.secretKey,
    's3.bucket': values['s3.bucket'] ?? old?.bucket,
  };
  const missing = REQUIRED.find((key) => (texts[key] ?? '') === '');
  if (missing !== undefined) {
    const [name] = S3_SPELLINGS[missing][familyOf(given)];
    throw new SqlError('MISSING_IN_PROPERTIES', { name });
  }
  const token = values['s3.session_token'] ?? old?.sessionToken ?? '';
  const limits = old?.limits ?? DEFAULT_LIMITS;
  const store: S3StoreSpec = {
    kind: 's3',
    endpoint: texts['s3.endpoint'] ?? '',
    region: texts['s3.region'] ?? '',
    bucket: texts['s3.bucket'] ?? '',
    rootPath: trimmedPath(texts['s3.root.path'] ?? ''),
    accessKey: texts['s3.access_key'] ?? '',
    secretKey: texts['s3.secret_key'] ?? '',
    ...(token === '' ? {} : { sessionToken: token }),
    usePathStyle: values.use_path_style ?? old?.usePathStyle ?? true,
    limits: {
      connectionsMax: values['s3.connection.maximum'] ?? limits.connectionsMax,
      requestTimeoutMs: values['s3.connection.request.timeout'] ?? limits.requestTimeoutMs,
      connectTimeoutMs: values['s3.connection.timeout'] ?? limits.connectTimeoutMs,
    },
  };
  return { store, validityCheck: values.s3_validity_check ?? before?.validityCheck ?? true };
}

function localSettings(given: Properties, before: string | undefined): ResourceSettings {
  const name = 'local.root.path';
  const path = readProperties(given, LOCAL_SCHEMA)[name] ?? before ?? '';
  if (path === '') throw new SqlError('MISSING_IN_PROPERTIES', { name });
  return { store: { kind: 'file', path }, validityCheck: true };
}

/** The newest spelling. Two spellings of one property count as the property given twice. */
function oneSpelling(property: Properties[number]): Properties[number] {
  const spelled = SPELLED.get(property.key);
  return spelled === undefined ? property : { ...property, key: spelled.key };
}

/** That of the first property that has one. */
function familyOf(given: Properties): Family {
  for (const { key } of given) {
    const spelled = SPELLED.get(key);
    if (spelled !== undefined) return spelled.family;
  }
  return 'dotted';
}

/** Of a key in the bucket: without `/` at its ends. */
function trimmedPath(path: string): string {
  return path.replaceAll(/^\/+|\/+$/g, '');
}
