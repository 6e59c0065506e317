/** Where a path lies, by its text: links are not followed. */
import { resolve, sep } from 'node:path';

/** Whether it is the directory itself or something below it. */
export function isInsideDirectory(path: string, directory: string): boolean {
  const [asked, own] = [resolve(path), resolve(directory)];
  return asked === own || asked.startsWith(own.endsWith(sep) ? own : own + sep);
}
