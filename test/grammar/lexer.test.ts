import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { tokenize } from '../../grammar/lexer.ts';
import {
  bitsToHex,
  hexDigits,
  nameText,
  nameValue,
  stringText,
  stringValue,
  userVarName,
} from '../../grammar/literals.ts';
import { StatementParser } from '../../grammar/statement_parser.ts';

const tokens = (text: string): string =>
  tokenize(text)
    .map((token) => `${token.tokenType.name}:${token.image}`)
    .join(' ');

describe('tokenize', () => {
  it.each([
    [
      'a.1b t.5 1.5 .5 1e5 1e 1.e-3',
      'Word:a Dot:. Word:1b Word:t Dot:. Word:5 Decimal:1.5 Decimal:.5 Decimal:1e5 Word:1e Decimal:1.e-3',
    ],
    ["0xFF x'4d' 0b01 B'1' 0xG", "Hex:0xFF Hex:x'4d' Bits:0b01 Bits:B'1' Word:0xG"],
    [
      `'a''b' "c\\"d" N'e' _utf8 'f' _utf8mb4'g'`,
      `String:'a''b' String:"c\\"d" String:N'e' String:'f' String:'g'`,
    ],
    [
      "@a @'b c' @`d` @@global.x 'u'@'h'",
      "UserVar:@a UserVar:@'b c' UserVar:@`d` AtAt:@@ GLOBAL:global Dot:. Word:x String:'u' UserVar:@'h'",
    ],
    ['5--1 -- x\n# y\n/* z */ 6', 'Integer:5 Minus:- Minus:- Integer:1 Integer:6'],
    [
      '/*!40101 a */ /*!50799 b */ /*!50800 c */ /*!80036 d */ /*! e */ /*M! f */ /*+ g */',
      'Word:a Word:b Word:e',
    ],
    ['/*!99999 a /* b */ c */ d', 'Word:d'],
    [
      '<=> <> != <= << := || && -> ->>',
      'NullSafeEq:<=> Ne:<> Ne:!= Le:<= Shl:<< Assign::= PipePipe:|| AmpAmp:&& Arrow:-> ArrowText:->>',
    ],
    [
      't.select select `select` étoile $x',
      'Word:t Dot:. Word:select SELECT:select Quoted:`select` Word:étoile Word:$x',
    ],
  ])('%s', (text, expected) => {
    expect(tokens(text)).toBe(expected);
  });

  it('gives the place of each token', () => {
    const [, second] = tokenize("a /* x */ 'b'");
    expect(second).toMatchObject({ startOffset: 10, endOffset: 12, image: "'b'" });
  });
});

describe('literals', () => {
  it('reads escapes as MySQL does', () => {
    expect(stringValue(String.raw`'a\'b''c\\d\n\0\%\_\x'`)).toBe("a'b'c\\d\n\0\\%\\_x");
    expect(stringValue('"a""b\'c"')).toBe('a"b\'c');
    expect(nameValue('`a``b`')).toBe('a`b');
    expect(userVarName("@'a''b'")).toBe("a'b");
    expect(hexDigits('0xabc')).toBe('0ABC');
    expect(bitsToHex("b'101010101'")).toBe('0155');
  });

  it('writes what it reads', () => {
    const unit = fc.constantFrom(
      "'",
      '"',
      '\\',
      '%',
      '_',
      '\n',
      '\0',
      '`',
      'a',
      '\u001a',
      '\ud800',
    );
    fc.assert(
      fc.property(fc.string({ unit }), (text) => {
        expect(stringValue(stringText(text))).toBe(text);
        expect(tokenize(stringText(text))).toHaveLength(1);
        if (!text.includes('\0') && text !== '') expect(nameValue(nameText(text))).toBe(text);
      }),
    );
  });
});

describe('the grammar', () => {
  it('has no ambiguity that Chevrotain finds', () => {
    expect(() => new StatementParser(true)).not.toThrow();
  });
});
