/** What OK packets tell of a session, and what comes with statements beside their text. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { TrackedState } from '../../../server/mysql/session_tracker.ts';
import { FLAGS, RawClient, lenencText } from './raw_client.ts';
import { type TestServer, okStep, startServer, textStep } from './scripted_front_door.ts';

const SESSION_TRACK = 0x80_0000;
const QUERY_ATTRIBUTES = 0x800_0000;
const CHANGED = 0x4000;

let server: TestServer;
const clients: RawClient[] = [];

beforeEach(async () => {
  server = await startServer();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server.close();
});

async function loggedIn(flags: number): Promise<RawClient> {
  const client = await RawClient.loggedIn(server.port, {
    flags: FLAGS.base | FLAGS.pluginAuth | flags,
  });
  clients.push(client);
  return client;
}

/** The session state of an OK packet: `schema x`, `name=value`. */
function changes(payload: Buffer): string[] {
  const status = payload.readUInt16LE(3);
  if ((status & CHANGED) === 0) return [];
  expect(payload[7]).toBe(0); // no info
  const block = payload.subarray(9, 9 + (payload[8] ?? 0));
  const found: string[] = [];
  for (let at = 0; at < block.length;) {
    const [type = 0, length = 0] = block.subarray(at);
    const body = block.subarray(at + 2, at + 2 + length);
    const texts: string[] = [];
    for (let from = 0; from < body.length; from += 1 + (body[from] ?? 0)) {
      texts.push(body.subarray(from + 1, from + 1 + (body[from] ?? 0)).toString());
    }
    found.push(type === 1 ? `schema ${texts[0]}` : texts.join('='));
    at += 2 + length;
  }
  return found;
}

describe('session tracking', () => {
  const state: { tracked: TrackedState } = {
    tracked: { schema: '', variables: new Map() },
  };

  async function told(client: RawClient, next: TrackedState): Promise<string[]> {
    const session = server.door.sessions.at(-1);
    if (session !== undefined) Object.assign(session, { tracked: next });
    client.command(0x0e);
    return changes((await client.read())?.payload ?? Buffer.alloc(0));
  }

  it('tells what changed, once', async () => {
    const client = await loggedIn(SESSION_TRACK);
    Object.assign(server.door.sessions.at(-1) ?? {}, state);
    const variables = new Map([
      ['autocommit', 'ON'],
      ['time_zone', 'SYSTEM'],
    ]);
    expect(await told(client, { schema: 'd', variables })).toEqual([
      'schema d',
      'autocommit=ON',
      'time_zone=SYSTEM',
    ]);
    expect(await told(client, { schema: 'd', variables })).toEqual([]);
    const utc = new Map([...variables, ['time_zone', '+00:00']] as const);
    expect(await told(client, { schema: 'd', variables: utc })).toEqual(['time_zone=+00:00']);
    expect(await told(client, { schema: undefined, variables: utc })).toEqual([]);
  });

  it('is for clients that ask for it', async () => {
    const client = await loggedIn(0);
    expect(await told(client, { schema: 'd', variables: new Map([['a', 'b']]) })).toEqual([]);
  });
});

describe('query attributes', () => {
  const attributes = Buffer.concat([
    Buffer.of(2, 1, 0b10, 1), // two of them, one set, the second is NULL, types follow
    Buffer.of(0xfd, 0),
    lenencText('traceparent'),
    Buffer.of(0x03, 0),
    lenencText('n'),
    lenencText('00-abc'),
  ]);

  it('stand before the text of a statement and are no part of it', async () => {
    server.door.onQuery = async function* (sql) {
      await Promise.resolve();
      yield textStep([sql]);
    };
    const client = await loggedIn(QUERY_ATTRIBUTES);
    client.command(0x03, Buffer.concat([Buffer.of(0, 1), Buffer.from('SELECT 1')]));
    expect((await client.readResult()).rows).toEqual([['SELECT 1']]);
    client.command(0x03, Buffer.concat([attributes, Buffer.from('SELECT 2')]));
    expect((await client.readResult()).rows).toEqual([['SELECT 2']]);
    for (const bad of [
      Buffer.of(9),
      attributes.subarray(0, 9),
      Buffer.of(0xfd, 0xff, 0xff, 0xff, 1),
    ]) {
      client.command(0x03, bad);
      expect((await client.readResult()).errno).toBe(1835);
    }
    client.command(0x0e);
    expect((await client.readResult()).kind).toBe('ok');
  });

  it('stand behind the values of a prepared statement', async () => {
    server.door.onQuery = async function* (sql) {
      await Promise.resolve();
      server.door.calls.push(sql);
      yield okStep();
    };
    const client = await loggedIn(QUERY_ATTRIBUTES);
    client.command(0x16, 'INSERT ?');
    const { id } = await client.readPrepared();
    const head = Buffer.alloc(9);
    head.writeUInt32LE(id);
    head.writeUInt32LE(1, 5);
    const value = [Buffer.of(0xfd, 0), lenencText('')];
    client.command(
      0x17,
      Buffer.concat([head, Buffer.of(1, 0, 1), ...value, lenencText('only'), Buffer.alloc(0)]),
    );
    expect((await client.readResult()).kind).toBe('ok');
    head[4] = 0x08; // the count is there
    const types = [...value, Buffer.of(0x03, 0), lenencText('n')];
    const values = [lenencText('mine'), Buffer.of(7, 0, 0, 0)];
    client.command(0x17, Buffer.concat([head, Buffer.of(2, 0, 1), ...types, ...values]));
    expect((await client.readResult()).kind).toBe('ok');
    expect(server.door.calls).toEqual(
      expect.arrayContaining(['INSERT ? ["only"]', 'INSERT ? ["mine"]']),
    );
  });
});
