/**
 * How a backend that is a process of its own and the server talk: the backend asks, by HTTP, all
 * with the cluster's token. It registers, then keeps one long poll open, in whose answers are the
 * calls for it; it posts their replies, and its own calls. What got lost is repeated under the same
 * number, and both sides know what they had already. Bodies are wire text (`wire_json.ts`).
 *
 * A session lasts as long as the process and the server both live; numbers count within a session.
 */
import type { WireError } from './errors.ts';
import type { BackendId } from './ids.ts';

export const REGISTER_PATH = '/api/_backend/register';
export const POLL_PATH = '/api/_backend/poll';
export const REPLY_PATH = '/api/_backend/reply';
export const CALL_PATH = '/api/_backend/call';
export const LEAVE_PATH = '/api/_backend/leave';

/** Longest body of any of these, bytes: rows of an INSERT, or a batch of a scan. */
export const MESSAGE_BYTES_MAX = 256 * 2 ** 20;
/** The server answers a poll after this long, with nothing if there is nothing. */
export const POLL_MS = 20_000;

/** Of these messages and of those in `agent_messages.ts`: both sides must have the same. */
export const PROTOCOL = 1;

export interface RegisterRequest {
  readonly protocol: number;
  /** Drawn by the process at its start: who it is for the server. */
  readonly process: string;
  readonly host: string;
  /** 0 until it listens, when any free port was asked for. */
  readonly httpPort: number;
  /** For a backend that the server does not know; absent: the first group. */
  readonly computeGroup?: string;
  /** What its data directory remembers; absent: the directory is new. */
  readonly known?: {
    readonly clusterId: string;
    readonly backendId: BackendId;
    /** Rises with each start of a process on the directory. */
    readonly generation: number;
  };
}

export type RegisterReply =
  | {
      readonly status: 'OK';
      readonly session: string;
      readonly clusterId: string;
      readonly backendId: BackendId;
      readonly generation: number;
      readonly computeGroupName: string;
      readonly config: Readonly<Record<string, string>>;
    }
  | {
      readonly status: 'REFUSED';
      readonly why: string;
      /** Asking again is of no use: another process has taken the backend over. */
      readonly isFinal: boolean;
    };

/** Who speaks; of every message after the registration. */
export interface SessionKey {
  readonly backendId: BackendId;
  readonly session: string;
}

export interface PollRequest extends SessionKey {
  /** Number of the last frame that arrived; 0: none. Later ones are sent (again). */
  readonly seen: number;
}

/** FE → BE. Numbers rise by one. */
export type ServerFrame =
  | {
      readonly kind: 'call';
      readonly number: number;
      readonly name: string;
      readonly request: unknown;
      readonly timeoutMs: number;
    }
  /** Nobody waits for the call any more. */
  | { readonly kind: 'cancel'; readonly number: number; readonly call: number };

/** REGISTER: the server does not know the session (it was restarted, or the backend dropped). */
export type PollReply =
  | { readonly status: 'OK'; readonly frames: readonly ServerFrame[] }
  | { readonly status: 'REGISTER' };

export interface ReplyRequest extends SessionKey {
  readonly call: number;
  readonly outcome: Outcome;
}

export type Outcome = { readonly value: unknown } | { readonly error: WireError };

export type ReplyReply = { readonly status: 'OK' | 'REGISTER' };

/** BE → FE. A repeat gets the outcome of the first. */
export interface CallRequest extends SessionKey {
  readonly number: number;
  /** No call below this is outstanding: their outcomes can be forgotten. */
  readonly oldest: number;
  readonly name: string;
  readonly request: unknown;
  readonly timeoutMs: number;
}

export type CallReply =
  | { readonly status: 'OK'; readonly outcome: Outcome }
  | { readonly status: 'REGISTER' };
