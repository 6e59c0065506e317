/** Messages to the server: one POST each, wire text both ways, with the cluster's token. */
import { Pool } from 'undici';
import { MESSAGE_BYTES_MAX } from '../../base/remote_messages.ts';
import { fromWireText, toWireText } from '../../base/wire_json.ts';

/** One for the poll; the others for replies and calls. */
const CONNECTIONS_MAX = 64;
const CONNECT_TIMEOUT_MS = 5000;
/** Characters of an answer that is no answer, for messages. */
const EXCERPT_CHARS = 200;
const UNAUTHORIZED = 401;
const OK = 200;

/** The server does not take the token: asking again is of no use until somebody changes it. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
}

export class ServerHttp {
  readonly url: string;
  readonly #pool: Pool;
  readonly #authorization: string;

  /** Throws TypeError when it is no URL. */
  constructor(url: string, token: string) {
    this.url = new URL(url).origin;
    this.#authorization = `Bearer ${token}`;
    this.#pool = new Pool(this.url, {
      connections: CONNECTIONS_MAX,
      connectTimeout: CONNECT_TIMEOUT_MS,
      pipelining: 1,
    });
  }

  /**
   * Resolves with what the server answered. Rejects with TokenRefused, or with what went wrong on
   * the way: then nobody knows whether it was done.
   */
  async post(
    path: string,
    body: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<unknown> {
    const { timeoutMs, signal } = options;
    const answer = await this.#pool.request({
      path,
      method: 'POST',
      headers: { authorization: this.#authorization, 'content-type': 'application/json' },
      body: toWireText(body),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
    const length = Number(answer.headers['content-length'] ?? 0);
    if (length > MESSAGE_BYTES_MAX) {
      answer.body.destroy();
      throw new Error(`${this.url}${path} answered ${length} bytes`);
    }
    const text = await answer.body.text();
    if (answer.statusCode === OK) return fromWireText(text);
    const excerpt = text.slice(0, EXCERPT_CHARS).replaceAll(/\s+/g, ' ');
    const what = `${this.url}${path} answered ${answer.statusCode}: ${excerpt}`;
    throw answer.statusCode === UNAUTHORIZED ? new TokenRefused(what) : new Error(what);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
