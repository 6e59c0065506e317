/**
 * A small HTTP server: routes by method and path pattern, JSON and text answers, one place for
 * errors. Used by every backend; bodies are streams that the route reads itself.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SqlError } from './errors.ts';
import type { Clock, Log } from './ports.ts';

// An import of it loads the WebSocket that it has too: 20 to 30 ms of CPU in each thread.
const { createServer } = process.getBuiltinModule('node:http');

export interface HttpRequest {
  readonly message: IncomingMessage;
  /** Named parts of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Path and query as they were sent, without scheme and host. */
  readonly target: string;
  /** Address of the peer. */
  readonly peer: string;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A string and bytes are sent as they are, anything else as JSON. */
  readonly body: unknown;
}

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST';
  /** `/api/{db}/{table}/_stream_load` */
  readonly path: string;
  /**
   * The route reads the body: a client that asks first (`Expect: 100-continue`) is told to send it.
   * Without this it gets the answer alone, and what another client sends is thrown away.
   */
  readonly readsBody?: true;
  readonly run: (request: HttpRequest) => Promise<HttpAnswer> | HttpAnswer;
}

interface CompiledRoute extends Route {
  readonly pattern: RegExp;
}

/** Bytes of an unread body that are received and thrown away at most. */
const DISCARDED_BYTES_MAX = 256 * 2 ** 20;
/** Milliseconds for a client to send its request headers. */
const HEADERS_TIMEOUT_MS = 20_000;
/**
 * Milliseconds that a connection stays open without a request. Longer than scrapers and inner calls
 * pause: Node's 5 seconds end just when a busy client sends its next request, which is then lost.
 */
const KEEP_ALIVE_MS = 75_000;

export class HttpServer {
  readonly #server: Server;
  readonly #routes: readonly CompiledRoute[];
  readonly #clock: Clock;
  readonly #log: Log;
  #closing = false;

  constructor(routes: readonly Route[], clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#routes = routes.map((route) => ({ ...route, pattern: compile(route.path) }));
    this.#server = createServer({
      requestTimeout: 0,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    this.#server.on('request', (message, response) => {
      void this.#serve(message, response);
    });
    this.#server.on('checkContinue', (message, response) => {
      void this.#serve(message, response);
    });
    this.#server.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    });
  }

  /** Resolves with the port; rejects with the system's error (EADDRINUSE, EACCES ...). */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Running requests get `graceMs` to end, then their connections break; 0 breaks them now. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#server.closeIdleConnections();
    const stopTimer = this.#clock.after(graceMs, () => {
      this.#server.closeAllConnections();
    });
    if (graceMs === 0) this.#server.closeAllConnections();
    await closed;
    stopTimer();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    let answer: HttpAnswer;
    try {
      answer = await this.#answer(message, response, gone.signal);
    } catch (error) {
      answer = this.#failure(error);
    }
    if (response.destroyed) return;
    // Else the connection would wait for another request, and `close` for the connection.
    if (this.#closing) response.setHeader('connection', 'close');
    send(message, response, answer);
  }

  async #answer(
    message: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const url = targetUrl(message.url ?? '/');
    if (url === undefined) {
      return { status: 400, body: { status: 'FAILED', msg: 'the request target is not valid' } };
    }
    const { method } = message;
    let pathKnown = false;
    for (const route of this.#routes) {
      const match = route.pattern.exec(url.pathname);
      if (match === null) continue;
      pathKnown = true;
      if (route.method !== method && !(method === 'HEAD' && route.method === 'GET')) continue;
      const params = decodeAll(match.groups ?? {});
      const asksFirst = message.headers.expect !== undefined;
      if (route.readsBody === true && asksFirst) response.writeContinue();
      const peer = message.socket.remoteAddress ?? '';
      const target = url.pathname + url.search;
      return await route.run({ message, params, query: url.searchParams, target, peer, signal });
    }
    const status = pathKnown ? 405 : 404;
    const what = pathKnown ? `method ${method} is not allowed here` : `no such path`;
    return { status, body: { status: 'FAILED', msg: `${what}: ${url.pathname}` } };
  }

  #failure(error: unknown): HttpAnswer {
    if (error instanceof SqlError) {
      const { errno, sqlState, message } = error;
      return { status: 400, body: { status: 'FAILED', msg: message, errno, sqlState } };
    }
    if (error instanceof URIError) {
      return {
        status: 400,
        body: { status: 'FAILED', msg: 'the path is not valid percent-encoding' },
      };
    }
    const stack = error instanceof Error ? error.stack : String(error);
    this.#log.error('unexpected error in an HTTP request', { stack });
    return { status: 500, body: { status: 'FAILED', msg: 'internal error; see the log' } };
  }
}

/** A target is a path, also one that begins with two slashes, or a whole URL (as to a proxy). */
function targetUrl(target: string): URL | undefined {
  const text = target.startsWith('/') ? `http://localhost${target}` : target;
  return URL.parse(text) ?? undefined;
}

function send(message: IncomingMessage, response: ServerResponse, answer: HttpAnswer): void {
  const { body } = answer;
  const { type, bytes } = contentOf(body);
  response.writeHead(answer.status ?? 200, {
    'content-type': type,
    'content-length': bytes.length,
    ...answer.headers,
  });
  const sent = message.method === 'HEAD' ? Buffer.alloc(0) : bytes;
  if (message.complete) {
    response.end(sent);
    return;
  }
  // The client gets the whole answer now; ending it now could close the connection under its body.
  response.flushHeaders();
  if (sent.length > 0) response.write(sent);
  discardRest(message, () => {
    response.end();
  });
}

function contentOf(body: unknown): { readonly type: string; readonly bytes: Uint8Array } {
  if (typeof body === 'string') {
    return { type: 'text/plain; charset=utf-8', bytes: Buffer.from(body) };
  }
  if (ArrayBuffer.isView(body)) {
    const { buffer, byteOffset, byteLength } = body;
    return { type: 'application/octet-stream', bytes: Buffer.from(buffer, byteOffset, byteLength) };
  }
  const text = `${JSON.stringify(body, undefined, 4)}\n`;
  return { type: 'application/json; charset=utf-8', bytes: Buffer.from(text) };
}

/**
 * A body that nobody read is read and thrown away: closing the connection instead would reset it,
 * and the client could lose the answer. One that goes on for too long is cut all the same.
 */
function discardRest(message: IncomingMessage, onEnd: () => void): void {
  let left = DISCARDED_BYTES_MAX;
  message.on('data', (chunk: Uint8Array) => {
    left -= chunk.byteLength;
    if (left < 0) message.destroy();
  });
  message.once('close', onEnd);
  message.once('end', onEnd);
  message.resume();
}

function compile(path: string): RegExp {
  const source = path
    .replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)');
  return new RegExp(`^${source}$`);
}

function decodeAll(groups: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]),
  );
}

/** User and password of an `Authorization: Basic` header; undefined when there is none. */
export function basicCredentials(
  header: string | undefined,
): { readonly user: string; readonly password: string } | undefined {
  const match = /^Basic\s+([A-Za-z0-9+/=]+)$/i.exec(header ?? '');
  if (match?.[1] === undefined) return undefined;
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
