/** Numbers and sizes as SHOW statements write them, back to what they are of. */
const FACTORS: Readonly<Record<string, number>> = Object.fromEntries(
  ['', 'K', 'M', 'G', 'T', 'P'].map((unit, power) => [`${unit}B`, 1024 ** power]),
);
const QUANTITY = /^(-?\d+(?:\.\d+)?)(?: ([KMGTP]?B)| ?%)?$/;
const INTEGER = /^-?\d{1,18}$/;

/** `12`, `1.980 KB`, `70.14 %`; undefined: it is none of these. */
export function shownQuantity(text: string): number | bigint | undefined {
  if (INTEGER.test(text)) return BigInt(text);
  const [, digits, unit] = QUANTITY.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * (FACTORS[unit ?? ''] ?? 1);
}
