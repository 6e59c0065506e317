/**
 * A server's catalog in a process of its own, for tests that kill it: `<dir> hold` opens it and
 * stays; `<dir> write:<salt>` writes for ever and prints each key after its commit.
 */
import { writeSync } from 'node:fs';
import { SILENT_LOG } from '../../base/ports.ts';
import { systemClock, systemRandom } from '../../base/system_ports.ts';
import { Catalog } from '../../catalog/catalog.ts';

const STDOUT = 1;
const [dir = '', mode = ''] = process.argv.slice(2);

try {
  const catalog = await Catalog.open({
    dir,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    holder: 'child',
  });
  if (mode === 'hold') {
    writeSync(STDOUT, 'ready\n');
    process.stdin.resume();
    await new Promise(() => setInterval(() => undefined, 60_000));
  }
  const [, salt] = mode.split(':');
  for (let i = 0; ; i += 1) {
    const key = `${salt}-${i}`;
    await catalog.transaction(async (tx) => {
      const group = await tx.computeGroups.create(key);
      await tx.configOverrides.set(key, String(group.computeGroupId));
    });
    writeSync(STDOUT, `${key}\n`);
  }
} catch (error) {
  const { code, message } = error as { code?: string; message?: string };
  writeSync(STDOUT, `${code} ${message}\n`);
  process.exitCode = 1;
}
