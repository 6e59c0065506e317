/** Which cluster has cooled a tablet: ids of tablets are a cluster's own, a bucket may be shared. */
import type { ObjectStore } from '../../base/ports.ts';
import { getOrNone } from './heads.ts';
import { leadOfTermKey } from './manifest.ts';

/** As what is published among these objects says; undefined: it does not, or nothing is. */
export async function ownerOf(
  store: ObjectStore,
  keys: readonly string[],
): Promise<string | undefined> {
  const key = keys.find((each) => /^data\/\d+\/HEAD$/.test(each) || leadOfTermKey(each));
  const body = key === undefined ? undefined : await getOrNone(store, key);
  if (body === undefined) return undefined;
  try {
    const { cluster } = JSON.parse(new TextDecoder().decode(body)) as { cluster?: unknown };
    return typeof cluster === 'string' ? cluster : undefined;
  } catch {
    // Damaged: it says nothing.
    return undefined;
  }
}
