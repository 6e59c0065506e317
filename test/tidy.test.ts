/** What lint cannot check: names, lengths, leftovers (docs/architecture.md, house rules). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { CONFIG_KEYS } from '../base/config.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const PRODUCT = ['base', 'grammar', 'parser', 'catalog', 'jobs', 'be-agent', 'server'];
const FILE_LINES_MAX = 750;
/** Names that say nothing about what is inside. */
const EMPTY_NAMES = new Set([
  'utils',
  'util',
  'helpers',
  'helper',
  'common',
  'types',
  'misc',
  'index',
]);

interface Source {
  readonly path: string;
  readonly lines: readonly string[];
}

function listed(): string[] {
  // Also files that are not committed yet, but none that git ignores.
  const args = ['ls-files', '--cached', '--others', '--exclude-standard'];
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
}

describe('the source', () => {
  let sources: Source[] = [];
  beforeAll(() => {
    sources = listed()
      .filter((path) => ['.ts', '.js'].includes(extname(path)))
      .flatMap((path): Source[] => {
        try {
          return [{ path, lines: readFileSync(ROOT + path, 'utf8').split('\n') }];
        } catch {
          return [];
        }
      });
    expect(sources.length).toBeGreaterThan(100);
  });

  const places = (bad: (line: string, source: Source) => boolean): string[] =>
    sources.flatMap((source) =>
      source.lines.flatMap((line, at) => (bad(line, source) ? [`${source.path}:${at + 1}`] : [])),
    );
  const isProduct = ({ path }: Source): boolean => PRODUCT.includes(path.split('/')[0] ?? '');

  it('has files with names that say what is inside', () => {
    const bad = sources.filter(({ path }) => EMPTY_NAMES.has(basename(path).split('.')[0] ?? ''));
    expect(bad.map((source) => source.path)).toEqual([]);
  });

  it('reads every config key somewhere', () => {
    const readers = sources.filter(
      (source) => isProduct(source) && source.path !== 'base/config.ts',
    );
    const text = readers.flatMap(({ lines }) => lines).join('\n');
    expect(CONFIG_KEYS.filter((key) => !text.includes(`'${key}'`))).toEqual([]);
  });

  it('has files of a size that one can read', () => {
    const long = sources.filter(({ lines }) => lines.length > FILE_LINES_MAX);
    expect(long.map(({ path, lines }) => `${path}: ${lines.length}`)).toEqual([]);
  });

  it('has nothing left for later without saying so', () => {
    // Spelled so that this file does not find itself.
    const marker = /\bT[O]DO\b|\bF[I]XME\b|\bX[X]X\b|\bH[A]CK\b/;
    expect(places((line) => marker.test(line))).toEqual([]);
  });

  it('has no test that runs alone, and none that is switched off by hand', () => {
    const alone = /\b(?:it|test|describe)\.only\(|\bx(?:it|describe)\(|\bf(?:it|describe)\(/;
    expect(places((line, { path }) => path.startsWith('test/') && alone.test(line))).toEqual([]);
  });

  it('starts every product file with what it is for', () => {
    const silent = sources.filter(
      (source) => isProduct(source) && !/^(?:#!.*|\/\*\*|\/\/)/.test(source.lines[0] ?? ''),
    );
    expect(silent.map((source) => source.path)).toEqual([]);
  });
});
