/** Starts that cannot succeed: one line on stderr, the exit code, and nothing touched. */
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { programPath } from '../clients/programs.ts';
import { type Ended, ServerProcess, runProgram } from './server_process.ts';

let server: ServerProcess;
let dir: string;

beforeAll(async () => {
  server = await ServerProcess.start();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'thermocline-e2e-'));
  await chmod(dir, 0o755);
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const PORTS = ['--mysql-port', '0', '--http-port', '0'];

async function serve(...args: string[]): Promise<Ended> {
  return await runProgram(['serve', '--data-dir', join(dir, 'data'), ...PORTS, ...args]);
}

/** stderr without log lines, which are JSON. */
function said({ stderr }: Ended): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}

function expectFailure(ended: Ended, code: number, text: RegExp | string): void {
  expect(said(ended)).toEqual([expect.stringMatching(text)]);
  expect(ended).toMatchObject({ code, stdout: '' });
}

describe('wrong arguments', () => {
  it.each<[string, string[], RegExp]>([
    [
      'an unknown setting',
      ['--set', 'query_timeot=5'],
      /--set: Config 'query_timeot' does not exist; did you mean 'query_timeout'/,
    ],
    [
      'a wrong value',
      ['--set', 'query_timeout=soon'],
      /--set: Invalid value 'soon' for config 'query_timeout'; allowed: a whole number/,
    ],
    [
      'a setting without a value',
      ['--set', 'query_timeout'],
      /--set query_timeout: expected key=value/,
    ],
    [
      'a file that is not there',
      ['--config', '/nonexistent/conf'],
      /--config \/nonexistent\/conf: ENOENT/,
    ],
    [
      'wrong groups',
      ['--embedded', 'write_group'],
      /--embedded write_group: expected group=backends/,
    ],
    ['too many backends', ['--embedded', 'g=99'], /--embedded g=99: expected/],
    ['the same group twice', ['--embedded', 'g=1,g=2'], /--embedded g=1,g=2: expected/],
    [
      'a port that is none',
      ['--mysql-port', '70000'],
      /--mysql-port 70000: allowed are 0 to 65535/,
    ],
    [
      'a port that is no number',
      ['--http-port', 'http'],
      /--http-port http: allowed are 0 to 65535/,
    ],
  ])('%s: exit code 2 and one line', async (_, args, text) => {
    expectFailure(await serve(...args), 2, text);
    expect(await readdir(dir)).toEqual([]);
  });

  it('an unknown option or command: exit code 2, and where help is', async () => {
    const option = await serve('--nosuch');
    expect(option).toMatchObject({ code: 2, stdout: '' });
    expect(option.stderr).toContain("unknown option '--nosuch'");
    const command = await runProgram(['nosuch'], { cwd: dir });
    expect(command).toMatchObject({ code: 2, stdout: '' });
    expect(command.stderr).toMatch(/nosuch/);
    expect(await readdir(dir)).toEqual([]);
  });

  it('names the line of a configuration file', async () => {
    const file = join(dir, 'c.conf');
    await writeFile(file, '# settings\nquery_timeout = 5\nquery_timeout\n');
    expectFailure(await serve('--config', file), 2, /c\.conf:3: expected key = value/);
    await writeFile(file, 'no_such_key = 5\n');
    expectFailure(
      await serve('--config', file),
      2,
      /c\.conf:1: Config 'no_such_key' does not exist/,
    );
  });

  it('names the variable of the environment', async () => {
    const args = ['serve', '--data-dir', join(dir, 'data'), ...PORTS];
    const wrong = await runProgram(args, { env: { THERMOCLINE_QUERY_TIMEOUT: 'x' } });
    expectFailure(wrong, 2, /environment THERMOCLINE_QUERY_TIMEOUT: Invalid value 'x'/);
  });

  it('help and version are no failures', async () => {
    const help = await runProgram(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('serve');
    expect(help.stdout).toContain('demo');
    const version = await runProgram(['--version']);
    expect(version).toMatchObject({ code: 0, stderr: '' });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('a data directory', () => {
  it('in use by another server is refused, and the other goes on', async () => {
    const ended = await runProgram(['serve', '--data-dir', server.dataDir, ...PORTS]);
    expectFailure(ended, 1, `data directory ${server.dataDir} is in use by another server`);
    await server.sql('CREATE DATABASE still_there');
    await server.kill9();
    // A lock whose holder is dead holds nobody up.
    await server.launch();
    expect((await server.sql("SHOW DATABASES LIKE 'still_there'")).length).toBe(1);
  });

  it('that is a file is refused', async () => {
    await writeFile(join(dir, 'data'), 'text');
    expectFailure(await serve(), 1, /data directory .* cannot be written/);
    expect(await readFile(join(dir, 'data'), 'utf8')).toBe('text');
  });

  const setpriv = programPath('setpriv');
  const mayChangeUser = setpriv !== undefined && process.getuid?.() === 0;
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];

  (mayChangeUser || process.getuid?.() !== 0 ? it : it.skip)(
    'that is read-only is refused',
    async () => {
      const data = join(dir, 'data');
      await mkdir(data, { mode: 0o555 });
      const asOther = mayChangeUser ? { setpriv: nobody } : {};
      const ended = await runProgram(['serve', '--data-dir', data, ...PORTS], asOther);
      expectFailure(ended, 1, /data directory .* cannot be written: .*EACCES/);
      expect(await readdir(data)).toEqual([]);
    },
  );

  (mayChangeUser || process.getuid?.() !== 0 ? it : it.skip)(
    'with a catalog that is read-only is refused',
    async () => {
      const data = join(dir, 'data');
      const first = await ServerProcess.start({ dataDir: data });
      await first.sql('CREATE DATABASE kept');
      expect(await first.terminate()).toBe(0);
      const asOther = mayChangeUser ? { setpriv: nobody } : {};
      if (!mayChangeUser) await chmod(join(data, 'catalog.db'), 0o444);
      const ended = await runProgram(['serve', '--data-dir', data, ...PORTS], asOther);
      expect(ended.code).toBe(1);
      expect(said(ended)).toHaveLength(1);
      if (!mayChangeUser) await chmod(join(data, 'catalog.db'), 0o644);
      const again = await ServerProcess.start({ dataDir: data });
      expect((await again.sql("SHOW DATABASES LIKE 'kept'")).length).toBe(1);
      await again.stop();
    },
  );

  it('with a catalog of a newer program is refused and not touched', async () => {
    const data = join(dir, 'data');
    const first = await ServerProcess.start({ dataDir: data });
    expect(await first.terminate()).toBe(0);
    const file = new Database(join(data, 'catalog.db'));
    file
      .prepare("INSERT INTO schema_version (version, name, applied_ms) VALUES (9999, 'x', 0)")
      .run();
    file.close();
    expectFailure(
      await serve(),
      1,
      /schema version 9999, this program knows versions up to \d+; start a newer program/,
    );
  });

  it('with a damaged catalog is refused', async () => {
    const data = join(dir, 'data');
    await mkdir(data);
    await writeFile(
      join(data, 'catalog.db'),
      'this is no database, and long enough to be seen as one'.repeat(50),
    );
    expectFailure(await serve(), 1, /catalog/);
  });
});

describe('a port in use', () => {
  it.each(['--mysql-port', '--http-port'])('%s: exit code 1 and which one', async (option) => {
    const holder = createServer();
    await new Promise<void>((resolve) => {
      holder.listen(0, '127.0.0.1', resolve);
    });
    const { port } = holder.address() as AddressInfo;
    try {
      expectFailure(
        await serve(option, String(port)),
        1,
        new RegExp(`127\\.0\\.0\\.1:${port}.*(in use|uses this port)`),
      );
    } finally {
      holder.close();
    }
    // Nothing half done: the same directory starts.
    const again = await ServerProcess.start({ dataDir: join(dir, 'data') });
    expect((await again.sql('SHOW BACKENDS')).length).toBe(4);
    await again.stop();
  });
});

describe('--embedded', () => {
  it('makes the groups of an empty directory, or none', async () => {
    const first = await ServerProcess.start({
      dataDir: join(dir, 'a'),
      args: ['--embedded', 'x=1,y=0'],
    });
    expect(await first.sql('SHOW COMPUTE GROUPS')).toMatchObject([{ Name: 'x' }, { Name: 'y' }]);
    await first.stop();
    const none = await ServerProcess.start({
      dataDir: join(dir, 'b'),
      args: ['--embedded', 'none'],
    });
    expect(await none.sql('SHOW COMPUTE GROUPS')).toEqual([]);
    await none.sql('CREATE COMPUTE GROUP z');
    await none.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP z');
    expect((await none.sql('SHOW BACKENDS')).length).toBe(1);
    await none.stop();
  });
});

it('settings come from the file, the environment and --set, the last one wins', async () => {
  const config = join(dir, 'c.conf');
  await writeFile(config, 'query_timeout = 11 # seconds\nmax_connections = 12\nwait_timeout=13\n');
  const set = await ServerProcess.start({
    dataDir: join(dir, 'data'),
    args: ['--config', config, '--set', 'wait_timeout=15'],
    env: {
      THERMOCLINE_MAX_CONNECTIONS: '14',
      THERMOCLINE_WAIT_TIMEOUT: '14',
      THERMOCLINE_DEBUG: '1',
    },
  });
  const rows = await set.sql('ADMIN SHOW FRONTEND CONFIG');
  const value = (key: string): unknown => rows.find((row) => row['Key'] === key)?.['Value'];
  expect(['query_timeout', 'max_connections', 'wait_timeout'].map(value)).toEqual([
    '11',
    '14',
    '15',
  ]);
  await set.stop();
});
