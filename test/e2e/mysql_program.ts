/** The mysql program, as scripts use it: one statement, its output and its exit code. */
import { spawn } from 'node:child_process';
import { programPath } from '../clients/programs.ts';

export interface ProgramAnswer {
  /** null: ended by a signal. */
  readonly code: number | null;
  /** stdout, then stderr. */
  readonly output: string;
}

/** `mysql -e` as root; `options` come before it, so that `-u` among them wins. */
export async function mysqlProgram(
  port: number,
  statement: string,
  options: readonly string[] = [],
): Promise<ProgramAnswer> {
  const program = programPath('mysql');
  if (program === undefined) throw new Error('there is no mysql program');
  const address = ['-h127.0.0.1', `-P${port}`, '-uroot', '--protocol=tcp'];
  const child = spawn(program, ['--no-defaults', ...address, ...options, '-e', statement], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  return { code: await promise, output: stdout + stderr };
}
