import { describe, expect, it } from '@jest/globals';
import { jobIdOf } from '../../parser/job_ref.ts';
import { parseStatements } from '../../parser/parse.ts';
import { readProperties } from '../../parser/properties.ts';
import type { StatementKind, StatementOf } from '../../parser/statement.ts';
import { tableFilterText } from '../../base/table_filter.ts';
import { checkWarmUp } from '../../parser/warm_up_rules.ts';

const OPTIONS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 26, allowMulti: false };

function parse<Kind extends StatementKind>(kind: Kind, text: string): StatementOf<Kind> {
  const statement = parseStatements(text, OPTIONS)[0]?.statement;
  if (statement?.kind !== kind) throw new Error(`a ${statement?.kind}`);
  return statement as StatementOf<Kind>;
}

describe('readProperties', () => {
  const read = (list: string): unknown =>
    readProperties(parse('AdminSetConfig', `ADMIN SET FRONTEND CONFIG ${list}`).properties, {
      type: { kind: 'choice', choices: ['s3', 'file'] },
      n: { kind: 'int', min: 1, max: 9 },
      use_path_style: { kind: 'bool' },
      name: { kind: 'text' },
    });

  it('reads by type', () => {
    expect(read('("type" = "S3", n = 3, "use_path_style" = "TRUE")')).toEqual({
      type: 's3',
      n: 3,
      use_path_style: true,
      name: undefined,
    });
  });

  it.each([
    [
      '("tpye" = "s3")',
      "Unknown property 'tpye'; did you mean 'type'?; allowed: type, n, use_path_style, name",
    ],
    ['("type" = "hdfs")', "Invalid value 'hdfs' for property 'type'; allowed: s3, file"],
    ['("n" = "10")', "Invalid value '10' for property 'n'; allowed: a whole number from 1 to 9"],
    ['("n" = "1.5")', "Invalid value '1.5' for property 'n'"],
    ['("use_path_style" = "yes")', 'allowed: true, false'],
    ['("name" = "a", "name" = "a")', "Property 'name' is given twice"],
    ['("__proto__" = "a")', "Unknown property '__proto__'"],
  ])('%s', (list, message) => {
    expect(() => read(list)).toThrow(message);
  });
});

describe('checkWarmUp', () => {
  const check = (rest: string): ReturnType<typeof checkWarmUp> =>
    checkWarmUp(parse('WarmUp', `WARM UP CLUSTER d WITH ${rest}`));

  it.each([
    ['CLUSTER s', 'ONCE'],
    ['TABLE t', 'ONCE'],
    ['TABLE t PROPERTIES ("sync_mode" = "once")', 'ONCE'],
    ['CLUSTER s PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "1")', 'PERIODIC (1s)'],
    [
      'CLUSTER s PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "LOAD")',
      'EVENT_DRIVEN (LOAD)',
    ],
  ])('%s', (rest, text) => {
    expect(check(rest).syncModeText).toBe(text);
  });

  const EVENT = 'PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "load")';
  it.each([
    ['CLUSTER s PROPERTIES ("sync_mode" = "oncee")', 'allowed: once, periodic, event_driven'],
    ['CLUSTER s PROPERTIES ("sync_mode" = "periodic")', 'No sync_interval_sec is provided'],
    [
      'CLUSTER s PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "0")',
      'Illegal sync_interval_sec: 0',
    ],
    [
      'CLUSTER s PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "-1")',
      'Illegal sync_interval_sec: -1',
    ],
    [
      'CLUSTER s PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "ten")',
      'Illegal sync_interval_sec: ten',
    ],
    ['CLUSTER s PROPERTIES ("sync_mode" = "event_driven")', 'No sync_event is provided'],
    [
      'CLUSTER s PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "query")',
      'Illegal sync_event: query; allowed: load',
    ],
    [
      'CLUSTER s PROPERTIES ("sync_interval_sec" = "10")',
      "Property 'sync_interval_sec' means nothing with sync_mode=once",
    ],
    ['CLUSTER s PROPERTIES ("interval" = "10")', "Unknown property 'interval'"],
    ['TABLE t PROPERTIES ("sync_mode" = "periodic")', 'once (a WITH TABLE job runs once)'],
    [`TABLE t ON TABLES (INCLUDE 'a.b')`, 'ON TABLES clause cannot be used with WITH TABLE'],
    [
      `CLUSTER s ON TABLES (INCLUDE 'a.b')`,
      'ON TABLES clause is only supported with event_driven sync_mode',
    ],
    [
      `CLUSTER s ON TABLES (EXCLUDE 'a.b') ${EVENT}`,
      'ON TABLES clause must contain at least one INCLUDE rule',
    ],
    [
      `CLUSTER s ON TABLES (INCLUDE 'ab') ${EVENT}`,
      "ON TABLES pattern must be in 'db.table' format: 'ab'",
    ],
  ])('%s is refused', (rest, message) => {
    expect(() => check(rest)).toThrow(message);
  });

  it('has one text for equal filters', () => {
    const rules = check(
      `CLUSTER s ON TABLES (INCLUDE 'b.*', EXCLUDE 'b.x', INCLUDE 'a.*', INCLUDE 'b.*') ${EVENT}`,
    );
    if (rules.syncMode !== 'EVENT_DRIVEN' || rules.filter === undefined)
      throw new Error('no filter');
    expect(tableFilterText(rules.filter)).toBe('{"include":["a.*","b.*"],"exclude":["b.x"]}');
    expect(tableFilterText({ include: ['a.b'], exclude: [] })).toBe('{"include":["a.b"]}');
  });
});

describe('jobIdOf', () => {
  const idOf = (rest: string): number =>
    jobIdOf(parse('CancelWarmUpJob', `CANCEL WARM UP JOB ${rest}`).job);

  it.each(['17', 'WHERE id = 17', 'where ID=17', 'WHERE JobId = 17'])('%s', (rest) => {
    expect(idOf(rest)).toBe(17);
  });

  it.each([
    'WHERE id = "x"',
    'WHERE id > 17',
    'WHERE id = 17 AND a = 1',
    'WHERE 17',
    'WHERE state = 17',
  ])('%s is refused', (rest) => {
    expect(() => idOf(rest)).toThrow('Where clause should looks like one of them: id = 123');
  });

  it('needs an id', () => {
    expect(() => idOf('')).toThrow('Missing job id');
  });
});
