/** LIKE and REGEXP with MySQL's meaning, compiled once per pattern. */
import { SqlError } from '../../base/errors.ts';

export type Matcher = (value: string) => boolean;

/** Compiled patterns kept per cache; a statement rarely has more than a few. */
const CACHE_MAX = 64;

function cached(make: (key: string) => Matcher): (key: string) => Matcher {
  const cache = new Map<string, Matcher>();
  return (key) => {
    const known = cache.get(key);
    if (known !== undefined) return known;
    const matcher = make(key);
    if (cache.size >= CACHE_MAX) cache.clear();
    cache.set(key, matcher);
    return matcher;
  };
}

type Piece = { readonly literal: string } | 'one' | 'many';

/**
 * LIKE: `%` any run, `_` one character, `escape` (one character, or '' for none) takes the next
 * character literally. Case matters. Greedy matching with one point of return: at most
 * value × pattern steps, never exponential.
 */
export function likeMatcher(pattern: string, escape = '\\', ignoreCase = false): Matcher {
  return (ignoreCase ? LIKE_CI : LIKE_CS)(`${escape}\u0000${pattern}`);
}

const compile =
  (ignoreCase: boolean) =>
  (key: string): Matcher => {
    const cut = key.indexOf('\u0000');
    const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
    const pieces = likePieces(fold(key.slice(cut + 1)), fold(key.slice(0, cut)));
    return (value) => matchPieces(Array.from(fold(value)), pieces);
  };
const LIKE_CS = cached(compile(false));
const LIKE_CI = cached(compile(true));

function likePieces(pattern: string, escape: string): readonly Piece[] {
  const pieces: Piece[] = [];
  const all = Array.from(pattern);
  for (let at = 0; at < all.length; at += 1) {
    const char = all[at] ?? '';
    if (char === escape && at + 1 < all.length) {
      at += 1;
      pieces.push({ literal: all[at] ?? '' });
    } else if (char === '%') pieces.push('many');
    else pieces.push(char === '_' ? 'one' : { literal: char });
  }
  return pieces;
}

function matchPieces(value: readonly string[], pieces: readonly Piece[]): boolean {
  let [v, p, star, resume] = [0, 0, -1, 0];
  while (v < value.length) {
    const piece = pieces[p];
    if (piece === 'many') {
      star = p;
      resume = v;
      p += 1;
    } else if (piece === 'one' || (piece !== undefined && piece.literal === value[v])) {
      v += 1;
      p += 1;
    } else if (star >= 0) {
      p = star + 1;
      resume += 1;
      v = resume;
    } else return false;
  }
  while (pieces[p] === 'many') p += 1;
  return p === pieces.length;
}

const POSIX: Readonly<Record<string, string>> = {
  alnum: 'a-zA-Z0-9',
  alpha: 'a-zA-Z',
  blank: ' \\t',
  digit: '0-9',
  lower: 'a-z',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: '0-9a-fA-F',
};

/**
 * REGEXP: case does not matter, POSIX classes work. A pattern that is no regular expression
 * throws. Run it only where it can be killed: JavaScript's engine backtracks.
 */
export const regexpMatcher: (pattern: string) => Matcher = cached((pattern) => {
  const expression = compileRegexp(pattern);
  return (value) => expression.test(value);
});

/** Without regard to case. Throws BAD_REGEXP. */
export function compileRegexp(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/\[:(\w+):\]/g, (whole, name: string) => POSIX[name] ?? whole)
    .replaceAll('[[:<:]]', '\\b')
    .replaceAll('[[:>:]]', '\\b');
  try {
    return new RegExp(source, 'iu');
  } catch (error) {
    throw new SqlError('BAD_REGEXP', { pattern }, { cause: error });
  }
}
