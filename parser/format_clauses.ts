/** Clauses that many statements share → text. */
import { nameText, stringText } from '../grammar/literals.ts';
import { withoutLogins } from '../grammar/secret_words.ts';
import type {
  JobRef,
  Limit,
  OrderItem,
  Properties,
  ShowFilter,
  TableName,
} from '../grammar/nodes/clauses.ts';
import { formatExpr } from './format_expr.ts';

export interface FormatOptions {
  /** Secrets become `******`: for logs, PROCESSLIST and audit. */
  readonly maskSecrets: boolean;
}

const MASK = '******';
/** By the name of a property, also of one that is misspelt. */
const SECRET_KEY = /secret|access_?key|token|credential|passw(?:or)?ds?$|(?:^|[._])(?:sk|ak)$/i;

export function isSecretProperty(key: string): boolean {
  return SECRET_KEY.test(key);
}

/** Joins what is there with blanks. */
export function words(...parts: readonly (string | undefined | false)[]): string {
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join(' ');
}

export function names(list: readonly string[]): string {
  return list.map(nameText).join(', ');
}

export function tableText({ db, name }: TableName): string {
  return db === undefined ? nameText(name) : `${nameText(db)}.${nameText(name)}`;
}

export function secretText(text: string, { maskSecrets }: FormatOptions): string {
  return stringText(maskSecrets ? MASK : text);
}

export function propertyList(list: Properties, options: FormatOptions): string {
  const items = list.map(({ key, value }) => {
    const shown = isSecretProperty(key)
      ? secretText(value, options)
      : stringText(options.maskSecrets ? withoutLogins(value) : value);
    return `${stringText(key)} = ${shown}`;
  });
  return `(${items.join(', ')})`;
}

export function properties(list: Properties, options: FormatOptions): string | undefined {
  return list.length === 0 ? undefined : `PROPERTIES ${propertyList(list, options)}`;
}

export function filterText({ like, where, orderBy, limit }: ShowFilter): string {
  return words(
    like !== undefined && `LIKE ${stringText(like)}`,
    where !== undefined && `WHERE ${formatExpr(where)}`,
    orderBy.length > 0 && `ORDER BY ${orderBy.map(orderText).join(', ')}`,
    limit !== undefined && limitText(limit),
  );
}

function orderText({ expr, descending }: OrderItem): string {
  return `${formatExpr(expr)}${descending ? ' DESC' : ''}`;
}

export function limitText({ count, offset }: Limit): string {
  return offset === 0n ? `LIMIT ${count}` : `LIMIT ${count} OFFSET ${offset}`;
}

export function jobText(job: JobRef): string | undefined {
  switch (job.kind) {
    case 'id':
      return String(job.id);
    case 'where':
      return `WHERE ${formatExpr(job.where)}`;
    case 'none':
      return undefined;
  }
}

export function partitionsText(list: readonly string[]): string | undefined {
  return list.length === 0 ? undefined : `PARTITION (${names(list)})`;
}
