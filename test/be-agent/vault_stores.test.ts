import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { FrontendPort } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { type VaultId, id } from '../../base/ids.ts';
import { isInsideDirectory } from '../../base/inside_directory.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { systemClock, systemRandom } from '../../base/system_ports.ts';
import { VaultStores } from '../../be-agent/vault_stores.ts';

const VAULT = id<VaultId>(1);

let dir: string;
let path: string;
let stores: VaultStores;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'thermocline-vaults-'));
  const frontend: FrontendPort = {
    call: async () => await Promise.resolve({ kind: 'file', path } as never),
  };
  const deps = { config: new Config(), clock: systemClock, random: systemRandom, log: SILENT_LOG };
  stores = new VaultStores(frontend, join(dir, 'backend'), deps);
});
afterEach(async () => {
  await stores.close();
  rmSync(dir, { recursive: true });
});

describe('the stores of a backend', () => {
  it('are not in its own directory, where it deletes what it does not know', async () => {
    for (const inside of ['backend', 'backend/storage', 'x/../backend/bucket']) {
      path = `${dir}/${inside}`;
      await expect(stores.get(VAULT)).rejects.toThrow(/inside the data directory of a backend/);
    }
  });

  it('may be beside it, and a failure is not remembered', async () => {
    path = join(dir, 'backend', 'bucket');
    await expect(stores.get(VAULT)).rejects.toMatchObject({ kind: 'ACCESS_DENIED' });
    path = join(dir, 'backend-bucket');
    expect((await stores.get(VAULT)).url).toContain('backend-bucket');
  });
});

describe('a path', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/a/b/../../c', '/a', false],
    ['/ab', '/a', false],
    ['/a', '/', true],
  ])('%s is inside %s: %s', (asked, directory, expected) => {
    expect(isInsideDirectory(asked, directory)).toBe(expected);
  });
});
