import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { systemFiles } from '../../../be-agent/store/file_calls.ts';
import type { FileCalls } from '../../../be-agent/store/file_calls.ts';
import { errnoOf } from '../../../be-agent/store/file_errors.ts';
import { FileStore } from '../../../be-agent/store/file_store.ts';
import { LOCK_NAME, TEMP_DIRECTORY } from '../../../be-agent/store/file_temps.ts';
import { bytes, failure, kindOf, listAll, storeContract, text } from './contract.ts';
import { StepClock } from './test_ports.ts';

const made: string[] = [];

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'thermocline-store-'));
  made.push(directory);
  return directory;
}

afterAll(async () => {
  for (const directory of made) await rm(directory, { recursive: true, force: true });
});

const deps = {
  clock: systemClock,
  random: systemRandom,
  limits: () => ({ retries: 2, timeoutMs: 1000 }),
};

storeContract('FileStore', async () => {
  const store = await FileStore.open(join(await temporary(), 'deep', 'vault'), deps);
  return { store, close: async () => await store.close() };
});

/** System files of which call number `failAt` (from 1) fails. */
function failing(failAt: number, code: string): { files: FileCalls; calls: () => number } {
  let calls = 0;
  const guard = <Args extends unknown[], Result>(
    call: (...args: Args) => Promise<Result>,
  ): ((...args: Args) => Promise<Result>) => {
    return async (...args) => {
      calls += 1;
      if (calls === failAt) throw Object.assign(new Error(code), { code });
      return await call(...args);
    };
  };
  const files: FileCalls = {
    open: guard(async (path, flags) => {
      const file = await systemFiles.open(path, flags);
      return {
        read: guard(file.read),
        writeFile: guard(file.writeFile),
        utimes: guard(file.utimes),
        stat: guard(file.stat),
        sync: guard(file.sync),
        close: file.close,
      };
    }),
    lstat: guard(systemFiles.lstat),
    mkdir: guard(systemFiles.mkdir),
    rename: guard(systemFiles.rename),
    link: guard(systemFiles.link),
    unlink: guard(systemFiles.unlink),
    rmdir: guard(systemFiles.rmdir),
    opendir: guard(systemFiles.opendir),
    readdir: guard(systemFiles.readdir),
    realpath: guard(systemFiles.realpath),
  };
  return { files, calls: () => calls };
}

describe('FileStore under disk faults', () => {
  const noRetry = { ...deps, limits: () => ({ retries: 0, timeoutMs: 1000 }) };

  it.each([
    ['ENOSPC', 'DISK', 'no space left'],
    ['EROFS', 'DISK', 'read-only'],
    ['EIO', 'DISK', 'input/output'],
    ['EACCES', 'ACCESS_DENIED', 'permission denied'],
    ['EMFILE', 'UNAVAILABLE', 'too many open files'],
  ])(
    'put failing by %s at its n-th call leaves old or new, never half',
    async (code, kind, say) => {
      const root = await temporary();
      await (await FileStore.open(root, deps)).put('a/b', bytes('old'));
      for (let n = 1; ; n += 1) {
        const { files, calls } = failing(0, code);
        const store = await FileStore.open(root, noRetry, files);
        const opening = calls();
        const faulty = failing(opening + n, code);
        const faultyStore = await FileStore.open(root, noRetry, faulty.files);
        let failed = false;
        try {
          await faultyStore.put('a/b', bytes(`new ${n}`));
        } catch (error) {
          failed = true;
          expect(error).toMatchObject({ kind, message: expect.stringContaining(say) });
        }
        const now = text(await store.get('a/b'));
        expect(now).toMatch(failed ? /^(old|new \d+)$/ : `new ${n}`);
        if (!failed && faulty.calls() < opening + n) {
          expect(n).toBeGreaterThan(8);
          break;
        }
      }
    },
  );

  it('retries what passes', async () => {
    const root = await temporary();
    const { files, calls } = failing(0, 'EMFILE');
    await FileStore.open(root, deps, files);
    const faulty = failing(calls() + 1, 'EMFILE');
    const clock = new StepClock();
    const store = await FileStore.open(root, { ...deps, clock }, faulty.files);
    await store.put('a', bytes('x'));
    expect(clock.sleeps).toHaveLength(1);
    expect(text(await store.get('a'))).toBe('x');
  });

  it('says UNKNOWN_OUTCOME when a conditional put is visible but not durable', async () => {
    const root = await temporary();
    const base: FileCalls = systemFiles;
    const files: FileCalls = {
      ...base,
      open: async (path, flags) => {
        const file = await base.open(path, flags);
        const sync = async (): Promise<void> => {
          throw Object.assign(new Error('EIO'), { code: 'EIO' });
        };
        return path.includes(TEMP_DIRECTORY) ? file : { ...file, sync };
      },
    };
    await FileStore.open(root, deps);
    const store = await FileStore.open(root, deps, files);
    const put = store.put('a', bytes('x'), { ifNoneMatch: '*' });
    expect(await kindOf(put)).toBe('UNKNOWN_OUTCOME');
    expect(await kindOf(store.put('a', bytes('x')))).toBe('DISK');
  });

  it('cannot be opened where a file is, and says so', async () => {
    const root = await temporary();
    await writeFile(join(root, 'file'), 'x');
    const error = await failure(FileStore.open(join(root, 'file'), deps));
    expect(error.message).toContain('cannot open');
  });

  it('says BUCKET_MISSING when the directory vanished, and does not make it again', async () => {
    const root = join(await temporary(), 'vault');
    const store = await FileStore.open(root, deps);
    await store.put('a/b', bytes('x'));
    await rm(root, { recursive: true });
    expect(await kindOf(store.get('a/b'))).toBe('BUCKET_MISSING');
    expect(await kindOf(store.head('a/b'))).toBe('BUCKET_MISSING');
    expect(await kindOf(store.put('a/c', bytes('y')))).toBe('BUCKET_MISSING');
    expect(await kindOf(store.delete(['a/b']))).toBe('BUCKET_MISSING');
    expect(await kindOf(listAll(store, ''))).toBe('BUCKET_MISSING');
    expect(await kindOf(listAll(store, 'a/'))).toBe('BUCKET_MISSING');
  });
});

describe('the directory of a resource', () => {
  it('is not made again when it is missing, and is named', async () => {
    const root = join(await temporary(), 'mounted');
    const opened = async (): Promise<FileStore> =>
      await FileStore.open(root, deps, undefined, 'cold_disk');
    const text =
      /^file:\/\/.*\/mounted: the directory of resource cold_disk is missing; is it mounted\?$/;
    expect(await failure(opened())).toMatchObject({
      kind: 'BUCKET_MISSING',
      message: expect.stringMatching(text),
    });
    await mkdir(root);
    const store = await opened();
    await store.put('a', bytes('x'));
    await rm(root, { recursive: true });
    expect((await failure(store.head('a'))).message).toMatch(text);
  });
});

describe('FileStore on its directory', () => {
  it('leaves no temporary file behind, nor empty directories', async () => {
    const root = await temporary();
    const store = await FileStore.open(root, deps);
    await store.put('x/y/z', bytes('1'));
    await store.put('x/y/z', bytes('2'), { ifMatch: (await store.head('x/y/z'))?.etag ?? '' });
    await kindOf(store.put('x/y/z', bytes('3'), { ifNoneMatch: '*' }));
    // The lock stays: without it another process would lock another file.
    expect(await readdir(join(root, TEMP_DIRECTORY))).toEqual([LOCK_NAME]);
    await store.delete(['x/y/z']);
    expect(await readdir(root)).toEqual([TEMP_DIRECTORY]);
  });

  it('makes the temporary directory again when somebody tidied up', async () => {
    const root = await temporary();
    const store = await FileStore.open(root, deps);
    await rm(join(root, TEMP_DIRECTORY), { recursive: true });
    const { etag } = await store.put('a', bytes('x'));
    expect(text(await store.get('a'))).toBe('x');
    const swapped = await store.put('a', bytes('y'), { ifMatch: etag });
    await rm(join(root, TEMP_DIRECTORY), { recursive: true });
    await store.put('a', bytes('z'), { ifMatch: swapped.etag });
    expect(text(await store.get('a'))).toBe('z');
  });

  it('removes temporary files of writers that died, but not those of the living', async () => {
    const root = await temporary();
    await FileStore.open(root, deps);
    await writeFile(join(root, TEMP_DIRECTORY, 'old'), 'x');
    await writeFile(join(root, TEMP_DIRECTORY, 'young'), 'x');
    await utimes(join(root, TEMP_DIRECTORY, 'old'), 1_000_000, 1_000_000);
    const store = await FileStore.open(root, deps);
    expect(await readdir(join(root, TEMP_DIRECTORY))).toEqual(['young']);
    expect(await listAll(store, '')).toEqual([]);
    await expect(store.get(`${TEMP_DIRECTORY}/young`)).rejects.toThrow(TypeError);
  });

  it('follows no symbolic link out of the vault', async () => {
    const root = await temporary();
    const outside = await temporary();
    await writeFile(join(outside, 'secret'), 'secret');
    const store = await FileStore.open(root, deps);
    await mkdir(join(root, 'dir'));
    await symlink(outside, join(root, 'dir', 'out'));
    await symlink(join(outside, 'secret'), join(root, 'link'));
    expect(await kindOf(store.get('dir/out/secret'))).toBe('ACCESS_DENIED');
    expect(await kindOf(store.get('link'))).toBe('ACCESS_DENIED');
    expect(await store.head('link')).toBeUndefined();
    expect(await kindOf(store.head('dir/out/secret'))).toBe('ACCESS_DENIED');
    expect(await kindOf(store.put('dir/out/new', bytes('x')))).toBe('ACCESS_DENIED');
    expect(await kindOf(store.delete(['dir/out/secret']))).toBe('ACCESS_DENIED');
    expect(await kindOf(listAll(store, 'dir/out/'))).toBe('ACCESS_DENIED');
    expect(await listAll(store, '')).toEqual([]);
    expect(await readdir(outside)).toEqual(['secret']);
  });

  it('may itself be reached through a symbolic link', async () => {
    const real = await temporary();
    const link = join(await temporary(), 'vault');
    await symlink(real, link);
    const store = await FileStore.open(link, deps);
    await store.put('a/b', bytes('x'));
    expect(text(await (await FileStore.open(real, deps)).get('a/b'))).toBe('x');
  });

  it('refuses an object below an object', async () => {
    const store = await FileStore.open(await temporary(), deps);
    await store.put('a', bytes('x'));
    expect(await kindOf(store.put('a/b', bytes('y')))).toBe('UNSUPPORTED');
    expect(text(await store.get('a'))).toBe('x');
  });

  it('never repeats an etag, even for equal bodies written at once', async () => {
    const store = await FileStore.open(await temporary(), deps);
    const etags = new Set<string>();
    for (let n = 0; n < 200; n += 1) etags.add((await store.put('a', bytes('same'))).etag);
    expect(etags.size).toBe(200);
  });

  it('creates once among several stores on one directory', async () => {
    const root = await temporary();
    const stores = await Promise.all(
      Array.from({ length: 6 }, async () => await FileStore.open(root, deps)),
    );
    const puts = stores.map(
      async (store) => await store.put('a', bytes('x'), { ifNoneMatch: '*' }),
    );
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a directory that is pruned while something is put there', () => {
  it.each(['realpath', 'rename'] as const)('is made again before %s', async (moment) => {
    const root = await temporary();
    let races = 0;
    const pruned = async (path: string): Promise<void> => {
      if (!path.startsWith(join(root, 'data', '7')) || races === 3) return;
      races += 1;
      await systemFiles.rmdir(join(root, 'data', '7'));
      await systemFiles.rmdir(join(root, 'data'));
    };
    const store = await FileStore.open(root, deps, {
      ...systemFiles,
      realpath: async (path) => {
        if (moment === 'realpath') await pruned(path);
        return await systemFiles.realpath(path);
      },
      rename: async (from, to) => {
        if (moment === 'rename') await pruned(to);
        await systemFiles.rename(from, to);
      },
    });
    await store.put('data/7/a.dat', bytes('x'));
    expect(text(await store.get('data/7/a.dat'))).toBe('x');
    expect(races).toBe(3);
    await store.close();
  });
});

describe('systemFiles.mkdir', () => {
  it('makes missing parents and tells the first directory made', async () => {
    const root = await temporary();
    expect(await systemFiles.mkdir(join(root, 'a', 'b', 'c'))).toBe(join(root, 'a'));
    expect(await systemFiles.mkdir(join(root, 'a', 'b', 'c'))).toBeUndefined();
    await writeFile(join(root, 'file'), '');
    expect(await errnoOfCall(systemFiles.mkdir(join(root, 'file')))).toBe('EEXIST');
    expect(await errnoOfCall(systemFiles.mkdir(join(root, 'file', 'x')))).toBe('ENOTDIR');
  });

  it('gives up where no directory can be made though the parent is there', async () => {
    if (process.platform !== 'linux') return;
    expect(await errnoOfCall(systemFiles.mkdir('/proc/thermocline-test/x'))).toBe('ENOENT');
  });
});

async function errnoOfCall(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return errnoOf(error);
  }
}
