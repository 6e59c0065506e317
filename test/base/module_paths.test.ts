import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const run = promisify(execFile);
const HOOK = new URL('../../base/module_paths.ts', import.meta.url).href;

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'module-paths-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** What a process says that loads `file` after the hook is there. */
async function load(file: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const url = pathToFileURL(join(dir, file)).href;
  const program = `import { shortenModulePaths } from '${HOOK}'; shortenModulePaths(); await import('${url}');`;
  try {
    return await run(process.execPath, ['--input-type=module', '-e', program]);
  } catch (error) {
    return error as { readonly stdout: string; readonly stderr: string };
  }
}

describe('shortenModulePaths', () => {
  it('finds files of both kinds, from folders beside and below, and what Node has', async () => {
    await writeFile(join(dir, 'one.ts'), 'export const one: number = 1;\n');
    await writeFile(join(dir, 'two.mjs'), "export { one as two } from './one.ts';\n");
    await writeFile(
      join(dir, 'main.ts'),
      "import { one } from './one.ts';\nimport { two } from './two.mjs';\n" +
        "import { join } from 'node:path';\nimport { createRequire } from 'node:module';\n" +
        "const sql = createRequire(import.meta.url)('node:sqlite');\n" +
        "console.log(join('a', 'b'), one + two, typeof sql.DatabaseSync);\n",
    );
    expect((await load('main.ts')).stdout).toBe('a/b 2 function\n');
  });

  it('names a file that is not there', async () => {
    await writeFile(join(dir, 'wrong.ts'), "import { x } from './nowhere.ts';\nconsole.log(x);\n");
    expect((await load('wrong.ts')).stderr).toContain(join(dir, 'nowhere.ts'));
  });
});
