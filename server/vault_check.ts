/** Tries a vault out before it is stored: CREATE STORAGE VAULT says at once what is wrong. */
import { SqlError } from '../base/errors.ts';
import type { VaultSpec } from '../base/schema.ts';
import { ObjectStoreError } from '../base/ports.ts';
import type { Services } from './services.ts';

/** Throws VAULT_CHECK_FAILED, naming what is missing or wrong and never a secret. */
export async function checkVault(
  spec: VaultSpec,
  services: Pick<Services, 'config' | 'clock' | 'random' | 'log'>,
): Promise<void> {
  // Stores are not needed for anything else in this thread, so they are loaded when they are.
  const { openStore } = await import('../be-agent/store/open_store.ts');
  const { probeStore } = await import('../be-agent/store/probe.ts');
  try {
    const store = await openStore(spec, services);
    try {
      await probeStore(store, services.random);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof SqlError) throw error;
    if (error instanceof ObjectStoreError || error instanceof TypeError) {
      const where = spec.kind === 's3' ? ` (endpoint ${spec.endpoint}, bucket ${spec.bucket})` : '';
      const what = `${error.message}${where}`;
      throw new SqlError('VAULT_CHECK_FAILED', { name: spec.name, what }, { cause: error });
    }
    throw error;
  }
}
