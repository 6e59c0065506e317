/** START, STOP and KILL of a backend whose process is somebody else's. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

let fixture: ShowFixture;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  await fixture.catalog.computeGroups.create('g');
  const place = { computeGroupName: 'g', host: 'be.example', httpPort: 8040 };
  await fixture.catalog.backends.create({ ...place, kind: 'remote' });
});
afterEach(async () => {
  await fixture.close();
});

it.each([
  ['START', 'run "thermocline backend" on be.example with its data directory and --http-port 8040'],
  [
    'STOP',
    'send SIGTERM to the process on be.example that listens on 8040; to be rid of it for good, ALTER SYSTEM DECOMMISSION BACKEND first',
  ],
  ['KILL', 'kill the process on be.example that listens on 8040'],
])('%s is not supported, and says what to do instead', async (verb, instead) => {
  const [backend] = await fixture.catalog.backends.list();
  const id = backend?.backendId;
  expect(await fixture.error(`ALTER SYSTEM ${verb} BACKEND "be.example:8040"`)).toBe(
    `1235 not supported yet: ${verb} of backend ${id}, whose process is not the server's (${instead})`,
  );
});
