/** What the text of a literal or a name stands for. */
import { isReserved } from './keywords.ts';

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  b: '\b',
  n: '\n',
  r: '\r',
  t: '\t',
  Z: '\u001a',
};

/**
 * Value of a string token: `'..'`, `".."` or `N'..'`, with doubled quotes and MySQL's backslash
 * escapes. `\%` and `\_` keep the backslash, as they do in MySQL: they mean something in LIKE.
 */
export function stringValue(image: string): string {
  const open = image.charCodeAt(0) === 39 || image.charCodeAt(0) === 34 ? 0 : 1;
  const quote = image.charAt(open);
  const body = image.slice(open + 1, -1);
  if (!body.includes('\\') && !body.includes(quote)) return body;
  let value = '';
  let from = 0;
  for (let i = 0; i < body.length; i += 1) {
    const char = body.charAt(i);
    if (char === quote) {
      value += body.slice(from, i + 1);
      i += 1;
      from = i + 1;
    } else if (char === '\\') {
      const next = body.charAt(i + 1);
      const kept = next === '%' || next === '_';
      value += body.slice(from, i) + (kept ? `\\${next}` : (ESCAPES[next] ?? next));
      i += 1;
      from = i + 1;
    }
  }
  return value + body.slice(from);
}

/** Name in a word or backtick token. */
export function nameValue(image: string): string {
  if (image.charCodeAt(0) !== 96) return image;
  return image.slice(1, -1).replaceAll('``', '`');
}

/** Name in a `@name`, `` @`name` `` or `@'name'` token. */
export function userVarName(image: string): string {
  const first = image.charCodeAt(1);
  if (first === 39 || first === 34) return stringValue(image.slice(1));
  return nameValue(image.slice(1));
}

/** Upper-case digits, an even number of them, of x'4d', 0x4d. */
export function hexDigits(image: string): string {
  const digits = (image.endsWith("'") ? image.slice(2, -1) : image.slice(2)).toUpperCase();
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** The same of b'101', 0b101. */
export function bitsToHex(image: string): string {
  const bits = image.endsWith("'") ? image.slice(2, -1) : image.slice(2);
  if (bits === '') return '';
  const padded = bits.padStart(Math.ceil(bits.length / 8) * 8, '0');
  let hex = '';
  for (let i = 0; i < padded.length; i += 4) {
    hex += Number.parseInt(padded.slice(i, i + 4), 2)
      .toString(16)
      .toUpperCase();
  }
  return hex;
}

/** A string literal that `stringValue` reads back. */
export function stringText(value: string): string {
  // oxlint-disable-next-line no-control-regex
  const body = value.replaceAll(/[\\'\0\n\r\u001a]/g, (char, at: number) => {
    switch (char) {
      case '\\':
        return keepsBackslash(value, at) ? '\\' : '\\\\';
      case "'":
        return "''";
      case '\0':
        return '\\0';
      case '\n':
        return '\\n';
      case '\r':
        return '\\r';
      default:
        return '\\Z';
    }
  });
  return `'${body}'`;
}

/** `\%` and `\_` are read with their backslash, so one before them is written as it is. */
function keepsBackslash(value: string, at: number): boolean {
  const next = value.charAt(at + 1);
  return next === '%' || next === '_';
}

/** A name, in backticks when it needs them. */
export function nameText(name: string): string {
  const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !isReserved(name);
  return plain ? name : `\`${name.replaceAll('`', '``')}\``;
}
