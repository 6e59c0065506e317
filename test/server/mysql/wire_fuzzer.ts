/**
 * Fuzzing of the wire: conversations of real clients, cut, mutated, reordered, in every state of a
 * connection. One number decides a case.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordedClients, recordedEntries } from '../../clients/recorded.ts';
import { frame, pack } from './framed_socket.ts';
import { FLAGS, RawClient, commandBytes, packetBytes, parseError } from './raw_client.ts';
import { type QueryScript, type TestServer, okStep, textStep } from './scripted_front_door.ts';

const COMPRESS = 0x20;
const SESSION_TRACK = 0x80_0000;
const ZSTD = 0x400_0000;
const QUERY_ATTRIBUTES = 0x800_0000;
/** Turns of the event loop without an answer after which none is waited for. */
const STILL_TURNS = 6;
const ERROR_BYTE = 0xff;

/** Settings of a server that is fuzzed: all states can be reached, and limits come soon. */
export const FUZZED_SETTINGS: Readonly<Record<string, string>> = {
  max_allowed_packet: '65536',
  proxy_protocol_networks: 'localhost',
  max_prepared_stmt_count: '1000000',
};

export interface FuzzTarget {
  readonly port: number;
  /**
   * Resolves when the connection from this port is not at work: it waits for us, or is over.
   * `heard`: bytes that it has answered so far.
   */
  settled(localPort: number, heard: () => number): Promise<void>;
}

class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0..1, by mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** Nobody could log in after it. */
const LOCKS_OUT = /^\s*set\s+password/i;

/** Commands as clients send them: recorded statements, and one of each other kind. */
function corpus(): Buffer[] {
  const statements = recordedClients()
    .flatMap((client) => recordedEntries(client))
    .flatMap(({ command, sql }) =>
      sql === undefined || LOCKS_OUT.test(sql) || !['Query', 'Prepare'].includes(command)
        ? []
        : [commandBytes(command === 'Query' ? 0x03 : 0x16, sql)],
    );
  const one = u32(1);
  const execution = Buffer.concat([one, Buffer.of(0), one]);
  const value = Buffer.from('\u0000\u0001\u00fd\u0000\u0003abc', 'latin1');
  return [
    ...new Map(statements.map((bytes) => [bytes.toString('hex'), bytes])).values(),
    commandBytes(0x16, 'SELECT ?, ?'),
    commandBytes(0x17, execution),
    commandBytes(0x17, Buffer.concat([execution, value])),
    commandBytes(0x17, Buffer.concat([one, Buffer.of(1), one, value])),
    commandBytes(0x18, Buffer.concat([one, Buffer.of(0, 0), Buffer.from('long data')])),
    commandBytes(0x19, one),
    commandBytes(0x1a, one),
    commandBytes(0x1c, Buffer.concat([one, one])),
    commandBytes(0x1b, Buffer.of(0, 0)),
    commandBytes(0x02, 'adm'),
    commandBytes(0x04, 'users\0%'),
    commandBytes(0x07, Buffer.of(1)),
    commandBytes(0x09),
    commandBytes(0x0c, one),
    commandBytes(0x0d),
    commandBytes(0x0e),
    commandBytes(0x11, 'root\0\0adm\0\x2d\0mysql_native_password\0'),
    commandBytes(0x11, 'native\0\0adm\0\x2d\0mysql_native_password\0'),
    commandBytes(0x1f),
    commandBytes(0x01),
  ];
}

const CORPUS = corpus();

type Mutation = (bytes: Buffer, dice: Dice) => Buffer;

const MUTATIONS: readonly Mutation[] = [
  (bytes) => bytes,
  (bytes, dice) => {
    const copy = Buffer.from(bytes);
    for (let count = 1 + dice.below(4); count > 0; count -= 1) {
      const at = dice.below(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << dice.below(8));
    }
    return copy;
  },
  (bytes, dice) => bytes.subarray(0, dice.below(bytes.length + 1)),
  (bytes, dice) => bytes.subarray(dice.below(bytes.length)),
  (bytes, dice) => {
    const at = dice.below(bytes.length + 1);
    return Buffer.concat([
      bytes.subarray(0, at),
      dice.bytes(1 + dice.below(12)),
      bytes.subarray(at),
    ]);
  },
  (bytes) => Buffer.concat([bytes, bytes]),
  // The length, the number, the command.
  (bytes, dice) => {
    const copy = Buffer.from(bytes);
    copy[dice.below(Math.min(5, copy.length))] = dice.pick([0, 1, 0x7f, 0xfb, 0xfe, 0xff]);
    return copy;
  },
  // A right header around anything.
  (_, dice) => packetBytes(dice.bytes(dice.below(60)), 0),
  (bytes, dice) =>
    packetBytes(Buffer.concat([bytes.subarray(4, 5), dice.bytes(dice.below(40))]), 0),
  (_, dice) => dice.bytes(dice.below(80)),
];

/** What a connection has done when the fuzzing begins. */
type Stage = 'connected' | 'login' | 'switched' | 'commands' | 'zlib' | 'zstd' | 'tls' | 'proxy';
const STAGES: readonly Stage[] = [
  'connected',
  'login',
  'switched',
  'commands',
  'commands',
  'commands',
  'zlib',
  'zstd',
  'tls',
  'proxy',
];

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true }, () => {
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** Mutated commands, in an order that no client has. */
function noise(dice: Dice): Buffer[] {
  return Array.from({ length: 1 + dice.below(8) }, () => {
    const bytes = dice.pick(CORPUS);
    return dice.chance(0.4) ? bytes : dice.pick(MUTATIONS)(bytes, dice);
  });
}

async function reach(stage: Stage, dice: Dice, client: RawClient): Promise<Buffer[]> {
  const optional = [FLAGS.deprecateEof, FLAGS.multiStatements, QUERY_ATTRIBUTES, SESSION_TRACK];
  const extra = optional.reduce((bits, bit) => bits | (dice.chance(0.5) ? bit : 0), 0);
  const flags = FLAGS.base | FLAGS.pluginAuth | FLAGS.connectAttrs | extra;
  const attributes = { program_name: 'fuzz', _pid: '1' };
  if (stage === 'connected') return noise(dice);
  if (stage === 'proxy') {
    const head = Buffer.from('0d0a0d0a000d0a515549540a2111000c7f0000010a00000130390cea', 'hex');
    return [
      dice.pick(MUTATIONS)(head, dice),
      packetBytes(client.loginPayload({ flags }), 1),
      ...noise(dice),
    ];
  }
  await client.readGreeting();
  const user = dice.pick(['root', 'native', 'sha', 'nobody']);
  if (stage === 'tls') {
    const request = client.loginPayload({ flags: flags | 0x800 }).subarray(0, 32);
    return [packetBytes(request, 1), dice.bytes(dice.below(200)), ...noise(dice)];
  }
  if (stage === 'login') {
    const login = packetBytes(client.loginPayload({ user, flags, attributes }), 1);
    return [dice.pick(MUTATIONS)(login, dice), ...noise(dice)];
  }
  if (stage === 'switched') {
    client.send(client.loginPayload({ user: 'sha', password: 'secret', flags }), 1);
    await client.read();
    const answer = packetBytes(dice.bytes(dice.pick([0, 1, 20, 32, 256])), 3);
    return [dice.pick(MUTATIONS)(answer, dice), ...noise(dice)];
  }
  const compression = stage === 'zlib' ? COMPRESS : stage === 'zstd' ? ZSTD : 0;
  client.send(client.loginPayload({ flags: flags | compression, attributes }), 1);
  await client.finishLogin('');
  if (stage === 'commands') return noise(dice);
  return noise(dice).map((bytes) => {
    const whole = dice.chance(0.5) ? frame(pack(bytes, stage), bytes.length) : frame(bytes, 0);
    return dice.chance(0.5) ? whole : dice.pick(MUTATIONS)(whole, dice);
  });
}

/** What came of a case, in a word: cases of the same outcome have probably taken the same way. */
export interface FuzzOutcome {
  readonly seed: number;
  readonly signature: string;
}

/** Runs one case. Rejects when the server can no longer be talked to. */
export async function fuzz(seed: number, target: FuzzTarget): Promise<FuzzOutcome> {
  const dice = new Dice(seed);
  const socket = await opened(target.port);
  const client = new RawClient(socket);
  const { localPort = 0 } = socket;
  const stage = dice.pick(STAGES);
  const pieces = await reach(stage, dice, client);
  const answers: Buffer[] = [];
  socket.on('data', (chunk) => answers.push(chunk));
  if (dice.chance(0.2)) pieces.sort(() => dice.next() - 0.5);
  const bytes = Buffer.concat(pieces);
  for (let at = 0; at < bytes.length && socket.writable;) {
    const size = dice.chance(0.5) ? bytes.length : 1 + dice.below(40);
    socket.write(bytes.subarray(at, at + size));
    at += size;
  }
  if (dice.chance(0.3)) socket.destroy();
  await target.settled(localPort, () => answers.reduce((sum, { length }) => sum + length, 0));
  socket.destroy();
  return { seed, signature: `${stage} ${errnosOf(Buffer.concat(answers)).join(' ')}` };
}

/** Numbers of the errors among whole packets; of what is no packet nothing is said. */
function errnosOf(bytes: Buffer): readonly number[] {
  const errnos = new Set<number>();
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUIntLE(at, 3);
    if (end > bytes.length) break;
    const payload = bytes.subarray(at + 4, end);
    if (payload[0] === ERROR_BYTE && payload.length > 9) errnos.add(parseError(payload).errno);
    at = end;
  }
  return [...errnos].sort((a, b) => a - b);
}

/** Rows, OK, or an error of the signal, whatever the statement is. */
export const answerAnything: QueryScript = async function* answer(sql, { signal }) {
  await Promise.resolve();
  signal.throwIfAborted();
  if (sql.length % 3 === 0) yield okStep();
  else yield textStep(Array.from({ length: sql.length % 50 }, () => sql));
};

export function fuzzTarget({ port, listener }: TestServer): FuzzTarget {
  const isBusy = (localPort: number): boolean =>
    listener.connections.list().find((one) => one.port === localPort)?.state === 'executing';
  return {
    port,
    // It must not be busy for ever. Some turns of the loop show that it has read what was sent.
    settled: async (localPort, heard) => {
      for (let still = 0, last = -1; still < STILL_TURNS;) {
        await nextTurn();
        still = !isBusy(localPort) && heard() === last ? still + 1 : 0;
        last = heard();
      }
    },
  };
}
