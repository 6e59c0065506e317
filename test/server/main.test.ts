import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ProgramRun, runProgram, until } from '../e2e/server_process.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'thermocline-main-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

it('ends in order when the signal comes while it is still starting', async () => {
  const ports = ['--mysql-port', '0', '--http-port', '0'];
  const run = new ProgramRun(['serve', '--data-dir', dir, ...ports]);
  // The lock is taken with the first thing that a start does, long before the server is ready.
  await until('the lock', () => existsSync(join(dir, 'server.pid')) || !run.running);
  run.child.kill('SIGTERM');
  expect(await run.ended).toMatchObject({ code: 0, signal: null });
  expect(await readdir(dir)).not.toContain('server.pid');
});

it('says which command was meant', async () => {
  const ended = await runProgram(['sevre'], { cwd: dir });
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toContain("unknown command 'sevre'; did you mean 'serve'?");
  expect(await readdir(dir)).toEqual([]);
});
