/**
 * What could have stood where a statement went wrong: walks the grammar over the statement's
 * tokens, all alternatives at once, and keeps the furthest place and the terminals tried there.
 * Chevrotain's own error names only one alternative, and misses optional clauses.
 */
import {
  Alternation,
  Alternative,
  NonTerminal,
  Option,
  Repetition,
  RepetitionMandatory,
  RepetitionMandatoryWithSeparator,
  RepetitionWithSeparator,
  Terminal,
  type IProduction,
  type Rule,
  type TokenType,
} from 'chevrotain';
import type { Token } from './lexer.ts';

/** Bounds the walk over long or ambiguous texts. */
const STEPS_MAX = 100_000;

export interface Furthest {
  /** Index of the token that fits nowhere; the number of tokens: the end. */
  readonly at: number;
  readonly expected: readonly TokenType[];
  /** Whether the statement could have ended there. */
  readonly complete: boolean;
}

/** What remains to be matched: a linked list, so that branches share their tails. */
interface Rest {
  readonly head: IProduction;
  readonly tail: Rest | undefined;
}

/** undefined when the walk would be too long, or finds no fault (a GATE refused something). */
export function furthest(rule: Rule, tokens: readonly Token[]): Furthest | undefined {
  let at = -1;
  let expected: TokenType[] = [];
  let complete = false;
  const reach = (index: number): boolean => {
    if (index > at) {
      at = index;
      expected = [];
      complete = false;
    }
    return index === at;
  };
  const work: { rest: Rest | undefined; index: number }[] = [
    { rest: sequence(rule.definition, undefined), index: 0 },
  ];
  for (let steps = 0; ; steps += 1) {
    const item = work.pop();
    if (item === undefined) break;
    if (steps > STEPS_MAX) return undefined;
    const { rest, index } = item;
    if (rest === undefined) {
      if (index === tokens.length) return undefined;
      if (reach(index)) complete = true;
    } else if (rest.head instanceof Terminal) {
      const type = rest.head.terminalType;
      const token = tokens[index];
      if (token !== undefined && matches(token, type))
        work.push({ rest: rest.tail, index: index + 1 });
      else if (reach(index)) expected.push(type);
    } else {
      for (const branch of branches(rest.head, rest.tail)) work.push({ rest: branch, index });
    }
  }
  return { at, expected, complete };
}

function branches(production: IProduction, tail: Rest | undefined): (Rest | undefined)[] {
  if (production instanceof NonTerminal) {
    return [sequence(production.referencedRule.definition, tail)];
  }
  if (production instanceof Alternation) {
    return production.definition.map((alternative) => sequence([alternative], tail));
  }
  if (production instanceof Alternative) return [sequence(production.definition, tail)];
  if (production instanceof Option) return [tail, sequence(production.definition, tail)];
  if (production instanceof Repetition) {
    return [tail, sequence(production.definition, { head: production, tail })];
  }
  if (production instanceof RepetitionMandatory) {
    const again = new Repetition({ definition: production.definition });
    return [sequence(production.definition, { head: again, tail })];
  }
  if (
    production instanceof RepetitionWithSeparator ||
    production instanceof RepetitionMandatoryWithSeparator
  ) {
    const { definition, separator } = production;
    const next = [new Terminal({ terminalType: separator }), ...definition];
    const again = { head: new Repetition({ definition: next }), tail };
    const some = sequence(definition, again);
    return production instanceof RepetitionWithSeparator ? [tail, some] : [some];
  }
  return [];
}

function sequence(definition: readonly IProduction[], tail: Rest | undefined): Rest | undefined {
  let rest = tail;
  for (const head of definition.toReversed()) rest = { head, tail: rest };
  return rest;
}

function matches(token: Token, type: TokenType): boolean {
  if (token.tokenTypeIdx === type.tokenTypeIdx) return true;
  return type.categoryMatches?.includes(token.tokenTypeIdx) ?? false;
}
