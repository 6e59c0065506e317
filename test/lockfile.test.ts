import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Dependencies = Readonly<Record<string, string>>;
type Locked = Readonly<{
  version?: string;
  dependencies?: Dependencies;
  devDependencies?: Dependencies;
  optionalDependencies?: Dependencies;
}>;

const packages = (
  JSON.parse(readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Locked>>;
  }
).packages;

/** Where npm would find a dependency of the package at `from`: its own node_modules, then outwards. */
function isLocked(from: string, name: string): boolean {
  for (let folder = from; ;) {
    if (`${folder}${folder === '' ? '' : '/'}node_modules/${name}` in packages) return true;
    if (folder === '') return false;
    const outer = folder.lastIndexOf('/node_modules/');
    folder = outer < 0 ? '' : folder.slice(0, outer);
  }
}

describe('package-lock.json', () => {
  it('names every dependency, also those of other platforms', () => {
    // `npm ci` refuses a lock that lacks one ("Missing: ... from lock file"), and an npm whose
    // registry does not have a platform's package writes just such a lock.
    const missing = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys({
        ...entry.dependencies,
        ...entry.devDependencies,
        ...entry.optionalDependencies,
      })
        .filter((name) => !isLocked(path, name))
        .map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('pins exactly what package.json names', () => {
    const wanted = { ...packages['']?.dependencies, ...packages['']?.devDependencies };
    const pinned = Object.keys(wanted).map((name) => [
      name,
      packages[`node_modules/${name}`]?.version,
    ]);
    expect(Object.fromEntries(pinned)).toEqual(wanted);
  });
});
