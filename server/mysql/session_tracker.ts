/** Session tracking: OK packets tell a client what has changed in its session since the last. */
import type { SessionHandler } from './handler.ts';

const TRACK_VARIABLE = 0x00;
const TRACK_SCHEMA = 0x01;

/** What a session lets its client know. */
export interface TrackedState {
  /** undefined: it is not tracked (session_track_schema). */
  readonly schema: string | undefined;
  /** Variables by name, as SHOW VARIABLES writes them. */
  readonly variables: ReadonlyMap<string, string>;
}

const NOTHING: TrackedState = { schema: undefined, variables: new Map() };

/** Compares what a session is with what its client was told last. */
export class SessionTracker {
  #told: TrackedState = NOTHING;

  /** The client knows: it has just logged in, with what it asked for. */
  begin(session: SessionHandler): void {
    this.#told = session.tracked ?? NOTHING;
  }

  /** The changes as an OK packet has them; undefined: none. */
  take(session: SessionHandler | undefined): Buffer | undefined {
    const now = session?.tracked;
    if (now === undefined) return undefined;
    const told = this.#told;
    this.#told = now;
    const entries: Buffer[] = [];
    if (now.schema !== undefined && now.schema !== told.schema) {
      entries.push(entry(TRACK_SCHEMA, lenencText(now.schema)));
    }
    for (const [name, value] of now.variables) {
      if (told.variables.get(name) === value) continue;
      entries.push(entry(TRACK_VARIABLE, lenencText(name), lenencText(value)));
    }
    return entries.length === 0 ? undefined : Buffer.concat(entries);
  }
}

function entry(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(type), lenenc(body.length), body]);
}

function lenencText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([lenenc(bytes.length), bytes]);
}

/** Up to 16 MiB; names and values of variables are shorter. */
function lenenc(value: number): Buffer {
  if (value < 0xfb) return Buffer.of(value);
  const wide = value > 0xff_ff;
  const bytes = Buffer.alloc(wide ? 4 : 3);
  bytes[0] = wide ? 0xfd : 0xfc;
  bytes.writeUIntLE(value, 1, wide ? 3 : 2);
  return bytes;
}
