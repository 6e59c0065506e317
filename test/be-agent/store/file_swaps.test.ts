/** Compare-and-set of a directory among stores, threads of work and processes, kill -9 included. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { FileStore } from '../../../be-agent/store/file_store.ts';
import { LOCK_NAME, TEMP_DIRECTORY } from '../../../be-agent/store/file_temps.ts';
import { bytes, kindOf, text } from './contract.ts';
import { addEntries, entriesOf } from './swap_entries.ts';

const CHILD = join(import.meta.dirname, 'swap_child.ts');
const KEY = 'data/1/HEAD';
const made: string[] = [];
const children: ChildProcess[] = [];

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of made) await rm(directory, { recursive: true, force: true });
});

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'thermocline-swaps-'));
  made.push(directory);
  return directory;
}

async function open(root: string, timeoutMs = 30_000): Promise<FileStore> {
  const limits = () => ({ retries: 0, timeoutMs });
  return await FileStore.open(root, { clock: systemClock, random: systemRandom, limits });
}

function start(root: string, name: string, entries: number): ChildProcess {
  const child = spawn(process.execPath, [CHILD, root, KEY, name, String(entries)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

function wanted(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts).flatMap(([name, count]) =>
    Array.from({ length: count }, (_, n) => `${name}${n}`),
  );
}

describe('compare-and-set of a directory', () => {
  it('loses no entry of several stores in one process', async () => {
    const root = await temporary();
    const stores = await Promise.all([open(root), open(root), open(root)]);
    await stores[0].put(KEY, bytes('start'));
    await Promise.all(stores.map((store, at) => addEntries(store, KEY, `s${at}-`, 30)));
    const [first, ...entries] = await entriesOf(stores[0], KEY);
    expect(first).toBe('start');
    expect(entries.sort()).toEqual(wanted({ 's0-': 30, 's1-': 30, 's2-': 30 }).sort());
    for (const store of stores) await store.close();
  });

  it('loses no entry of several processes', async () => {
    const root = await temporary();
    const store = await open(root);
    await store.put(KEY, bytes('start'));
    const running = ['a', 'b', 'c'].map((name) => start(root, name, 40));
    await addEntries(store, KEY, 'own', 40);
    for (const child of running) {
      if (child.exitCode === null) await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    }
    const [, ...entries] = await entriesOf(store, KEY);
    expect(entries.sort()).toEqual(wanted({ a: 40, b: 40, c: 40, own: 40 }).sort());
    await store.close();
  }, 60_000);

  it('goes on when a process is killed at any moment, and loses nothing it had confirmed', async () => {
    const root = await temporary();
    const store = await open(root);
    await store.put(KEY, bytes('start'));
    let confirmed = 0;
    for (let round = 0; round < 3; round += 1) {
      const child = start(root, `r${round}-`, 1_000_000);
      let entries = 0;
      child.stdout?.on('data', (dots: Buffer) => {
        entries += dots.length;
        if (entries > 20) child.kill('SIGKILL');
      });
      await once(child, 'close');
      confirmed += entries;
      await addEntries(store, KEY, `mine${round}-`, 5);
    }
    const [, ...entries] = await entriesOf(store, KEY);
    const theirs = entries.filter((entry) => entry.startsWith('r'));
    expect(new Set(entries).size).toBe(entries.length);
    expect(entries.length - theirs.length).toBe(15);
    // Those after the last dot that came out are there or not; none before it is lost.
    expect(theirs.length).toBeGreaterThanOrEqual(confirmed);
    await store.close();
  }, 60_000);

  it('gives up when another one holds the lock for too long, and has changed nothing', async () => {
    const root = await temporary();
    const store = await open(root, 60);
    const { etag } = await store.put(KEY, bytes('old'));
    const holder = new Database(join(root, TEMP_DIRECTORY, LOCK_NAME));
    holder.exec('BEGIN EXCLUSIVE');
    expect(await kindOf(store.put(KEY, bytes('new'), { ifMatch: etag }))).toBe('UNAVAILABLE');
    expect(text(await store.get(KEY))).toBe('old');
    // Creating and replacing without a condition need no lock.
    await store.put('other', bytes('x'), { ifNoneMatch: '*' });
    holder.exec('ROLLBACK');
    await store.put(KEY, bytes('new'), { ifMatch: etag });
    expect(text(await store.get(KEY))).toBe('new');
    holder.close();
    await store.close();
  });
});
