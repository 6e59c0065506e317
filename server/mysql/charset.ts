/** Character sets of clients: which collation ids mean which, bytes → text and back. */
import { isUtf8 } from 'node:buffer';
import { SqlError } from '../../base/errors.ts';

/** `binary` and `ascii` are read and written as UTF-8: every name and value here is text. */
export type ClientCharset = 'utf8mb4' | 'utf8' | 'latin1' | 'ascii' | 'binary';

interface CharsetRow {
  /** What column definitions announce: the character set's default collation. */
  readonly collationId: number;
  /** Most bytes of one character; column lengths are characters times this. */
  readonly bytesPerChar: number;
}

// prettier-ignore
const CHARSETS: Readonly<Record<ClientCharset, CharsetRow>> = {
  utf8mb4: { collationId: 45, bytesPerChar: 4 },
  utf8:    { collationId: 33, bytesPerChar: 3 },
  latin1:  { collationId:  8, bytesPerChar: 1 },
  ascii:   { collationId: 11, bytesPerChar: 1 },
  binary:  { collationId: 63, bytesPerChar: 1 },
};

/** Collation ids of the character sets that are not utf8mb4; any other id counts as utf8mb4. */
const IDS: Readonly<Record<Exclude<ClientCharset, 'utf8mb4'>, readonly number[]>> = {
  utf8: [33, 76, 83, 223],
  latin1: [5, 8, 15, 31, 47, 48, 49, 94],
  ascii: [11, 65],
  binary: [63],
};
const UTF8_UNICODE_FIRST = 192;
const UTF8_UNICODE_LAST = 215;

export const BINARY_COLLATION = 63;

export function charsetRow(charset: ClientCharset): CharsetRow {
  return CHARSETS[charset];
}

/** The character set a client asks for in its login; an unknown id gets utf8mb4, as in MySQL. */
export function charsetOfCollation(id: number): ClientCharset {
  if (id >= UTF8_UNICODE_FIRST && id <= UTF8_UNICODE_LAST) return 'utf8';
  for (const [charset, ids] of Object.entries(IDS)) {
    if (ids.includes(id)) return charset as keyof typeof IDS;
  }
  return 'utf8mb4';
}

/** Bytes of a client as text; throws INVALID_CHARACTER naming the first bytes that are none. */
export function decodeText(bytes: Buffer, charset: ClientCharset): string {
  if (charset === 'latin1') return decodeLatin1(bytes);
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const bad = bytes.subarray(invalidUtf8At(bytes));
  throw new SqlError('INVALID_CHARACTER', {
    charset: charset === 'utf8' ? 'utf8' : 'utf8mb4',
    bytes: bad.subarray(0, SHOWN_BYTES_MAX).toString('hex').toUpperCase(),
  });
}

/** As many as MySQL shows. */
const SHOWN_BYTES_MAX = 6;

/** Index of the first byte at which valid UTF-8 ends. */
function invalidUtf8At(bytes: Buffer): number {
  let low = 0;
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0;
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (!isUtf8(bytes.subarray(at, at + size))) return at;
    at += size;
    low = at;
  }
  return low;
}

/** MySQL's latin1 is Windows code page 1252; these are the characters where it differs. */
const CP1252 = [
  ['\u20ac', 0x80],
  ['\u201a', 0x82],
  ['\u0192', 0x83],
  ['\u201e', 0x84],
  ['\u2026', 0x85],
  ['\u2020', 0x86],
  ['\u2021', 0x87],
  ['\u02c6', 0x88],
  ['\u2030', 0x89],
  ['\u0160', 0x8a],
  ['\u2039', 0x8b],
  ['\u0152', 0x8c],
  ['\u017d', 0x8e],
  ['\u2018', 0x91],
  ['\u2019', 0x92],
  ['\u201c', 0x93],
  ['\u201d', 0x94],
  ['\u2022', 0x95],
  ['\u2013', 0x96],
  ['\u2014', 0x97],
  ['\u02dc', 0x98],
  ['\u2122', 0x99],
  ['\u0161', 0x9a],
  ['\u203a', 0x9b],
  ['\u0153', 0x9c],
  ['\u017e', 0x9e],
  ['\u0178', 0x9f],
] as const;
const TO_CP1252: ReadonlyMap<string, number> = new Map(CP1252);
const FROM_CP1252: ReadonlyMap<string, string> = new Map(
  CP1252.map(([char, byte]) => [String.fromCharCode(byte), char]),
);

function decodeLatin1(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replaceAll(/[\u0080-\u009f]/g, (char) => FROM_CP1252.get(char) ?? char);
}

/** Text as latin1 bytes; what latin1 does not have becomes `?`, as in MySQL. */
export function encodeLatin1(text: string): Buffer {
  const inside = text.replaceAll(/[\u0100-\u{10ffff}]/gu, (char) =>
    String.fromCharCode(TO_CP1252.get(char) ?? QUESTION_MARK),
  );
  return Buffer.from(inside, 'latin1');
}
const QUESTION_MARK = 0x3f;
