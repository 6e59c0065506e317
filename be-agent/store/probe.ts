/** Tries a store out for real before a vault is made of it: what works, and what is wrong. */
import { ObjectStoreError } from '../../base/ports.ts';
import type { ObjectStore, Random } from '../../base/ports.ts';

/** Every object of a probe lies under this prefix and is deleted at its end. */
const PROBE_PREFIX = 'thermocline-probe/';
const BODY_BYTES = 4096;

/** What the store can do beyond what every vault needs; the rest is checked or the probe throws. */
export interface ProbeReport {
  /** `ifNoneMatch` lets exactly one writer create an object. */
  readonly conditionalCreate: boolean;
  /** `ifMatch` replaces the right version and refuses the wrong one. */
  readonly compareAndSet: boolean;
}

/**
 * Writes, reads (whole and a range), lists, tries the conditions, deletes. Throws ObjectStoreError
 * with a text for the operator: what could not be done and why ("access key is not known",
 * "bucket 'x' does not exist"). Leaves nothing behind, unless deleting is what does not work.
 */
export async function probeStore(
  store: ObjectStore,
  random: Random,
  signal?: AbortSignal,
): Promise<ProbeReport> {
  const options = signal === undefined ? {} : { signal };
  const prefix = `${PROBE_PREFIX}${Buffer.from(random.bytes(12)).toString('hex')}/`;
  const keys = ['plain', 'once', 'swap'].map((name) => prefix + name);
  const [plain = '', once = '', swap = ''] = keys;
  const body = random.bytes(BODY_BYTES);
  let failure: { readonly error: unknown } | undefined;
  try {
    await step('write', async () => await store.put(plain, body, options));
    await step('read', async () => {
      await checkReads(store, plain, body, signal);
    });
    await step('list', async () => {
      await checkList(store, prefix, plain, signal);
    });
    const conditionalCreate = await step(
      'write under a condition',
      async () => await createsOnce(store, once, body, signal),
    );
    const compareAndSet = await step(
      'write under a condition',
      async () => await comparesAndSets(store, swap, body, signal),
    );
    return { conditionalCreate, compareAndSet };
  } catch (error) {
    failure = { error };
    throw error;
  } finally {
    try {
      await step('delete', async () => {
        await checkDelete(store, keys, plain, signal);
      });
    } catch (error) {
      // The first failure says more than that the tidying failed as well.
      if (failure === undefined) await Promise.reject(error);
    }
  }
}

/** What the store did not do that it should have. */
function wrong(store: ObjectStore, key: string, what: string): ObjectStoreError {
  return new ObjectStoreError('UNSUPPORTED', key, `${store.url}: ${what}`);
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    throw new ObjectStoreError(error.kind, error.key, `cannot ${what}: ${error.message}`, error);
  }
}

async function checkReads(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  const meta = await store.head(key, options);
  if (meta?.size !== body.byteLength) throw wrong(store, key, 'HEAD does not tell the size');
  if (Buffer.compare(await store.get(key, options), body) !== 0) {
    throw wrong(store, key, 'what was read is not what was written');
  }
  const [offset, length] = [1000, 500];
  const part = await store.get(key, { ...options, offset, length });
  if (Buffer.compare(part, body.subarray(offset, offset + length)) !== 0) {
    throw wrong(store, key, 'a range that was read is not what was written');
  }
}

async function checkList(
  store: ObjectStore,
  prefix: string,
  key: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const listed: string[] = [];
  const options = signal === undefined ? {} : { signal };
  for await (const page of store.list(prefix, options)) {
    listed.push(...page.map((meta) => meta.key));
  }
  if (listed.length !== 1 || listed[0] !== key) {
    throw wrong(store, key, 'the list does not show what was written');
  }
}

async function createsOnce(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const condition = { ifNoneMatch: '*', ...(signal === undefined ? {} : { signal }) } as const;
  const first = await accepted(async () => await store.put(key, body, condition));
  const second = await accepted(async () => await store.put(key, body, condition));
  return first && !second;
}

async function comparesAndSets(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const options = signal === undefined ? {} : { signal };
  const { etag } = await store.put(key, body, options);
  const next = body.toReversed();
  // The wrong one first: a store that ignores the condition is found out before anything else.
  const stale = '00000000000000000000000000000000';
  const wrongTaken = await accepted(
    async () => await store.put(key, next, { ...options, ifMatch: stale }),
  );
  if (wrongTaken) return false;
  return await accepted(async () => await store.put(key, next, { ...options, ifMatch: etag }));
}

/** false when the condition did not hold or the store knows no conditions. */
async function accepted(put: () => Promise<unknown>): Promise<boolean> {
  try {
    await put();
    return true;
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    if (error.kind === 'PRECONDITION' || error.kind === 'UNSUPPORTED') return false;
    throw error;
  }
}

async function checkDelete(
  store: ObjectStore,
  keys: readonly string[],
  key: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  await store.delete(keys, options);
  if ((await store.head(key, options)) !== undefined) {
    throw wrong(store, key, 'an object that was deleted is still there');
  }
}
