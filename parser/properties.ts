/**
 * Typed reading of PROPERTIES lists. A schema names every property with its type; whatever is
 * not in it, given twice or not understood is an error that says what is allowed: nothing is
 * silently ignored (DESIGN 4.4).
 */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import { withoutLogins } from '../grammar/secret_words.ts';
import type { Properties, Property } from '../grammar/nodes/clauses.ts';

/** What a property's value may be. */
export type PropertySpec =
  /** Any text, or what `pattern` matches; `allowed` then says what that is. */
  | { readonly kind: 'text'; readonly pattern?: RegExp; readonly allowed?: string }
  | { readonly kind: 'int'; readonly min: number; readonly max: number }
  | { readonly kind: 'bool' }
  /** One of the words, whatever the case; the value is the word as listed. */
  | { readonly kind: 'choice'; readonly choices: readonly string[] };

/** By property name. */
export type PropertySchemas = Readonly<Record<string, PropertySpec>>;

type ValueOf<Spec extends PropertySpec> = Spec extends { readonly kind: 'int' }
  ? number
  : Spec extends { readonly kind: 'bool' }
    ? boolean
    : Spec extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
      ? Choice
      : string;

/** Values by property name; undefined where the property was not given. */
export type PropertyValues<Schemas extends PropertySchemas> = {
  readonly [Name in keyof Schemas]: ValueOf<Schemas[Name]> | undefined;
};

/**
 * `elsewhere`: names that the statement takes besides and reads elsewhere; they are told with those
 * that are allowed. Throws UNKNOWN_PROPERTY, BAD_PROPERTY, DUPLICATE_PROPERTY. Names are compared
 * exactly.
 */
export function readProperties<const Schemas extends PropertySchemas>(
  list: Properties,
  schema: Schemas,
  elsewhere: readonly string[] = [],
): PropertyValues<Schemas> {
  const values: Record<string, unknown> = Object.fromEntries(
    Object.keys(schema).map((name) => [name, undefined]),
  );
  const seen = new Set<string>();
  for (const property of list) {
    const spec = Object.hasOwn(schema, property.key) ? schema[property.key] : undefined;
    if (spec === undefined) {
      throw unknownProperty(property, [...Object.keys(schema), ...elsewhere]);
    }
    if (seen.has(property.key)) throw new SqlError('DUPLICATE_PROPERTY', { name: property.key });
    seen.add(property.key);
    values[property.key] = readOne(property, spec);
  }
  return values as PropertyValues<Schemas>;
}

function readOne(property: Property, spec: PropertySpec): string | number | boolean {
  const value = valueOf(property.value, spec);
  if (value === undefined) throw badProperty(property, allowedText(spec));
  return value;
}

function valueOf(text: string, spec: PropertySpec): string | number | boolean | undefined {
  switch (spec.kind) {
    case 'text':
      return spec.pattern?.test(text) === false ? undefined : text;
    case 'int': {
      const value = /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : NaN;
      return value >= spec.min && value <= spec.max ? value : undefined;
    }
    case 'bool':
      return /^true$/i.test(text) ? true : /^false$/i.test(text) ? false : undefined;
    case 'choice':
      return spec.choices.find((word) => word.toLowerCase() === text.trim().toLowerCase());
  }
}

function allowedText(spec: PropertySpec): string {
  switch (spec.kind) {
    case 'text':
      return spec.allowed ?? 'any text';
    case 'int':
      return `a whole number from ${spec.min} to ${spec.max}`;
    case 'bool':
      return 'true, false';
    case 'choice':
      return spec.choices.join(', ');
  }
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

/** Long values are cut: the message is one line, and is logged. */
function shown(value: string): string {
  const safe = withoutLogins(value);
  return safe.length <= 60 ? safe : `${safe.slice(0, 57)}...`;
}
