import { describe, expect, it } from '@jest/globals';
import { GlobalVariables, SessionVariables, VARIABLE_NAMES } from '../../server/variables.ts';

const session = (): SessionVariables =>
  new SessionVariables(new GlobalVariables({ version: '8.0.36' }));

describe('system variables', () => {
  it('have a value each, in SHOW VARIABLES and as @@x', () => {
    const variables = session();
    const shown = new Map(variables.list('session'));
    expect([...shown.keys()]).toEqual([...VARIABLE_NAMES].toSorted());
    for (const name of VARIABLE_NAMES) expect(variables.get(name).value).not.toBeUndefined();
    expect(shown.get('autocommit')).toBe('ON');
    expect(variables.get('AutoCommit').value).toBe(1n);
    expect(variables.get('version').value).toBe('8.0.36');
  });

  it('are set per session, and back to the default', () => {
    const globals = new GlobalVariables();
    const [a, b] = [new SessionVariables(globals), new SessionVariables(globals)];
    a.set('wait_timeout', 5n);
    expect([a.get('wait_timeout').value, b.get('wait_timeout').value]).toEqual([5n, 28_800n]);
    b.set('wait_timeout', 7n, 'global');
    expect(a.get('wait_timeout', 'global').value).toBe(7n);
    a.set('wait_timeout', undefined);
    expect(a.get('wait_timeout').value).toBe(7n);
    a.set('wait_timeout', undefined, 'global');
    expect(a.get('wait_timeout').value).toBe(28_800n);
  });

  it('check what they are given', () => {
    const variables = session();
    expect(() => variables.set('no_such', 1n)).toThrow("Unknown system variable 'no_such'");
    expect(() => variables.set('version', 'x')).toThrow(
      "Variable 'version' is a read only variable",
    );
    expect(() => variables.set('autocommit', 2n)).toThrow(
      "Variable 'autocommit' can't be set to the value of '2'",
    );
    expect(() => variables.set('wait_timeout', 'x')).toThrow('allowed: a whole number from 1 to');
    expect(() => variables.set('sql_mode', 'NOPE')).toThrow("can't be set to the value of 'NOPE'");
    expect(() => variables.set('time_zone', 'Mars')).toThrow(
      "Unknown or incorrect time zone: 'Mars'",
    );
    expect(() => variables.set('max_connections', 5n)).toThrow('should be set with SET GLOBAL');
    expect(() => variables.get('port', 'session')).toThrow("Variable 'port' is a GLOBAL variable");
    variables.set('wait_timeout', -5n);
    expect(variables.get('wait_timeout').value).toBe(1n);
  });

  it('know what clients send', () => {
    const variables = session();
    variables.set('character_set_results', null);
    expect(variables.get('character_set_results').value).toBeNull();
    variables.setNames('latin1', undefined);
    expect(variables.get('collation_connection').value).toBe('latin1_swedish_ci');
    expect(() => variables.setNames('klingon', undefined)).toThrow(
      "Unknown character set: 'klingon'",
    );
    variables.set('tx_isolation', 'read-committed');
    expect(variables.get('transaction_isolation').value).toBe('READ-COMMITTED');
    variables.set('sql_mode', 'ansi');
    expect(variables.sqlModeHas('ANSI_QUOTES')).toBe(true);
    variables.set('time_zone', '-3:30');
    expect(variables.timeZone).toBe('-03:30');
    variables.setUserVariable('A', 1n);
    expect(variables.userVariable('a')).toBe(1n);
    variables.reset();
    expect([variables.userVariable('a'), variables.timeZone]).toEqual([null, 'SYSTEM']);
  });

  it('bounds what user variables hold', () => {
    const variables = new SessionVariables(new GlobalVariables({}));
    const text = 'x'.repeat(2 ** 20);
    for (let at = 0; at < 31; at += 1) variables.setUserVariable(`v${at}`, text);
    // The same one again takes no more.
    for (let at = 0; at < 5; at += 1) variables.setUserVariable('v1', text);
    expect(() => {
      variables.setUserVariable('more', text);
    }).toThrow('more than 33554432 bytes');
    variables.setUserVariable('v1', null);
    variables.setUserVariable('more', text);
    variables.reset();
    variables.setUserVariable('a', 'x'.repeat(30 * 2 ** 20));
  });
});
