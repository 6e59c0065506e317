/** The databases that are always there and belong to the server. */
import { RESERVED_DATABASES } from '../../catalog/names.ts';

/** information_schema in any case, as in MySQL; the others exactly. */
export function isSystemDatabase(name: string): boolean {
  return RESERVED_DATABASES.has(name) || name.toLowerCase() === 'information_schema';
}
