/** What is left of large uploads whose writers died, on stores that keep it. */
import { type CallOptions, type ObjectStore, ObjectStoreError } from '../../base/ports.ts';

/**
 * Discards uploads of keys with this prefix that began before `beganBeforeMs`; how many. Not
 * everybody who may write may also list uploads: then they stay, and 0 is the answer.
 */
export async function discardUploads(
  store: ObjectStore,
  prefix: string,
  options: CallOptions & { readonly beganBeforeMs?: number } = {},
): Promise<number> {
  const { beganBeforeMs = Number.POSITIVE_INFINITY, ...call } = options;
  try {
    return (await store.discardUploads?.(prefix, beganBeforeMs, call)) ?? 0;
  } catch (error) {
    const isRefused =
      error instanceof ObjectStoreError &&
      (error.kind === 'ACCESS_DENIED' || error.kind === 'UNSUPPORTED');
    if (!isRefused) throw error;
    return 0;
  }
}
