/**
 * A rule of the grammar as a railroad diagram in SVG. The drawing is done by the railroad-diagrams
 * code (CC0) that the chevrotain package carries for its own HTML diagrams; it is no module, so
 * it is read as a file and evaluated.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { runInNewContext } from 'node:vm';
import type { ISerializedGast } from 'chevrotain';

type Shape = { readonly width: number };
/** Pixels after which a diagram goes on in a new line: what a page shows without shrinking. */
const ROW_WIDTH = 720;
interface Railroad {
  Diagram(...items: Shape[]): { toString(): string };
  Sequence(...items: Shape[]): Shape;
  Stack(...items: Shape[]): Shape;
  Choice(normal: number, ...items: Shape[]): Shape;
  Optional(item: Shape): Shape;
  OneOrMore(item: Shape, separator?: Shape): Shape;
  ZeroOrMore(item: Shape, separator?: Shape): Shape;
  Terminal(text: string): Shape;
  NonTerminal(text: string): Shape;
  Skip(): Shape;
}

const STYLE = `<style>
path { stroke-width: 2; stroke: #57606a; fill: none; }
text { font: bold 13px ui-monospace, monospace; text-anchor: middle; fill: #1f2328; }
rect { stroke-width: 1.5; stroke: #57606a; fill: #ddf4ff; }
.non-terminal rect { fill: #fff8c5; }
@media (prefers-color-scheme: dark) {
  path, rect { stroke: #8b949e; }
  text { fill: #e6edf3; }
  rect { fill: #0c2d6b; }
  .non-terminal rect { fill: #4b3a00; }
}
</style>`;

/** Loads the drawing code; a function of rule definitions by name. */
export function railroadDrawer(
  rules: readonly ISerializedGast[],
  /** Rules that have a diagram of their own; others are drawn in place. */
  named: ReadonlySet<string>,
): (rule: string) => string {
  const railroad = loadRailroad();
  const byName = new Map(rules.map((rule) => [(rule as { name?: string }).name ?? '', rule]));
  return (name) => {
    const rule = byName.get(name);
    if (rule === undefined) throw new Error(`no rule ${name}`);
    const items = flat(definition(rule), byName, named);
    const lines = rows(railroad, shapes(railroad, items, byName, named));
    const diagram = lines.length > 1 ? railroad.Stack(...lines) : lines[0];
    const svg = tidy(railroad.Diagram(...(diagram === undefined ? [] : [diagram])).toString());
    const open = svg.indexOf('>') + 1;
    const head = svg.slice(0, open).replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ');
    return `${head}\n${STYLE}${svg.slice(open).replaceAll(/\n{2,}/g, '\n')}\n`;
  };
}

/** Rules drawn in place, opened up, so that lines can be broken between their parts. */
function flat(
  productions: readonly ISerializedGast[],
  byName: ReadonlyMap<string, ISerializedGast>,
  named: ReadonlySet<string>,
): ISerializedGast[] {
  return productions.flatMap((production) => {
    const { name } = production as { name?: string };
    const rule = name === undefined || named.has(name) ? undefined : byName.get(name);
    if (production.type !== 'NonTerminal' || rule === undefined) return [production];
    return flat(definition(rule), byName, named);
  });
}

function rows(railroad: Railroad, items: readonly Shape[]): Shape[] {
  const lines: Shape[][] = [];
  let width = Infinity;
  for (const item of items) {
    if (width + item.width > ROW_WIDTH) {
      lines.push([]);
      width = 0;
    }
    lines.at(-1)?.push(item);
    width += item.width + 20;
  }
  return lines.map((line) => railroad.Sequence(...line));
}

/** Without the attributes that only the HTML page uses, and without lines of no length. */
function tidy(svg: string): string {
  return svg
    .replaceAll(/ (?:occurrenceIdx|topRuleName|dslRuleName|tokenName|label|rulename)="[^"]*"/gi, '')
    .replaceAll(/<path d="M[\d. ]+h0"><\/path>\n?/g, '');
}

function loadRailroad(): Railroad {
  const entry = createRequire(import.meta.url).resolve('chevrotain');
  const root = entry.slice(0, entry.indexOf('chevrotain') + 'chevrotain'.length);
  const code = readFileSync(join(root, 'diagrams', 'vendor', 'railroad-diagrams.js'), 'utf8');
  const exports = {};
  runInNewContext(code, { exports }, { filename: dirname(entry) });
  return exports as Railroad;
}

function definition(production: ISerializedGast): ISerializedGast[] {
  return (production as { definition?: ISerializedGast[] }).definition ?? [];
}

function shapes(
  railroad: Railroad,
  productions: readonly ISerializedGast[],
  byName: ReadonlyMap<string, ISerializedGast>,
  named: ReadonlySet<string>,
): Shape[] {
  const one = (production: ISerializedGast): Shape => {
    const inside = (): Shape => {
      const items = shapes(railroad, definition(production), byName, named);
      return items.length === 0 ? railroad.Skip() : railroad.Sequence(...items);
    };
    switch (production.type) {
      case 'NonTerminal': {
        const { name } = production as ISerializedGast & { name: string };
        const rule = byName.get(name);
        if (named.has(name) || rule === undefined) return railroad.NonTerminal(spaced(name));
        return railroad.Sequence(...shapes(railroad, definition(rule), byName, named));
      }
      case 'Terminal': {
        const { label } = production as ISerializedGast & { label: string };
        return label.startsWith('a ')
          ? railroad.NonTerminal(label.slice(2))
          : railroad.Terminal(unquoted(label));
      }
      case 'Alternation':
        return railroad.Choice(0, ...definition(production).map(one));
      case 'Option':
        return railroad.Optional(inside());
      case 'Repetition':
        return railroad.ZeroOrMore(inside());
      case 'RepetitionMandatory':
        return railroad.OneOrMore(inside());
      case 'RepetitionWithSeparator':
        return railroad.ZeroOrMore(inside(), separator(railroad, production));
      case 'RepetitionMandatoryWithSeparator':
        return railroad.OneOrMore(inside(), separator(railroad, production));
      case 'Alternative':
      case 'Rule':
        return inside();
    }
  };
  return productions.map(one);
}

function separator(railroad: Railroad, production: ISerializedGast): Shape {
  const { separator: token } = production as ISerializedGast & { separator: { label: string } };
  return railroad.Terminal(unquoted(token.label));
}

const unquoted = (label: string): string => label.replace(/^'(.*)'$/, '$1');

/** `columnSpec` → `column spec`. */
export const spaced = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
