/** Which backend a process becomes that registers. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Config } from '../../base/config.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { PROTOCOL, type RegisterRequest } from '../../base/remote_messages.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { Admission } from '../../server/agent_gateway.ts';
import { admitBackend } from '../../server/remote_backends.ts';
import { CatalogFixture } from '../catalog/fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  await catalog.computeGroups.create('g');
});
afterEach(async () => {
  await fixture.remove();
});

async function register(process: string, httpPort: number): Promise<Admission> {
  const request: RegisterRequest = {
    protocol: PROTOCOL,
    process,
    host: '127.0.0.1',
    httpPort,
    computeGroup: 'g',
  };
  const clusterId = 'c';
  const deps = { catalog, config: new Config(), log: SILENT_LOG, clusterId, isAlive: () => false };
  return await admitBackend(deps, request, '127.0.0.1');
}

async function idOf(process: string, httpPort: number): Promise<number> {
  const admission = await register(process, httpPort);
  if (admission.status !== 'OK') throw new Error(admission.why);
  return admission.backendId;
}

describe('new processes on one machine', () => {
  it('that take any free port each become a backend, also before they have one', async () => {
    const ids = [await idOf('one', 0), await idOf('two', 0), await idOf('three', 0)];
    expect(new Set(ids).size).toBe(3);
  });

  it('whose first answer got lost stay the same backend', async () => {
    expect(await idOf('one', 0)).toBe(await idOf('one', 0));
    expect(await idOf('two', 8040)).toBe(await idOf('two', 8040));
  });

  it('are the backend that was added under their address', async () => {
    const added = await catalog.backends.create({
      computeGroupName: 'g',
      kind: 'remote',
      host: '127.0.0.1',
      httpPort: 8041,
    });
    expect(await idOf('one', 8041)).toBe(added.backendId);
  });
});
