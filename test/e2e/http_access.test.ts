/** Who may do what over HTTP: users, the token, this machine, pages in a browser. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { request as fetchRequest } from 'undici';
import { ServerProcess, runProgram } from './server_process.ts';

const TOKEN = 'a-token-of-this-installation';

let server: ServerProcess;
let backendPort = 0;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--set', `http_bearer_token=${TOKEN}`] });
  backendPort = Number((await server.sql('SHOW BACKENDS'))[0]?.['HttpPort']);
  await server.sql("CREATE USER plain IDENTIFIED BY 'plain', operator IDENTIFIED BY 'op'");
  await server.sql('GRANT NODE_PRIV ON *.* TO operator');
});
afterAll(async () => {
  await server.stop();
});

const LIST = '/api/file_cache?op=list_cache&value=x';

async function get(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const asked = request({ host: '127.0.0.1', port, path, headers }, (answer) => {
    answer.resume();
    answer.once('end', () => {
      resolve(answer.statusCode ?? 0);
    });
  });
  asked.once('error', reject);
  asked.end();
  return await promise;
}

function basic(user: string, password: string): Record<string, string> {
  const text = Buffer.from(`${user}:${password}`).toString('base64');
  return { authorization: `Basic ${text}` };
}

describe('the cache of a backend', () => {
  it('is open to this machine while root has no password, but to no page in a browser', async () => {
    expect(await get(backendPort, LIST)).toBe(200);
    expect(await get(backendPort, '/api/warmup_event_driven_stats')).toBe(200);
    expect(await get(backendPort, LIST, { 'sec-fetch-site': 'cross-site' })).toBe(401);
    expect(await get(backendPort, LIST, { origin: 'http://evil.example' })).toBe(401);
    expect(await get(backendPort, LIST, { host: 'evil.example:8040' })).toBe(401);
  });

  it('asks the server who may', async () => {
    expect(await get(backendPort, LIST, basic('root', ''))).toBe(200);
    expect(await get(backendPort, LIST, basic('operator', 'op'))).toBe(200);
    expect(await get(backendPort, LIST, basic('plain', 'plain'))).toBe(403);
    expect(await get(backendPort, LIST, basic('plain', 'wrong'))).toBe(401);
    expect(await get(backendPort, LIST, basic('nobody', 'x'))).toBe(401);
    expect(await get(backendPort, LIST, { authorization: `Bearer ${TOKEN}` })).toBe(200);
    expect(await get(backendPort, LIST, { authorization: 'Bearer wrong' })).toBe(401);
    expect(await get(backendPort, LIST, { authorization: 'Digest x' })).toBe(401);
  });

  it('is closed to who says nothing when root has a password', async () => {
    await server.sql("SET PASSWORD = 'Root.1'");
    try {
      expect(await get(backendPort, LIST)).toBe(401);
      expect(await get(backendPort, LIST, basic('root', ''))).toBe(401);
      expect(await get(backendPort, LIST, basic('root', 'Root.1'))).toBe(200);
      expect(await get(backendPort, LIST, { authorization: `Bearer ${TOKEN}` })).toBe(200);
      expect(await get(backendPort, '/metrics')).toBe(200);
      expect(await get(backendPort, '/api/health')).toBe(200);
      expect(await get(server.httpPort, '/metrics')).toBe(200);
      expect(await get(server.httpPort, '/metrics', { origin: 'http://evil.example' })).toBe(401);
    } finally {
      await server.sql("SET PASSWORD = ''");
    }
  });
});

describe('the token', () => {
  it('is never shown', async () => {
    expect(await server.row("SHOW CONFIG LIKE 'http_bearer_token'")).toMatchObject({
      Value: '******',
    });
    expect(server.stderr).not.toContain(TOKEN);
    const set = (value: string, more = ''): string =>
      `ADMIN SET FRONTEND CONFIG ("http_bearer_token" = "${value}"${more})`;
    const short = await server.error(set('short'));
    expect(short).toMatchObject({ errno: 1105 });
    expect(short.message).not.toContain('short');
    // The catalog would have it in clear.
    expect(await server.error(set('another-token-12345', ', "persist" = "true"'))).toMatchObject({
      errno: 1235,
    });
  });
});

describe('a stream load', () => {
  it('needs LOAD on the table, and USAGE of a group that is named', async () => {
    await server.sql('CREATE DATABASE d');
    await server.sql('CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1');
    const load = async (named: Readonly<Record<string, string>>): Promise<unknown> => {
      const options = {
        method: 'PUT' as const,
        headers: { format: 'csv', ...basic('plain', 'plain'), ...named },
        body: '1\n2\n',
      };
      const url = `http://127.0.0.1:${server.httpPort}/api/d/t/_stream_load`;
      const first = await fetchRequest(url, options);
      const { location } = first.headers;
      if (typeof location !== 'string') return await first.body.json();
      await first.body.dump();
      return await (await fetchRequest(location, options)).body.json();
    };
    expect(await load({})).toMatchObject({ Status: 'Fail', ErrorCode: 1142 });
    await server.sql('GRANT LOAD_PRIV ON d.t TO plain');
    expect(await load({ compute_group: 'read_group' })).toMatchObject({
      Status: 'Fail',
      ErrorCode: 1227,
    });
    expect(await load({})).toMatchObject({ Status: 'Success', NumberLoadedRows: 2 });
    await server.sql("GRANT USAGE_PRIV ON COMPUTE GROUP 'read_group' TO plain");
    expect(await load({ compute_group: 'read_group' })).toMatchObject({ Status: 'Success' });
  });
});

describe('root without a password', () => {
  it('is warned of at the start', () => {
    expect(server.stderr).toContain('root has no password');
  });

  it('and a port that other machines reach do not go together', async () => {
    const args = ['serve', '--data-dir', `${server.dataDir}/other`, '--host', '0.0.0.0'];
    const ports = ['--mysql-port', '0', '--http-port', '0'];
    const refused = await runProgram([...args, ...ports]);
    expect(refused.code).toBe(1);
    expect(refused.stderr.trim().split('\n').at(-1)).toBe(
      'thermocline: root has no password, and 0.0.0.0 can be reached from other machines: ' +
        'set initial_root_password (or allow_empty_root_password=true)',
    );
    expect(refused.stdout).toBe('');
  });

  it('gets its first password from a setting', async () => {
    const other = await ServerProcess.start({
      args: ['--host', '0.0.0.0', '--set', 'initial_root_password=First.1'],
    });
    try {
      await expect(other.connect()).rejects.toMatchObject({ errno: 1045 });
      const root = await other.connect({ password: 'First.1' });
      await root.query('SELECT 1');
      expect(other.stderr).not.toContain('First.1');
    } finally {
      await other.stop();
    }
  });
});
