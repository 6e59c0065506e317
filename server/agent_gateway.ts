/**
 * The server's end of remote backends: routes that they ask (`base/remote_messages.ts`), and the
 * `AgentTransport` to them. A backend has one session; a registration begins the next one.
 */
import { agentLost } from '../base/agent_lost.ts';
import type {
  AgentCallName,
  AgentCallOptions,
  AgentCalls,
  AgentTransport,
  FrontendPort,
} from '../base/agent_messages.ts';
import { httpCaller } from '../base/http_access.ts';
import { BodyTooLong, readBody } from '../base/http_body.ts';
import type { HttpAnswer, HttpRequest, Route } from '../base/http_server.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import {
  CALL_PATH,
  type CallRequest,
  LEAVE_PATH,
  MESSAGE_BYTES_MAX,
  POLL_PATH,
  type PollRequest,
  REGISTER_PATH,
  REPLY_PATH,
  type RegisterReply,
  type RegisterRequest,
  type ReplyRequest,
  type SessionKey,
} from '../base/remote_messages.ts';
import { fromWireText, toWireText } from '../base/wire_json.ts';
import { RemoteSession } from './remote_session.ts';

const SESSION_BYTES = 16;

/** What a registration came to, before it has a session. */
export type Admission =
  | Omit<Extract<RegisterReply, { readonly status: 'OK' }>, 'session'>
  | Extract<RegisterReply, { readonly status: 'REFUSED' }>;

export interface AgentGatewayDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly clusterToken: string;
  /** Whether the process may speak for a backend, and for which. */
  readonly admit: (request: RegisterRequest, peer: string) => Promise<Admission>;
  readonly frontend: (backendId: BackendId) => FrontendPort;
  /** It stopped in order, and said so. */
  readonly onLeave: (backendId: BackendId) => void;
}

export class AgentGateway implements AgentTransport {
  readonly #deps: AgentGatewayDeps;
  readonly #sessions = new Map<BackendId, RemoteSession>();
  #closed = false;

  constructor(deps: AgentGatewayDeps) {
    this.#deps = deps;
  }

  async call<Name extends AgentCallName>(
    backendId: BackendId,
    name: Name,
    request: AgentCalls[Name]['request'],
    options: AgentCallOptions,
  ): Promise<AgentCalls[Name]['reply']> {
    const session = this.#sessions.get(backendId);
    if (session === undefined) {
      const why = 'no process of it is connected; start it on its host, see SHOW BACKENDS';
      throw agentLost(backendId, name, why);
    }
    return (await session.call(name, request, options)) as AgentCalls[Name]['reply'];
  }

  /** A process speaks for it, or did until a moment ago. */
  hasSession(backendId: BackendId): boolean {
    return this.#sessions.has(backendId);
  }

  /** It was dropped: its process has to register, and will be refused. */
  forget(backendId: BackendId): void {
    this.#sessions.get(backendId)?.close();
    this.#sessions.delete(backendId);
  }

  close(): void {
    this.#closed = true;
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
  }

  routes(): readonly Route[] {
    return [
      this.#route(REGISTER_PATH, async (body, request) => await this.#register(body, request)),
      this.#route(POLL_PATH, async (body, request) => await this.#poll(body, request)),
      this.#route(REPLY_PATH, (body) => this.#reply(body)),
      this.#route(CALL_PATH, async (body) => await this.#call(body)),
      this.#route(LEAVE_PATH, (body) => this.#leave(body)),
    ];
  }

  /** `run` answers with wire text. */
  #route(
    path: string,
    run: (body: unknown, request: HttpRequest) => string | Promise<string>,
  ): Route {
    return {
      method: 'POST',
      path,
      readsBody: true,
      run: async (request): Promise<HttpAnswer> => {
        const caller = httpCaller(request.message.headers, this.#deps.clusterToken);
        if (caller.kind !== 'token') return NO_TOKEN;
        if (this.#closed) return { status: 503, body: { status: 'FAILED', msg: 'stopping' } };
        try {
          const text = (await readBody(request, MESSAGE_BYTES_MAX)).toString('utf8');
          const body = fromWireText(text);
          return { headers: JSON_TYPE, body: await run(body, request) };
        } catch (error) {
          if (error instanceof BodyTooLong) return bad(413, error.message);
          if (error instanceof SyntaxError) return bad(400, 'the body is not what it should be');
          throw error;
        }
      },
    };
  }

  async #register(body: unknown, { peer }: HttpRequest): Promise<string> {
    const admission = await this.#deps.admit(body as RegisterRequest, peer);
    if (admission.status === 'REFUSED') return toWireText(admission);
    const { clock, random, log, frontend } = this.#deps;
    const { backendId } = admission;
    this.forget(backendId);
    const session = Buffer.from(random.bytes(SESSION_BYTES)).toString('hex');
    this.#sessions.set(
      backendId,
      new RemoteSession(backendId, session, { clock, log, frontend: frontend(backendId) }),
    );
    log.info('a remote backend is there', { backend: backendId, generation: admission.generation });
    return toWireText({ ...admission, session });
  }

  async #poll(body: unknown, { signal }: HttpRequest): Promise<string> {
    const request = body as PollRequest;
    const session = this.#sessionOf(request);
    if (session === undefined) return UNKNOWN_SESSION;
    const frames = await session.poll(request.seen, signal);
    if (this.#sessionOf(request) === undefined) return UNKNOWN_SESSION;
    return `{"status":"OK","frames":[${frames.join(',')}]}`;
  }

  #reply(body: unknown): string {
    const request = body as ReplyRequest;
    const session = this.#sessionOf(request);
    if (session === undefined) return UNKNOWN_SESSION;
    session.reply(request);
    return DONE;
  }

  async #call(body: unknown): Promise<string> {
    const request = body as CallRequest;
    const session = this.#sessionOf(request);
    if (session === undefined) return UNKNOWN_SESSION;
    return toWireText({ status: 'OK', outcome: await session.serve(request) });
  }

  #leave(body: unknown): string {
    const session = this.#sessionOf(body as SessionKey);
    if (session === undefined) return UNKNOWN_SESSION;
    this.forget(session.backendId);
    this.#deps.onLeave(session.backendId);
    this.#deps.log.info('a remote backend has stopped', { backend: session.backendId });
    return DONE;
  }

  #sessionOf({ backendId, session }: SessionKey): RemoteSession | undefined {
    const found = this.#sessions.get(backendId);
    return found?.id === session ? found : undefined;
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };
const UNKNOWN_SESSION = toWireText({ status: 'REGISTER' });
const DONE = toWireText({ status: 'OK' });

const NO_TOKEN: HttpAnswer = {
  status: 401,
  headers: { 'www-authenticate': 'Bearer realm="thermocline"' },
  body: { status: 'FAILED', msg: "the cluster's token is needed" },
};

function bad(status: number, msg: string): HttpAnswer {
  return { status, body: { status: 'FAILED', msg } };
}
