/** The rules of the ObjectStore port (base/ports.ts), run on every implementation. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ObjectStoreError } from '../../../base/ports.ts';
import type { BodySource, ObjectMeta, ObjectStore } from '../../../base/ports.ts';

export interface OpenedStore {
  readonly store: ObjectStore;
  readonly close: () => Promise<void>;
}

/** Writers at once in the races. */
const RACERS = 20;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (body: Uint8Array): string => new TextDecoder().decode(body);

/** Bytes that differ at every place of a block, so that a shifted range is noticed. */
function pattern(length: number): Uint8Array {
  const body = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) body[at] = (at * 31 + (at >> 8) * 7) & 0xff;
  return body;
}

/** The ObjectStoreError that `call` fails with. */
export async function failure(call: Promise<unknown>): Promise<ObjectStoreError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ObjectStoreError) return error;
    throw error;
  }
  throw new Error('the call did not fail');
}

export async function kindOf(call: Promise<unknown>): Promise<string> {
  return (await failure(call)).kind;
}

export async function listAll(store: ObjectStore, prefix: string): Promise<ObjectMeta[]> {
  const metas: ObjectMeta[] = [];
  for await (const page of store.list(prefix)) metas.push(...page);
  return metas;
}

/** `bad` keys and prefixes must be refused before any I/O. */
const BAD_KEYS = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  '../a',
  'a/../b',
  'a/..',
  'a/./b',
  'a\0b',
  'a\nb',
  'a\\b',
  '..\\a',
  'a\u007fb',
  'a\ud800b',
  'a\uffff',
  'k'.repeat(1025),
  'p'.repeat(256),
  'é'.repeat(128),
];

const ODD_KEYS = [
  'odd/with space',
  'odd/plus+plus',
  'odd/percent%41%',
  'odd/umlaut-é-ü',
  'odd/emoji-🔥',
  'odd/quote\'"',
  "odd/paren(1)!*'",
  'odd/hash#question?a=b&c=d',
  'odd/colon:semi;comma,at@',
  'odd/angle<>&amp;',
  'odd/tilde~dash-dot.under_',
  'odd/...three dots',
  'odd/.hidden',
  `odd/${'l'.repeat(250)}`,
];

export function storeContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`${name} keeps the ObjectStore rules`, () => {
    let opened: OpenedStore;
    let store: ObjectStore;

    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(async () => {
      await opened.close();
    });

    describe('get', () => {
      const body = pattern(300_000);
      beforeAll(async () => {
        await store.put('get/body', body);
        await store.put('get/empty', new Uint8Array(0));
      });

      it('returns the whole object', async () => {
        expect(Buffer.compare(await store.get('get/body'), body)).toBe(0);
      });

      it.each([
        { offset: 0, length: 1, from: 0, to: 1 },
        { offset: 0, length: 300_000, from: 0, to: 300_000 },
        { offset: 65_535, length: 70_001, from: 65_535, to: 135_536 },
        { offset: 299_999, length: 1, from: 299_999, to: 300_000 },
        { offset: 299_990, length: 1000, from: 299_990, to: 300_000 },
        { offset: 0, length: 400_000, from: 0, to: 300_000 },
      ])('reads offset $offset length $length, clamped to the end', async (range) => {
        const { offset, length, from, to } = range;
        const got = await store.get('get/body', { offset, length });
        expect(got.byteLength).toBe(to - from);
        expect(Buffer.compare(got, body.subarray(from, to))).toBe(0);
      });

      it('reads from an offset to the end', async () => {
        const got = await store.get('get/body', { offset: 299_000 });
        expect(Buffer.compare(got, body.subarray(299_000))).toBe(0);
      });

      it.each([{ offset: 300_000 }, { offset: 300_000, length: 1 }, { offset: 2 ** 40 }])(
        'refuses a range beyond the end: %j',
        async (options) => {
          expect(await kindOf(store.get('get/body', options))).toBe('RANGE');
        },
      );

      it('reads an empty object as empty from 0 and refuses it from 1', async () => {
        expect((await store.get('get/empty')).byteLength).toBe(0);
        expect((await store.get('get/empty', { offset: 0, length: 10 })).byteLength).toBe(0);
        expect(await kindOf(store.get('get/empty', { offset: 1 }))).toBe('RANGE');
      });

      it('puts the bytes into the buffer given and returns a view of it', async () => {
        const memory = new ArrayBuffer(100_000);
        const into = new Uint8Array(memory, 1000, 50_000).fill(0xaa);
        const got = await store.get('get/body', { offset: 10, length: 40_000, into });
        expect(got.buffer).toBe(memory);
        expect(got.byteOffset).toBe(1000);
        expect(Buffer.compare(got, body.subarray(10, 40_010))).toBe(0);
        expect(into[40_000]).toBe(0xaa);
        expect(new Uint8Array(memory)[999]).toBe(0);
      });

      it('throws TypeError when the buffer is too small', async () => {
        const into = new Uint8Array(10);
        await expect(store.get('get/body', { length: 11, into })).rejects.toThrow(TypeError);
        await expect(store.get('get/body', { into })).rejects.toThrow(TypeError);
        expect([...into]).toEqual(Array.from({ length: 10 }, () => 0));
      });

      it.each([{ offset: -1 }, { offset: 1.5 }, { length: 0 }, { length: -5 }, { length: NaN }])(
        'throws TypeError for %j',
        async (options) => {
          await expect(store.get('get/body', options)).rejects.toThrow(TypeError);
        },
      );

      it('says NOT_FOUND with the key and the store, no secret', async () => {
        const error = await failure(store.get('get/missing'));
        expect(error.kind).toBe('NOT_FOUND');
        expect(error.key).toBe('get/missing');
        expect(error.message).toContain('get/missing');
        expect(error.message).toContain(store.url);
        expect(error.transient).toBe(false);
      });

      it('does not take a prefix for an object', async () => {
        await store.put('get/dir/inner', bytes('x'));
        expect(await kindOf(store.get('get/dir'))).toBe('NOT_FOUND');
        expect(await store.head('get/dir')).toBeUndefined();
        await store.delete(['get/dir']);
        expect(text(await store.get('get/dir/inner'))).toBe('x');
      });

      it('serves many readers at once', async () => {
        const gets = Array.from({ length: 40 }, async (_, at) => {
          const got = await store.get('get/body', { offset: at * 1000, length: 5000 });
          return Buffer.compare(got, body.subarray(at * 1000, at * 1000 + 5000));
        });
        expect(await Promise.all(gets)).toEqual(Array.from({ length: 40 }, () => 0));
      });
    });

    describe('head', () => {
      it('tells size, etag and time', async () => {
        const { etag } = await store.put('head/a', bytes('hello'));
        const meta = await store.head('head/a');
        expect(meta).toMatchObject({ key: 'head/a', size: 5, etag });
        expect(etag).not.toMatch(/^"|^$/);
        expect(Math.abs((meta?.modifiedMs ?? 0) - Date.now())).toBeLessThan(3_600_000);
      });

      it('is undefined for a missing object', async () => {
        expect(await store.head('head/missing')).toBeUndefined();
        expect(await store.head('head/a/below')).toBeUndefined();
      });
    });

    describe('put', () => {
      it('replaces, and changes the etag with the content', async () => {
        const first = await store.put('put/replace', bytes('one'));
        const second = await store.put('put/replace', bytes('two'));
        expect(second.etag).not.toBe(first.etag);
        expect(text(await store.get('put/replace'))).toBe('two');
      });

      it('takes its own copy: the caller may use the buffer again', async () => {
        const body = bytes('before');
        await store.put('put/copy', body);
        body.fill(0x20);
        expect(text(await store.get('put/copy'))).toBe('before');
      });

      it('stores a view of a larger buffer as the view', async () => {
        const whole = pattern(10_000);
        await store.put('put/view', whole.subarray(100, 400));
        expect(Buffer.compare(await store.get('put/view'), whole.subarray(100, 400))).toBe(0);
      });

      it('stores 9 MiB', async () => {
        const body = pattern(9 * 2 ** 20 + 17);
        await store.put('put/large', body);
        expect(Buffer.compare(await store.get('put/large'), body)).toBe(0);
        expect((await store.head('put/large'))?.size).toBe(body.byteLength);
      });

      it('shows readers whole objects only while it is replaced', async () => {
        const versions = ['a', 'b', 'c', 'd'].map((letter) => bytes(letter.repeat(200_000)));
        await store.put('put/flip', versions[0] ?? bytes(''));
        const progress = { writing: true };
        const writer = (async () => {
          for (const version of [...versions, ...versions]) await store.put('put/flip', version);
          progress.writing = false;
        })();
        do {
          const got = text(await store.get('put/flip'));
          expect(got).toBe(got.charAt(0).repeat(200_000));
        } while (progress.writing);
        await writer;
      });
    });

    describe('upload', () => {
      const sized = (body: Uint8Array, check?: () => void): BodySource => {
        let expected = 0;
        return {
          size: body.byteLength,
          read: async (offset, length) => {
            expect(offset).toBe(expected);
            expected += length;
            return await Promise.resolve(body.slice(offset, offset + length));
          },
          ...(check === undefined ? {} : { check }),
        };
      };

      it.each([1, 16 * 2 ** 20, 16 * 2 ** 20 + 1, 35 * 2 ** 20 + 5])(
        'stores %d bytes that come in pieces',
        async (size) => {
          const body = pattern(size);
          const { etag } = await store.upload(`upload/${size}`, sized(body));
          expect(Buffer.compare(await store.get(`upload/${size}`), body)).toBe(0);
          expect(await store.head(`upload/${size}`)).toMatchObject({ size, etag });
        },
      );

      it('leaves nothing visible when the check throws, and nothing of it in the list', async () => {
        const wrong = sized(pattern(9 * 2 ** 20), () => {
          throw new RangeError('another checksum');
        });
        await expect(store.upload('upload/checked', wrong)).rejects.toThrow(RangeError);
        expect(await store.head('upload/checked')).toBeUndefined();
        expect(await listAll(store, 'upload/checked')).toEqual([]);
      });

      it('leaves nothing visible when the source fails or is too short', async () => {
        const failing: BodySource = {
          size: 20 * 2 ** 20,
          read: async (offset, length) => {
            if (offset > 0) throw new EvalError('the disk');
            return await Promise.resolve(new Uint8Array(length));
          },
        };
        await expect(store.upload('upload/failed', failing)).rejects.toThrow(EvalError);
        const short: BodySource = {
          ...failing,
          read: async () => await Promise.resolve(bytes('x')),
        };
        expect(await kindOf(store.upload('upload/failed', short))).toBe('TRUNCATED');
        expect(await store.head('upload/failed')).toBeUndefined();
      });

      it('keeps the old object until the new one is whole', async () => {
        await store.put('upload/old', bytes('old'));
        const body = pattern(17 * 2 ** 20);
        const inner = sized(body);
        const watching: BodySource = {
          ...inner,
          read: async (offset, length) => {
            expect(text(await store.get('upload/old'))).toBe('old');
            return await inner.read(offset, length);
          },
        };
        await store.upload('upload/old', watching);
        expect((await store.head('upload/old'))?.size).toBe(body.byteLength);
      });

      it('ends when its signal aborts', async () => {
        const abort = new AbortController();
        const aborting: BodySource = {
          size: 17 * 2 ** 20,
          read: async (_, length) => {
            abort.abort(new Error('enough'));
            return await Promise.resolve(new Uint8Array(length));
          },
        };
        const uploading = store.upload('upload/aborted', aborting, { signal: abort.signal });
        expect(await kindOf(uploading)).toBe('ABORTED');
        expect(await store.head('upload/aborted')).toBeUndefined();
      });
    });

    describe('conditions', () => {
      it('creates only once with ifNoneMatch', async () => {
        await store.put('if/once', bytes('first'), { ifNoneMatch: '*' });
        const again = store.put('if/once', bytes('second'), { ifNoneMatch: '*' });
        expect(await kindOf(again)).toBe('PRECONDITION');
        expect(text(await store.get('if/once'))).toBe('first');
        await store.delete(['if/once']);
        await store.put('if/once', bytes('third'), { ifNoneMatch: '*' });
        expect(text(await store.get('if/once'))).toBe('third');
      });

      it(`lets one of ${RACERS} win a race of creations, and keeps the winner's body`, async () => {
        for (let round = 0; round < 3; round += 1) {
          const key = `if/race-${round}`;
          const outcomes = await Promise.allSettled(
            Array.from({ length: RACERS }, async (_, racer) => {
              await store.put(key, bytes(`racer ${racer}`), { ifNoneMatch: '*' });
              return racer;
            }),
          );
          const winners = outcomes.flatMap((outcome) =>
            outcome.status === 'fulfilled' ? [outcome.value] : [],
          );
          const kinds = outcomes.flatMap((outcome) =>
            outcome.status === 'rejected' ? [(outcome.reason as ObjectStoreError).kind] : [],
          );
          expect(winners).toHaveLength(1);
          expect(new Set(kinds)).toEqual(new Set(['PRECONDITION']));
          expect(text(await store.get(key))).toBe(`racer ${winners[0]}`);
        }
      });

      it('replaces only the version named by ifMatch', async () => {
        const first = await store.put('if/match', bytes('v1'));
        const second = await store.put('if/match', bytes('v2'), { ifMatch: first.etag });
        const stale = store.put('if/match', bytes('v3'), { ifMatch: first.etag });
        expect(await kindOf(stale)).toBe('PRECONDITION');
        expect(text(await store.get('if/match'))).toBe('v2');
        const { etag } = (await store.head('if/match')) ?? { etag: '' };
        expect(etag).toBe(second.etag);
        await store.put('if/match', bytes('v4'), { ifMatch: etag });
        expect(text(await store.get('if/match'))).toBe('v4');
      });

      it('fails with ifMatch on a missing or deleted object', async () => {
        const { etag } = await store.put('if/gone', bytes('x'));
        await store.delete(['if/gone']);
        const late = store.put('if/gone', bytes('y'), { ifMatch: etag });
        expect(await kindOf(late)).toBe('PRECONDITION');
        expect(await store.head('if/gone')).toBeUndefined();
      });

      it('adds each entry once by compare-and-set from 5 writers', async () => {
        await store.put('if/log', bytes('start'));
        // Entries are unique, so a writer that lost the answer can see whether it got through.
        const append = async (entry: string): Promise<void> => {
          for (let tries = 0; tries < 500; tries += 1) {
            const before = (await store.head('if/log'))?.etag ?? '';
            const entries = text(await store.get('if/log')).split(' ');
            if (entries.includes(entry)) return;
            const body = bytes([...entries, entry].join(' '));
            try {
              await store.put('if/log', body, { ifMatch: before });
              return;
            } catch (error) {
              const { kind } = error as ObjectStoreError;
              if (kind !== 'PRECONDITION' && kind !== 'UNKNOWN_OUTCOME') throw error;
            }
          }
          throw new Error('no luck in 500 tries');
        };
        const wanted: string[] = [];
        const writers = ['a', 'b', 'c', 'd', 'e'].map(async (writer) => {
          for (let n = 0; n < 5; n += 1) {
            wanted.push(writer + n);
            await append(writer + n);
          }
        });
        await Promise.all(writers);
        const [start, ...entries] = text(await store.get('if/log')).split(' ');
        expect(start).toBe('start');
        expect(entries.sort()).toEqual(wanted.sort());
      });
    });

    describe('list', () => {
      it('is in the order of UTF-8 bytes, with everything about each object', async () => {
        const names = ['b', 'a/z', 'a-', 'a/b/c', 'a.x', 'a0', 'a/b-', 'é', '\ue000', '🔥', 'Z'];
        await Promise.all(
          names.map(async (key) => await store.put(`list/order/${key}`, bytes(key))),
        );
        const metas = await listAll(store, 'list/order/');
        const sorted = names
          .map((key) => `list/order/${key}`)
          .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(metas.map((meta) => meta.key)).toEqual(sorted);
        for (const meta of metas)
          expect(await store.head(meta.key)).toMatchObject({
            size: meta.size,
            etag: meta.etag,
          });
      });

      it('takes a prefix that ends in the middle of a name', async () => {
        for (const key of ['data/1/x', 'data/10/x', 'data/12/a/b', 'data/2/x', 'dat']) {
          await store.put(`list/mid/${key}`, bytes('x'));
        }
        const keys = async (prefix: string): Promise<string[]> =>
          (await listAll(store, `list/mid/${prefix}`)).map((meta) => meta.key.slice(9));
        expect(await keys('data/1')).toEqual(['data/1/x', 'data/10/x', 'data/12/a/b']);
        expect(await keys('data/1/')).toEqual(['data/1/x']);
        expect(await keys('data/2/x')).toEqual(['data/2/x']);
        expect(await keys('dat')).toHaveLength(5);
        expect(await keys('data/3')).toEqual([]);
        expect(await keys('nowhere/at/all')).toEqual([]);
      });

      it('pages over more than 1000 keys', async () => {
        const keys = Array.from({ length: 1030 }, (_, n) => `list/many/${n % 7}/k${n}`);
        const rest = keys.values();
        const worker = async (): Promise<void> => {
          for (const key of rest) await store.put(key, bytes('1'));
        };
        await Promise.all(Array.from({ length: 16 }, worker));
        const pages: number[] = [];
        const listed: string[] = [];
        for await (const page of store.list('list/many/')) {
          pages.push(page.length);
          listed.push(...page.map((meta) => meta.key));
        }
        expect(pages).toEqual([1000, 30]);
        expect(listed).toEqual([...keys].sort());
        await store.delete(listed);
        expect(await listAll(store, 'list/many/')).toEqual([]);
      });

      it('may be left in the middle', async () => {
        for await (const page of store.list('list/order/')) {
          expect(page.length).toBeGreaterThan(0);
          break;
        }
      });

      it('lists everything under the empty prefix, and nothing that is not an object', async () => {
        const keys = (await listAll(store, '')).map((meta) => meta.key);
        expect(keys).toContain('list/order/a/b/c');
        for (const key of keys) expect(await store.head(key)).toBeDefined();
      });
    });

    describe('delete', () => {
      it('removes many, and missing keys are not an error', async () => {
        await store.put('delete/a', bytes('x'));
        await store.put('delete/sub/b', bytes('x'));
        await store.delete(['delete/a', 'delete/missing', 'delete/sub/b', 'delete/x/y/z']);
        await store.delete(['delete/a']);
        await store.delete([]);
        expect(await listAll(store, 'delete/')).toEqual([]);
      });

      it('leaves neighbours alone, and its place can be used again', async () => {
        await store.put('delete/n/a', bytes('a'));
        await store.put('delete/n/b', bytes('b'));
        await store.delete(['delete/n/a']);
        expect(text(await store.get('delete/n/b'))).toBe('b');
        await store.delete(['delete/n/b']);
        await store.put('delete/n', bytes('now an object'));
        expect(text(await store.get('delete/n'))).toBe('now an object');
      });

      it('runs against puts into the same place', async () => {
        const rounds = Array.from({ length: 30 }, async (_, n) => {
          await store.put(`delete/race/${n % 3}/k${n}`, bytes('x'));
          await store.delete([`delete/race/${n % 3}/k${n}`]);
        });
        await Promise.all(rounds);
        expect(await listAll(store, 'delete/race/')).toEqual([]);
      });
    });

    describe('keys', () => {
      it.each(BAD_KEYS)('refuses %j before any I/O', async (key) => {
        await expect(store.get(key)).rejects.toThrow(TypeError);
        await expect(store.head(key)).rejects.toThrow(TypeError);
        await expect(store.put(key, bytes('x'))).rejects.toThrow(TypeError);
        await expect(store.delete(['fine', key])).rejects.toThrow(TypeError);
      });

      it.each(['/a', '../', 'a/../b', 'a\0', 'a//'])('refuses the prefix %j', async (prefix) => {
        await expect(listAll(store, prefix)).rejects.toThrow(TypeError);
      });

      it.each(ODD_KEYS)('stores, finds, lists and deletes %j', async (key) => {
        await store.put(key, bytes(key));
        expect(text(await store.get(key, { offset: 0, length: 2000 }))).toBe(key);
        const meta = await store.head(key);
        expect(meta).toMatchObject({ key, size: bytes(key).byteLength });
        expect((await listAll(store, key)).map((each) => each.key)).toEqual([key]);
        await store.delete([key]);
        expect(await store.head(key)).toBeUndefined();
      });
    });

    describe('abort', () => {
      it('fails at once with ABORTED when the signal is aborted already', async () => {
        const signal = AbortSignal.abort(new Error('enough'));
        expect(await kindOf(store.get('get/body', { signal }))).toBe('ABORTED');
        expect(await kindOf(store.head('get/body', { signal }))).toBe('ABORTED');
        expect(await kindOf(store.put('abort/a', bytes('x'), { signal }))).toBe('ABORTED');
        expect(await kindOf(store.delete(['get/body'], { signal }))).toBe('ABORTED');
        expect(await store.head('abort/a')).toBeUndefined();
        expect(await store.head('get/body')).toBeDefined();
        const listed = (async () => {
          for await (const page of store.list('get/', { signal })) expect(page).toBeUndefined();
        })();
        expect(await kindOf(listed)).toBe('ABORTED');
      });

      it('leaves the store usable', async () => {
        const abort = new AbortController();
        const reads = Array.from(
          { length: 8 },
          async () => await store.get('get/body', { signal: abort.signal }),
        );
        abort.abort();
        const kinds = (await Promise.allSettled(reads)).map((read) =>
          read.status === 'fulfilled' ? 'done' : (read.reason as ObjectStoreError).kind,
        );
        for (const kind of kinds) expect(['done', 'ABORTED']).toContain(kind);
        expect((await store.get('get/body')).byteLength).toBe(300_000);
      });
    });
  });
}
