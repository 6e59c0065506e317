/** Programs that a bench starts beside the server: pinned, logged to a file, ended with the bench. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import type { BenchContext } from './bench.ts';

const STOP_TIMEOUT_MS = 10_000;

/** `command` on one core only; on all without a number. */
export function pinned(core: number | undefined, command: readonly string[]): readonly string[] {
  return core === undefined ? command : ['taskset', '-c', String(core), ...command];
}

/** Starts a daemon whose output goes to `logFile`; it ends with the bench. */
export function startDaemon(
  context: BenchContext,
  [program = '', ...args]: readonly string[],
  logFile: string,
): ChildProcess {
  const log = openSync(logFile, 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log] });
  closeSync(log);
  // A failed start shows as a daemon that nobody can reach; without a listener it would be thrown.
  child.on('error', () => undefined);
  context.defer(async () => {
    await stopChild(child);
  });
  return child;
}

/** SIGTERM, and SIGKILL when that is not enough. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
