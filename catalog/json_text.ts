/** JSON in catalog columns. SQL values may be bigint, which JSON lacks: `{"$bigint":"123"}`. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'bigint' ? { $bigint: item.toString() } : item,
  );
}

/** The reverse of `toJson`; the caller knows what it wrote. */
export function fromJson<T>(text: string): T {
  return JSON.parse(text, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || !('$bigint' in item)) return item;
    return BigInt(String(item.$bigint));
  }) as T;
}
