/** Entries in one object, each added by compare-and-set: none may get lost, none be there twice. */
import type { ObjectStore } from '../../../base/ports.ts';

/** `onEntry` is called after each. An entry whose answer was lost is not added again. */
export async function addEntries(
  store: ObjectStore,
  key: string,
  name: string,
  count: number,
  onEntry: () => void = () => undefined,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await addEntry(store, key, `${name}${n}`);
    onEntry();
  }
}

async function addEntry(store: ObjectStore, key: string, entry: string): Promise<void> {
  for (;;) {
    const etag = (await store.head(key))?.etag ?? '';
    const entries = await entriesOf(store, key);
    if (entries.includes(entry)) return;
    const body = new TextEncoder().encode([...entries, entry].join(' '));
    try {
      await store.put(key, body, { ifMatch: etag });
      return;
    } catch (error) {
      const { kind } = error as { kind?: unknown };
      if (kind !== 'PRECONDITION' && kind !== 'UNKNOWN_OUTCOME') throw error;
    }
  }
}

export async function entriesOf(store: ObjectStore, key: string): Promise<string[]> {
  return new TextDecoder().decode(await store.get(key)).split(' ');
}
