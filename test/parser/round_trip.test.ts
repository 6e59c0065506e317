import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatStatement } from '../../parser/format.ts';
import { parseStatements } from '../../parser/parse.ts';
import { KINDS, placeless, statementOf } from './arbitrary_statements.ts';

const OPTIONS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 26, allowMulti: false };

describe('parse(format(s)) = s', () => {
  it.each(KINDS)('%s', (kind) => {
    fc.assert(
      fc.property(statementOf(kind), (statement) => {
        const text = formatStatement(statement);
        const [parsed] = parseStatements(text, OPTIONS);
        expect(placeless(parsed?.statement)).toEqual(placeless(statement));
      }),
      { numRuns: 60, seed: 20_261_122 },
    );
  });
});
