/** Numbers as MySQL writes them. */

/** From here on MySQL writes a DOUBLE with an exponent. */
const EXPONENT_FROM = 1e15;

/** MySQL writes `1e20`, not `1e+20`; a FLOAT has the shortest text that is the same float. */
export function numberText(value: number, isFloat: boolean): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < EXPONENT_FROM) return `${value}`;
  const shortest = isFloat ? shortestFloat(value) : value;
  const text = size >= EXPONENT_FROM ? shortest.toExponential() : `${shortest}`;
  return text.replace('e+', 'e');
}

const FLOAT_DIGITS_MIN = 6;
const FLOAT_DIGITS_MAX = 9;

/** The number with the fewest digits that is this value as a 32-bit float. */
export function shortestFloat(value: number): number {
  const single = Math.fround(value);
  for (let digits = FLOAT_DIGITS_MIN; digits < FLOAT_DIGITS_MAX; digits += 1) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return Number(single.toPrecision(FLOAT_DIGITS_MAX));
}
