import { MessageChannel } from 'node:worker_threads';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../base/errors.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { PortRpc } from '../../base/port_rpc.ts';
import { systemClock } from '../../base/system_ports.ts';

type Handler = (name: string, request: unknown, signal: AbortSignal) => Promise<unknown>;

const lost = (what: string, why: string): SqlError =>
  new SqlError('AGENT_LOST', { backend: 1, what, why });
const rpcOf = (port: ConstructorParameters<typeof PortRpc>[0], handler: Handler): PortRpc =>
  new PortRpc(port, { clock: systemClock, log: SILENT_LOG, handler, lost });
const nobody: Handler = async () => await Promise.reject(new Error('nobody asks here'));

describe('a port that both sides call through', () => {
  let channel: MessageChannel;
  let handled: string[];
  let handler: Handler;
  let caller: PortRpc;

  beforeEach(() => {
    channel = new MessageChannel();
    handled = [];
    handler = async (name) => {
      handled.push(name);
      return await Promise.resolve({ name });
    };
    rpcOf(channel.port1, async (...args) => await handler(...args));
    caller = rpcOf(channel.port2, nobody);
  });
  afterEach(() => {
    channel.port1.close();
    channel.port2.close();
  });

  it('brings answers and errors back', async () => {
    expect(await caller.call('a', {}, { timeoutMs: 5000 })).toEqual({ name: 'a' });
    handler = async () => await Promise.reject(new SqlError('NO_DB'));
    await expect(caller.call('b', {}, { timeoutMs: 5000 })).rejects.toMatchObject({ errno: 1046 });
  });

  it('tells the handler when nobody waits any more', async () => {
    const begun = Promise.withResolvers<AbortSignal>();
    handler = async (_name, _request, signal) => {
      begun.resolve(signal);
      return await new Promise(() => undefined);
    };
    const abort = new AbortController();
    const waiting = caller.call('a', {}, { timeoutMs: 60_000, signal: abort.signal });
    const signal = await begun.promise;
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ errno: 1317 });
    while (!signal.aborted) await nextTurn();
  });
});

describe('the side that is called', () => {
  it('begins its work in a later turn, so that messages without end leave turns to others', async () => {
    const listeners: ((message: unknown) => void)[] = [];
    const begun: [name: string, aborted: boolean][] = [];
    const port = {
      on: (_event: 'message', listener: (message: unknown) => void): unknown =>
        listeners.push(listener),
      postMessage: (): void => undefined,
    };
    rpcOf(port, async (name, _request, signal) => {
      begun.push([name, signal.aborted]);
      return await Promise.resolve({});
    });
    const [receive] = listeners;
    if (receive === undefined) throw new Error('nobody listens');
    receive({ type: 'call', id: 1, name: 'a', request: {} });
    receive({ type: 'call', id: 2, name: 'b', request: {} });
    receive({ type: 'cancel', id: 2 });
    await Promise.resolve();
    expect(begun).toEqual([]);
    await nextTurn();
    expect(begun).toEqual([
      ['a', false],
      ['b', true],
    ]);
  });
});
