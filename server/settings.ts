/** Where settings come from: the file, then the environment, then `--set`; later ones win. */
import { readFileSync } from 'node:fs';
import { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';

const ENVIRONMENT_PREFIX = 'THERMOCLINE_';
/** No setting: main shows stacks of failed starts when it is there. */
const DEBUG_VARIABLE = 'THERMOCLINE_DEBUG';

export interface SettingSources {
  /** Path of a `key = value` file, `#` starts a comment (the form of Doris's fe.conf). */
  readonly file?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `key=value` each. */
  readonly assignments: readonly string[];
}

/** Throws `UsageError` that names the source and the key. */
export function readSettings(sources: SettingSources): Config {
  const values: Record<string, string> = {};
  const origin: Record<string, string> = {};
  const put = (key: string, value: string, from: string): void => {
    values[key] = value;
    origin[key] = from;
  };
  if (sources.file !== undefined) readFile(sources.file, put);
  for (const [name, value] of Object.entries(sources.environment)) {
    if (!name.startsWith(ENVIRONMENT_PREFIX) || value === undefined) continue;
    if (name === DEBUG_VARIABLE) continue;
    put(name.slice(ENVIRONMENT_PREFIX.length).toLowerCase(), value, `environment ${name}`);
  }
  for (const assignment of sources.assignments) {
    const equals = assignment.indexOf('=');
    if (equals <= 0) throw new UsageError(`--set ${assignment}: expected key=value`);
    put(assignment.slice(0, equals).trim(), assignment.slice(equals + 1), '--set');
  }
  for (const [key, value] of Object.entries(values)) check(key, value, origin[key] ?? '');
  return new Config(values);
}

/** A mistake of whoever started the program: one line on stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

function check(key: string, value: string, from: string): void {
  try {
    void new Config({ [key]: value });
  } catch (error) {
    if (error instanceof SqlError) throw new UsageError(`${from}: ${error.message}`);
    throw error;
  }
}

function readFile(path: string, put: (key: string, value: string, from: string) => void): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--config ${path}: ${(error as Error).message}`);
  }
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.replace(/(^|\s)#.*$/, '').trim();
    if (content === '') continue;
    const equals = content.indexOf('=');
    if (equals <= 0) throw new UsageError(`${path}:${index + 1}: expected key = value`);
    const key = content.slice(0, equals).trim();
    put(key, content.slice(equals + 1).trim(), `${path}:${index + 1}`);
  }
}
