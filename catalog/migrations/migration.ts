/**
 * A numbered step of the schema. Never edited after it shipped: a change of the schema is a new
 * file with the next number.
 */
export interface Migration {
  /** 1, 2, 3, ... without gaps. */
  readonly version: number;
  readonly name: string;
  /** Run in order, in one transaction per migration. */
  readonly statements: readonly string[];
}
