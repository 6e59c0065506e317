/** Character sets and collations, with MySQL's ids (BI tools match on the ids). */
import { namedTable, type NamedRow, type VirtualTable } from './virtual_table.ts';

interface Charset {
  readonly name: string;
  readonly description: string;
  readonly maxBytes: bigint;
  /** The first is the default. */
  readonly collations: readonly (readonly [name: string, id: bigint])[];
}

// prettier-ignore
const CHARSETS: readonly Charset[] = [
  { name: 'utf8mb4', description: 'UTF-8 Unicode', maxBytes: 4n, collations: [['utf8mb4_general_ci', 45n], ['utf8mb4_bin', 46n], ['utf8mb4_unicode_ci', 224n], ['utf8mb4_unicode_520_ci', 246n], ['utf8mb4_0900_ai_ci', 255n]] },
  { name: 'utf8', description: 'UTF-8 Unicode', maxBytes: 3n, collations: [['utf8_general_ci', 33n], ['utf8_bin', 83n], ['utf8_unicode_ci', 192n]] },
  { name: 'latin1', description: 'cp1252 West European', maxBytes: 1n, collations: [['latin1_swedish_ci', 8n], ['latin1_bin', 47n], ['latin1_general_ci', 48n]] },
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
