/** Messages as text: what goes in comes out. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromWireText, toWireText } from '../../base/wire_json.ts';

describe('wire text', () => {
  it('keeps what JSON has no word for', () => {
    const value = {
      big: 170141183460469231731687303715884105727n,
      numbers: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1.5],
      bytes: new Uint8Array([0, 255, 7]),
      // oxlint-disable-next-line unicorn/no-null -- SQL's NULL
      none: null,
      $b: 'not alone',
    };
    expect(fromWireText(toWireText(value))).toEqual(value);
    expect(Object.is((fromWireText(toWireText([-0])) as number[])[0], -0)).toBe(true);
  });

  it('takes a Buffer as its bytes', () => {
    const back = fromWireText(toWireText({ body: Buffer.from('abc') })) as { body: Uint8Array };
    expect(Buffer.from(back.body).toString()).toBe('abc');
  });

  it('keeps objects that look like its own tags', () => {
    for (const tag of ['$b', '$x', '$n', '$o']) {
      const value = { [tag]: { [tag]: 'x' } };
      expect(fromWireText(toWireText(value))).toEqual(value);
    }
  });

  it('brings back any plain data', () => {
    const leaf = fc.oneof(
      fc.bigInt(),
      fc.double(),
      fc.string(),
      fc.boolean(),
      fc.uint8Array({ maxLength: 9 }).map((bytes) => new Uint8Array(bytes)),
    );
    const keys = fc.oneof(fc.constantFrom('$b', '$o', '$x', '$n'), fc.string({ maxLength: 3 }));
    const data = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(keys, tie('any'), { maxKeys: 3, noNullPrototype: true }),
      ),
    })).any;
    fc.assert(
      fc.property(data, (value) => {
        expect(fromWireText(toWireText(value))).toEqual(value);
      }),
    );
  });

  it('refuses broken tags', () => {
    expect(() => fromWireText('{"$b":1}')).toThrow(SyntaxError);
    expect(() => fromWireText('{"$o":{}}')).toThrow(SyntaxError);
  });
});
