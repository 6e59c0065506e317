/** The recorded conversations: what is in a line, and which answers a server must give. */
import { readFileSync, readdirSync } from 'node:fs';

const FOLDER = new URL('recorded/', import.meta.url);

export interface RecordedColumn {
  readonly name: string;
  readonly type: number;
}

export interface RecordedEntry {
  readonly seq: number;
  readonly conn: number;
  readonly command: string;
  readonly sql?: string;
  readonly user?: string;
  readonly db?: string;
  readonly plugin?: string;
  readonly charset?: number;
  readonly flags?: readonly string[];
  readonly attrs?: Readonly<Record<string, string>>;
  readonly columns?: readonly RecordedColumn[];
  readonly fields?: readonly string[];
  readonly nrows?: number;
  readonly sample?: readonly (readonly (string | null)[])[];
  readonly results?: number;
  readonly ok?: unknown;
  /** Of an AuthError it is the number alone. */
  readonly err?: { readonly code: number } | number;
  readonly arg?: number;
  readonly stmt?: number;
  readonly cursor?: number;
  readonly types?: readonly (readonly [type: number, flags: number])[];
  readonly params?: readonly (string | number | null)[];
  readonly numParams?: number;
  readonly numCols?: number;
  readonly param?: number;
  readonly len?: number;
  readonly rows?: number;
}

/** Names of the clients, in order. */
export function recordedClients(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => name.slice(0, -'.jsonl'.length))
    .toSorted();
}

export function recordedEntries(client: string): readonly RecordedEntry[] {
  const text = readFileSync(new URL(`${client}.jsonl`, FOLDER), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedEntry);
}

/** Statements that read or set what every server has: they need an answer of the same shape. */
const REQUIRED_STATEMENT =
  /^(SET|SHOW|USE|DESC|DESCRIBE|HELP|FLUSH|KILL|START TRANSACTION|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|UNLOCK|LOCK)\b/i;
const SYSTEM_SCHEMA = /\b(information_schema|mysql|performance_schema)`?\s*\./i;
const FROM_TABLE = /\bFROM\s+[`\w]/i;

/** As the conversations' README has it. */
export function isRequired(entry: RecordedEntry): boolean {
  if (!['Query', 'Prepare', 'Execute'].includes(entry.command)) return true;
  const sql = withoutComments(entry.sql ?? '');
  if (REQUIRED_STATEMENT.test(sql)) return true;
  if (!/^(SELECT|PREPARE|EXECUTE|DEALLOCATE)\b/i.test(sql)) return false;
  return SYSTEM_SCHEMA.test(sql) || !FROM_TABLE.test(sql);
}

/** What is in a version comment is part of the statement. */
export function withoutComments(sql: string): string {
  return sql
    .replaceAll(/\/\*M?!\d*([^*]*)\*\//g, '$1')
    .replaceAll(/\/\*.*?\*\//gs, ' ')
    .trim();
}

type Family = 'integer' | 'number' | 'text' | 'time' | 'null';

/** What a client makes of a type of the wire; its width does not matter. */
export function familyOf(type: number): Family {
  if ([1, 2, 3, 8, 9, 13].includes(type)) return 'integer';
  if ([0, 4, 5, 246].includes(type)) return 'number';
  if ([7, 10, 11, 12].includes(type)) return 'time';
  return type === 6 ? 'null' : 'text';
}
