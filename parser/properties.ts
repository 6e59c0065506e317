/**
 * Typed reading of PROPERTIES lists. A schema names every property with its type; whatever is
 * not in it, given twice or not understood is an error that says what is allowed: nothing is
 * silently ignored (DESIGN 4.4).
 */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import type { Properties, Property } from '../grammar/nodes/clauses.ts';

/** How one property is read. */
export interface PropertyType<Value> {
  /** undefined: not a value of this type. */
  readonly read: (text: string) => Value | undefined;
  /** For BAD_PROPERTY: `allowed: ...`. */
  readonly allowed: string;
}

export type PropertySchema = Readonly<Record<string, PropertyType<unknown>>>;

/** Values by property name; undefined where the property was not given. */
export type PropertyValues<Schema extends PropertySchema> = {
  readonly [Name in keyof Schema]: Schema[Name] extends PropertyType<infer Value>
    ? Value | undefined
    : never;
};

/** Throws UNKNOWN_PROPERTY, BAD_PROPERTY, DUPLICATE_PROPERTY. Names are compared exactly. */
export function readProperties<Schema extends PropertySchema>(
  list: Properties,
  schema: Schema,
): PropertyValues<Schema> {
  const values: Record<string, unknown> = Object.fromEntries(
    Object.keys(schema).map((name) => [name, undefined]),
  );
  const seen = new Set<string>();
  for (const property of list) {
    const type = Object.hasOwn(schema, property.key) ? schema[property.key] : undefined;
    if (type === undefined) throw unknownProperty(property, Object.keys(schema));
    if (seen.has(property.key)) throw new SqlError('DUPLICATE_PROPERTY', { name: property.key });
    seen.add(property.key);
    values[property.key] = readOne(property, type);
  }
  return values as PropertyValues<Schema>;
}

function readOne(property: Property, type: PropertyType<unknown>): unknown {
  const value = type.read(property.value);
  if (value === undefined) throw badProperty(property, type.allowed);
  return value;
}

export function badProperty({ key, value }: Property, allowed: string): SqlError {
  return new SqlError('BAD_PROPERTY', { name: key, value: shown(value), allowed });
}

export function unknownProperty({ key }: Property, known: readonly string[]): SqlError {
  const near = nearest(key, known);
  const hint = near === undefined ? '' : `; did you mean '${near}'?`;
  const allowed = known.length === 0 ? '; no properties here' : `; allowed: ${known.join(', ')}`;
  return new SqlError('UNKNOWN_PROPERTY', { name: shown(key), allowed: `${hint}${allowed}` });
}

/** Long values are cut: the message is one line. */
function shown(value: string): string {
  return value.length <= 60 ? value : `${value.slice(0, 57)}...`;
}

/** One of some words, whatever their case; the value is the word as listed. */
export function oneOf<const Word extends string>(...allowed: readonly Word[]): PropertyType<Word> {
  return {
    read: (text) => allowed.find((word) => word.toLowerCase() === text.trim().toLowerCase()),
    allowed: allowed.join(', '),
  };
}

export const FLAG: PropertyType<boolean> = {
  read: (text) => (/^true$/i.test(text) ? true : /^false$/i.test(text) ? false : undefined),
  allowed: 'true, false',
};

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): PropertyType<number> {
  return {
    read: (text) => {
      const value = /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : NaN;
      return value >= min && value <= max ? value : undefined;
    },
    allowed: `a whole number from ${min} to ${max}`,
  };
}

/** Any text; `pattern` may say which. */
export function freeText(allowed = 'any text', pattern = /^/): PropertyType<string> {
  return { read: (text) => (pattern.test(text) ? text : undefined), allowed };
}
