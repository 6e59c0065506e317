/** What SET NAMES chose, as the wire needs it. */
import type { ClientCharset } from './mysql/charset.ts';
import type { SessionCharsets } from './mysql/handler.ts';
import type { SessionVariables } from './variables.ts';

const WIRE: Readonly<Record<string, ClientCharset>> = {
  utf8mb4: 'utf8mb4',
  utf8: 'utf8',
  utf8mb3: 'utf8',
  latin1: 'latin1',
  ascii: 'ascii',
  binary: 'binary',
};

export function sessionCharsets(variables: SessionVariables): SessionCharsets {
  const results = variables.text('character_set_results');
  return {
    client: wireCharset(variables.text('character_set_client')),
    results: results === null ? null : wireCharset(results),
  };
}

/** A character set the wire does not translate is carried as UTF-8. */
function wireCharset(name: unknown): ClientCharset {
  return WIRE[String(name)] ?? 'utf8mb4';
}
