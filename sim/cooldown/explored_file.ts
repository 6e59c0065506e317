/** An exploration in a file, so that a long one can be stopped and go on. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { type Saved, type Scenario, explore } from './explorer.ts';

export function writeSaved(file: string, saved: Saved): void {
  writeFileSync(`${file}.new`, serialize(saved));
  renameSync(`${file}.new`, file);
}

/** undefined: there is no such file. Throws when it is of another version of the code. */
export function readSaved(file: string, expectedEnd: string | undefined): Saved | undefined {
  if (!existsSync(file)) return undefined;
  const saved = deserialize(readFileSync(file)) as Saved;
  if (saved.plainEnd === expectedEnd) return saved;
  throw new Error(`${file} is of another version of the code, or of another scope`);
}

/** The state in which the scenario ends when nothing goes wrong. */
export async function plainEnd(scenario: Scenario): Promise<string | undefined> {
  const { ends } = await explore(scenario, { deviationsMax: 0 });
  return [...ends][0];
}
