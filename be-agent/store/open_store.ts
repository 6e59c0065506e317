/** From the description of a vault's or resource's store to the store. */
import type { Config } from '../../base/config.ts';
import type { Clock, Log, ObjectStore, Random } from '../../base/ports.ts';
import type { StoreSpec } from '../../base/schema.ts';
import { FileStore } from './file_store.ts';
import type { StoreDeps } from './retry.ts';

export interface OpenStoreDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Throws ObjectStoreError when a directory cannot be used, TypeError when an endpoint is no URL.
 * An S3 store opens no connection before its first call: whether it works is `probeStore`'s task.
 */
export async function openStore(spec: StoreSpec, deps: OpenStoreDeps): Promise<ObjectStore> {
  const storeDeps = storeDepsOf(deps);
  const store = await openKind(spec, storeDeps);
  deps.log.debug('object store opened', { url: store.url });
  return store;
}

async function openKind(spec: StoreSpec, deps: StoreDeps): Promise<ObjectStore> {
  switch (spec.kind) {
    case 'file':
      return await FileStore.open(spec.path, deps, undefined, spec.resource);
    case 's3': {
      // undici and the signer are not needed where all vaults are directories.
      const { S3Store } = await import('./s3_store.ts');
      return new S3Store(spec, deps);
    }
  }
}

/** The limits follow the config while the store is open. */
function storeDepsOf({ config, clock, random }: Omit<OpenStoreDeps, 'log'>): StoreDeps {
  return {
    clock,
    random,
    limits: () => ({
      retries: config.get('object_store_retries'),
      timeoutMs: config.get('object_store_timeout_ms'),
    }),
  };
}
