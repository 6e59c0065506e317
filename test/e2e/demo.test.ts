/** `thermocline demo`, as somebody without a terminal sees it. */
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { runProgram } from './server_process.ts';

const GOLDEN = new URL('../golden/e2e/demo.txt', import.meta.url);

async function leftovers(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('thermocline-demo-'));
}

it('prints what happened and ends with exit code 0 (UPDATE_GOLDEN=1 writes the golden file)', async () => {
  const before = await leftovers();
  const { code, stdout, stderr } = await runProgram(['demo']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const text = stdout.replaceAll(/\d+\.\d\d s/g, '<seconds> s').replaceAll(/job \d+/g, 'job <id>');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, text);
  expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
  expect(stdout).toMatch(/requests to the object store: before [1-9]\d*, after 0\n/);
  expect((await leftovers()).filter((name) => !before.includes(name))).toEqual([]);
});
