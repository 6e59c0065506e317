/**
 * Tries a store out before it becomes a vault or a resource: CREATE says at once what is wrong.
 */
import type { ProbeReport } from '../be-agent/store/probe.ts';
import { SqlError } from '../base/errors.ts';
import type { StoreSpec } from '../base/schema.ts';
import { ObjectStoreError } from '../base/ports.ts';
import type { Services } from './services.ts';

/**
 * The path in a bucket below which everything lies. With `..` in it the objects of some stores, and
 * of proxies before others, would be in another bucket.
 */
export const ROOT_PATH = {
  kind: 'text',
  pattern: /^(?!(?:.*\/)?\.\.?(?:\/|$))/s,
  allowed: "a path without '.' and '..'",
} as const;

/** Who signs in is said by properties that do not show; an address shows. */
export const ENDPOINT = {
  kind: 'text',
  pattern: /^[^@]*$/s,
  allowed: 'a host or a URL, without a user name and a password',
} as const;

type CheckFailure = 'VAULT_CHECK_FAILED' | 'RESOURCE_CHECK_FAILED';

/** What works; throws `failure`, naming what is missing or wrong and never a secret. */
export async function checkStore(
  name: string,
  spec: StoreSpec,
  failure: CheckFailure,
  services: Pick<Services, 'backends' | 'config' | 'clock' | 'random' | 'log'>,
): Promise<ProbeReport> {
  if (spec.kind === 'file' && services.backends.isOfBackends(spec.path)) {
    const what = `${spec.path} is of the embedded backends, who delete there what they do not know`;
    throw new SqlError(failure, { name, what });
  }
  // Stores are not needed for anything else in this thread, so they are loaded when they are.
  const { openStore } = await import('../be-agent/store/open_store.ts');
  const { probeStore } = await import('../be-agent/store/probe.ts');
  try {
    const store = await openStore(spec, services);
    try {
      return await probeStore(store, services.random);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof SqlError) throw error;
    if (error instanceof ObjectStoreError || error instanceof TypeError) {
      const where = spec.kind === 's3' ? ` (endpoint ${spec.endpoint}, bucket ${spec.bucket})` : '';
      const what = `${error.message}${where}`;
      throw new SqlError(failure, { name, what }, { cause: error });
    }
    throw error;
  }
}
