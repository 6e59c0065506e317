import { getEventListeners } from 'node:events';
import { expect, it } from '@jest/globals';
import { StatementAbort } from '../../server/statement_abort.ts';

it('follows the signal of its connection, with the reason', () => {
  const connection = new AbortController();
  const abort = new StatementAbort(connection.signal);
  expect(abort.signal.aborted).toBe(false);
  const reason = new Error('killed');
  connection.abort(reason);
  expect(abort.signal.reason).toBe(reason);
  expect(new StatementAbort(connection.signal).signal.reason).toBe(reason);
});

it('has an own reason, which its connection does not see', () => {
  const connection = new AbortController();
  const abort = new StatementAbort(connection.signal);
  const reason = new Error('too late');
  abort.abort(reason);
  connection.abort(new Error('killed'));
  expect(abort.signal.reason).toBe(reason);
});

it('leaves nothing at its connection when it is over', () => {
  const connection = new AbortController();
  for (let at = 0; at < 20; at += 1) new StatementAbort(connection.signal).end();
  expect(getEventListeners(connection.signal, 'abort')).toEqual([]);
  const ended = new StatementAbort(connection.signal);
  ended.end();
  connection.abort();
  expect(ended.signal.aborted).toBe(false);
});
