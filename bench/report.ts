/** Figures as a table for people and as JSON for machines. */
import type { Figure, Goal } from './bench.ts';

export interface BenchResult {
  readonly bench: string;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  /** Why there are no figures, or not all. */
  readonly failure?: string;
}

/** Where the figures were measured: they mean nothing without it. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly node: string;
  readonly quick: boolean;
}

export function meets(goal: Goal, value: number): boolean {
  return goal.is === 'below' ? value < goal.value : value >= goal.value;
}

/** Three significant digits, or whole numbers from 1000 on, with thousands separated. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(3)));
}

export function tableText(results: readonly BenchResult[]): string {
  const rows = [['bench', 'figure', 'value', 'unit', 'goal', 'note']];
  for (const { bench, figures, failure } of results) {
    for (const { name, value, unit, goal, note } of figures) {
      rows.push([bench, name, numberText(value), unit, goalText(goal, value), note ?? '']);
    }
    if (failure !== undefined) rows.push([bench, 'FAILED', '', '', '', failure]);
  }
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 2 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}

function goalText(goal: Goal | undefined, value: number): string {
  if (goal === undefined) return '';
  const met = meets(goal, value) ? 'met' : 'MISSED';
  return `${goal.is === 'below' ? '<' : '>='} ${numberText(goal.value)} ${met}`;
}

export function jsonText(machine: Machine, results: readonly BenchResult[]): string {
  const withVerdict = results.map(({ figures, ...rest }) => ({
    ...rest,
    figures: figures.map((figure) => ({
      ...figure,
      ...(figure.goal === undefined ? {} : { met: meets(figure.goal, figure.value) }),
    })),
  }));
  return `${JSON.stringify({ machine, results: withVerdict }, undefined, 2)}\n`;
}
