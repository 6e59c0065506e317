import { describe, expect, it } from '@jest/globals';
import { type BenchResult, jsonText, meets, numberText, tableText } from '../../bench/report.ts';

const RESULTS: readonly BenchResult[] = [
  {
    bench: 'one',
    seconds: 1.5,
    figures: [
      { name: 'ratio', value: 0.8, unit: '', goal: { is: 'at least', value: 0.8 } },
      { name: 'start', value: 0.5, unit: 's', goal: { is: 'below', value: 0.5 }, note: 'why' },
    ],
  },
  { bench: 'two', seconds: 0, figures: [], failure: 'Error: no disk' },
];

describe('meets', () => {
  it('takes the bound itself as met for "at least" only', () => {
    expect(meets({ is: 'at least', value: 2 }, 2)).toBe(true);
    expect(meets({ is: 'at least', value: 2 }, 1.99)).toBe(false);
    expect(meets({ is: 'below', value: 2 }, 2)).toBe(false);
    expect(meets({ is: 'below', value: 2 }, 1.99)).toBe(true);
  });

  it('holds for no figure that could not be measured', () => {
    expect(meets({ is: 'below', value: 2 }, Number.NaN)).toBe(false);
    expect(meets({ is: 'at least', value: 2 }, Number.NaN)).toBe(false);
  });
});

describe('numberText', () => {
  it.each([
    [0, '0'],
    [0.123456, '0.123'],
    [12.3456, '12.3'],
    [999.9, '1000'],
    [1234.5, '1,235'],
    [1_234_567, '1,234,567'],
    [Number.NaN, '-'],
  ])('%d is written %s', (value, text) => {
    expect(numberText(value)).toBe(text);
  });
});

it('the table has a line per figure and one per failure', () => {
  expect(tableText(RESULTS)).toBe(
    [
      'bench  figure  value  unit  goal          note',
      'one    ratio     0.8        >= 0.8 met',
      'one    start     0.5  s     < 0.5 MISSED  why',
      'two    FAILED                             Error: no disk',
      '',
    ].join('\n'),
  );
});

it('the JSON file has the machine, the figures as measured, and the verdicts', () => {
  const machine = { cpu: 'c', cores: 2, memoryGib: 8, node: 'v24', quick: false };
  const [one, two] = RESULTS;
  expect(JSON.parse(jsonText(machine, RESULTS))).toEqual({
    machine,
    results: [
      {
        ...one,
        figures: [
          { ...one?.figures[0], met: true },
          { ...one?.figures[1], met: false },
        ],
      },
      two,
    ],
  });
});
