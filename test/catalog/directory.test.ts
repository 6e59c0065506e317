/** One server per data directory: lock, lease, read-only directories, kill -9. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CatalogFixture } from './fixture.ts';

const CHILD = fileURLToPath(new URL('./child_writer.ts', import.meta.url));
const NOBODY = 65_534;
const KILLS = 50;
/** A start of Node per kill, on a machine that does other things as well. */
const KILLS_TIMEOUT_MS = 180_000;
/** A child that is not heard of for this long is given up. */
const CHILD_SILENT_MS = 20_000;

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** Resolves with the next line not yet waited for; rejects when the child ended before. */
  line(): Promise<string>;
  readonly ended: Promise<unknown>;
}

function start(dir: string, mode: string, uid?: number): Child {
  const child = spawn(process.execPath, [CHILD, dir, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: CHILD_SILENT_MS,
    killSignal: 'SIGKILL',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let taken = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const next = waiting.shift();
    if (next !== undefined) {
      taken += 1;
      next(line);
    }
  });
  const ended = once(child, 'close');
  const line = (): Promise<string> => {
    const there = lines[taken];
    if (there !== undefined) {
      taken += 1;
      return Promise.resolve(there);
    }
    const came = new Promise<string>((resolve) => {
      waiting.push(resolve);
    });
    const gone = ended.then(() => {
      throw new Error(`the child ended after: ${lines.join(' | ')}`);
    });
    return Promise.race([came, gone]);
  };
  return { process: child, lines, line, ended };
}

describe('data directory', () => {
  let fixture: CatalogFixture;
  beforeEach(() => {
    fixture = new CatalogFixture();
  });
  afterEach(() => fixture.remove());

  it('is refused to a second server in the same process, naming the first', async () => {
    const catalog = await fixture.open('first:9030');
    await expect(fixture.open('second:9031')).rejects.toMatchObject({
      code: 'CATALOG_LOCKED',
      message: `data directory ${fixture.dir} is in use by another server (process ${process.pid}, first:9030)`,
    });
    await catalog.databases.create('still_works');
    await fixture.close(catalog);
    await fixture.open('second:9031');
  });

  it('is refused while another process has it, and taken over after its kill -9', async () => {
    const child = start(fixture.dir, 'hold');
    expect(await child.line()).toBe('ready');
    await expect(fixture.open()).rejects.toMatchObject({
      code: 'CATALOG_LOCKED',
      args: { holder: `process ${child.process.pid}, child` },
    });
    child.process.kill('SIGKILL');
    await child.ended;
    expect(readFileSync(join(fixture.dir, 'server.pid'), 'utf8')).toContain(
      String(child.process.pid),
    );
    const catalog = await fixture.open();
    expect(catalog.epoch).toBe(2);
  });

  it('that cannot be written is refused with its name', async () => {
    await fixture.close(await fixture.open());
    chmodSync(fixture.dir, 0o555);
    try {
      // root may write everywhere: then a child of nobody tries.
      const child = start(fixture.dir, 'hold', process.getuid?.() === 0 ? NOBODY : undefined);
      expect(await child.line()).toMatch(
        /^CATALOG_NOT_WRITABLE data directory \S+ cannot be written: EACCES/,
      );
      await child.ended;
    } finally {
      chmodSync(fixture.dir, 0o755);
    }
  });

  it('with a catalog file that cannot be written is refused', async () => {
    await fixture.close(await fixture.open());
    chmodSync(fixture.dir, 0o777);
    const file = join(fixture.dir, 'catalog.db');
    chmodSync(file, 0o444);
    chmodSync(join(fixture.dir, 'server.lock'), 0o666);
    const child = start(fixture.dir, 'hold', process.getuid?.() === 0 ? NOBODY : undefined);
    expect(await child.line()).toMatch(/^CATALOG_READ_ONLY the catalog is read only/);
    await child.ended;
  });

  it('that cannot be made is refused with its name', async () => {
    await expect(new CatalogFixture('/dev/null/x').open()).rejects.toMatchObject({
      code: 'CATALOG_NOT_WRITABLE',
    });
  });

  it(
    'loses nothing acknowledged in 50 kills -9 of a write loop',
    async () => {
      const acknowledged = new Set<string>();
      for (let kill = 0; kill < KILLS; kill += 1) {
        const child = start(fixture.dir, `write:${kill}`);
        // A different number of acknowledged writes each time, so that the kill falls anywhere.
        for (let writes = 0; writes <= kill % 7; writes += 1) await child.line();
        child.process.kill('SIGKILL');
        await child.ended;
        for (const line of child.lines) acknowledged.add(line);
      }
      expect(acknowledged.size).toBeGreaterThanOrEqual(KILLS);
      const catalog = await fixture.open();
      const there = await catalog.configOverrides.all();
      expect([...acknowledged].filter((line) => there[line] === undefined)).toEqual([]);
      expect(fixture.raw((db) => db.pragma('integrity_check', { simple: true }))).toBe('ok');
      // Each write takes an id: none was given twice.
      const ids = Object.values(there);
      expect(new Set(ids).size).toBe(ids.length);
      expect(catalog.epoch).toBe(KILLS + 1);
    },
    KILLS_TIMEOUT_MS,
  );
});

describe('lease', () => {
  let fixture: CatalogFixture;
  beforeEach(() => {
    fixture = new CatalogFixture();
  });
  afterEach(() => fixture.remove());

  it('rises with every start, and every transaction counts', async () => {
    const first = await fixture.open();
    expect(first.epoch).toBe(1);
    const second = await fixture.reopen(first);
    expect(second.epoch).toBe(2);
    const seq = () =>
      fixture.raw((db) => db.prepare('SELECT epoch, seq, holder FROM lease').get()) as object;
    expect(seq()).toEqual({ epoch: 2, seq: 0, holder: 'test' });
    await second.databases.create('d');
    expect(seq()).toEqual({ epoch: 2, seq: 1, holder: 'test' });
  });

  it('that somebody else took fails every transaction of this server, with nothing changed', async () => {
    const catalog = await fixture.open();
    fixture.raw((db) => db.exec("UPDATE lease SET epoch = 7, seq = 0, holder = 'other:9030'"));
    const lost = {
      code: 'CATALOG_LEASE_LOST',
      message:
        'another server (other:9030) has taken over the catalog (its epoch 7, ours 1); this one changes nothing any more',
    };
    await expect(catalog.databases.create('d')).rejects.toMatchObject(lost);
    await expect(catalog.transaction(async (tx) => tx.garbage.claim(1, 1))).rejects.toMatchObject(
      lost,
    );
    expect(await catalog.databases.list()).toEqual([]);
  });
});
