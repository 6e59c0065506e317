/** Character sets and collations, with MySQL's ids (BI tools match on the ids). */
import { namedTable, type NamedRow, type VirtualTable } from './virtual_table.ts';

interface Charset {
  readonly name: string;
  readonly description: string;
  readonly maxBytes: bigint;
  /** The first is the default. */
  readonly collations: readonly Collation[];
}

/** Languages whose collations MySQL has for both UTF-8 character sets, from an id on. */
const LANGUAGES =
  'unicode icelandic latvian romanian slovenian polish estonian spanish swedish turkish czech danish lithuanian slovak spanish2 roman persian esperanto hungarian sinhala german2 croatian unicode_520 vietnamese';
/** MySQL 8's, `_0900_ai_ci` and `_0900_as_cs`; `-`: an id that nobody has. */
const LANGUAGES_8 = 'de_pb is lv ro sl pl et es sv tr cs da lt sk es_trad la - eo hu hr - vi';

type Collation = readonly [name: string, id: bigint];

function languages(prefix: string, names: string, suffix: string, from: number): Collation[] {
  return names
    .split(' ')
    .map((name, at): Collation => [`${prefix}_${name}_${suffix}`, BigInt(from + at)])
    .filter(([name]) => !name.includes('_-_'));
}

// prettier-ignore
const CHARSETS: readonly Charset[] = [
  {
    name: 'utf8mb4', description: 'UTF-8 Unicode', maxBytes: 4n,
    collations: [
      ['utf8mb4_general_ci', 45n], ['utf8mb4_bin', 46n], ...languages('utf8mb4', LANGUAGES, 'ci', 224), ['utf8mb4_0900_ai_ci', 255n],
      ...languages('utf8mb4', LANGUAGES_8, '0900_ai_ci', 256), ['utf8mb4_0900_as_cs', 278n], ...languages('utf8mb4', LANGUAGES_8, '0900_as_cs', 279),
      ['utf8mb4_ja_0900_as_cs', 303n], ['utf8mb4_ja_0900_as_cs_ks', 304n], ['utf8mb4_0900_as_ci', 305n], ['utf8mb4_ru_0900_ai_ci', 306n],
      ['utf8mb4_ru_0900_as_cs', 307n], ['utf8mb4_zh_0900_as_cs', 308n], ['utf8mb4_0900_bin', 309n],
    ],
  },
  {
    name: 'utf8', description: 'UTF-8 Unicode', maxBytes: 3n,
    collations: [['utf8_general_ci', 33n], ['utf8_tolower_ci', 76n], ['utf8_bin', 83n], ...languages('utf8', LANGUAGES, 'ci', 192), ['utf8_general_mysql500_ci', 223n]],
  },
  {
    name: 'latin1', description: 'cp1252 West European', maxBytes: 1n,
    collations: [
      ['latin1_swedish_ci', 8n], ['latin1_german1_ci', 5n], ['latin1_danish_ci', 15n], ['latin1_german2_ci', 31n], ['latin1_bin', 47n],
      ['latin1_general_ci', 48n], ['latin1_general_cs', 49n], ['latin1_spanish_ci', 94n],
    ],
  },
  { name: 'ascii', description: 'US ASCII', maxBytes: 1n, collations: [['ascii_general_ci', 11n], ['ascii_bin', 65n]] },
  { name: 'binary', description: 'Binary pseudo charset', maxBytes: 1n, collations: [['binary', 63n]] },
];

function collationRows(): readonly NamedRow[] {
  return CHARSETS.flatMap((charset) =>
    charset.collations.map(([name, id], index) => ({
      COLLATION_NAME: name,
      CHARACTER_SET_NAME: charset.name,
      ID: id,
      IS_DEFAULT: index === 0 ? 'Yes' : '',
      IS_COMPILED: 'Yes',
      SORTLEN: 1n,
      PAD_ATTRIBUTE: 'PAD SPACE',
    })),
  );
}

export const CHARSET_TABLES: readonly VirtualTable<unknown>[] = [
  namedTable('CHARACTER_SETS', 'CHARACTER_SET_NAME DEFAULT_COLLATE_NAME DESCRIPTION MAXLEN#', () =>
    CHARSETS.map((charset) => ({
      CHARACTER_SET_NAME: charset.name,
      DEFAULT_COLLATE_NAME: charset.collations[0]?.[0] ?? '',
      DESCRIPTION: charset.description,
      MAXLEN: charset.maxBytes,
    })),
  ),
  namedTable(
    'COLLATIONS',
    'COLLATION_NAME CHARACTER_SET_NAME ID# IS_DEFAULT IS_COMPILED SORTLEN# PAD_ATTRIBUTE',
    collationRows,
  ),
  namedTable(
    'COLLATION_CHARACTER_SET_APPLICABILITY',
    'COLLATION_NAME CHARACTER_SET_NAME',
    collationRows,
  ),
];
