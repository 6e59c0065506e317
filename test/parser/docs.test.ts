import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { DOCS, generatedDocs } from '../../scripts/docs.ts';

describe('generated docs', () => {
  const files = generatedDocs();

  it('are what `npm run docs` writes now', () => {
    const stale = [...files].filter(
      ([path, text]) => readFileSync(join(DOCS, path), 'utf8') !== text,
    );
    expect(stale.map(([path]) => path)).toEqual([]);
  });

  it('have no diagram that is not generated any more', () => {
    const there = readdirSync(join(DOCS, 'diagrams')).map((file) => `diagrams/${file}`);
    expect(there.filter((path) => !files.has(path))).toEqual([]);
  });
});
