/** Capability and status bits of the MySQL client/server protocol, as far as this server has them. */

import { KNOWS_ZSTD } from './compression.ts';

// prettier-ignore
export const CAPABILITY = {
  LONG_PASSWORD:      0x0000_0001,
  FOUND_ROWS:         0x0000_0002,
  LONG_FLAG:          0x0000_0004,
  CONNECT_WITH_DB:    0x0000_0008,
  COMPRESS:           0x0000_0020,
  ODBC:               0x0000_0040,
  IGNORE_SPACE:       0x0000_0100,
  PROTOCOL_41:        0x0000_0200,
  INTERACTIVE:        0x0000_0400,
  SSL:                0x0000_0800,
  IGNORE_SIGPIPE:     0x0000_1000,
  TRANSACTIONS:       0x0000_2000,
  SECURE_CONNECTION:  0x0000_8000,
  MULTI_STATEMENTS:   0x0001_0000,
  MULTI_RESULTS:      0x0002_0000,
  PS_MULTI_RESULTS:   0x0004_0000,
  PLUGIN_AUTH:        0x0008_0000,
  CONNECT_ATTRS:      0x0010_0000,
  PLUGIN_AUTH_LENENC: 0x0020_0000,
  CAN_HANDLE_EXPIRED_PASSWORDS: 0x0040_0000,
  SESSION_TRACK:      0x0080_0000,
  DEPRECATE_EOF:      0x0100_0000,
  ZSTD_COMPRESSION:   0x0400_0000,
  QUERY_ATTRIBUTES:   0x0800_0000,
} as const;

/**
 * What the greeting announces. LONG_PASSWORD stays set: without it MariaDB's clients take the
 * server for a MariaDB and use extensions it does not have. LOCAL_FILES is absent because nothing
 * here serves it; SSL is added where TLS is on.
 */
export const SERVER_CAPABILITIES: number = Object.entries(CAPABILITY)
  .filter(([name]) => name !== 'SSL' && (name !== 'ZSTD_COMPRESSION' || KNOWS_ZSTD))
  .reduce((bits, [, bit]) => bits | bit, 0);

// prettier-ignore
export const STATUS = {
  IN_TRANS:            0x0001,
  AUTOCOMMIT:          0x0002,
  MORE_RESULTS_EXISTS: 0x0008,
  CURSOR_EXISTS:       0x0040,
  LAST_ROW_SENT:       0x0080,
  NO_BACKSLASH_ESCAPES: 0x0200,
  SESSION_CHANGED:     0x4000,
} as const;

export function has(capabilities: number, bit: number): boolean {
  return (capabilities & bit) !== 0;
}
