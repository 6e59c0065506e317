/** Who asks over HTTP: somebody with the token, a user, or nobody in particular. */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type HttpAnswer, type HttpRequest, basicCredentials } from './http_server.ts';
import { SqlError } from './errors.ts';

/** IPv4, IPv6 and IPv4-mapped forms of this machine. */
export function isLoopback(address: string): boolean {
  return (
    /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address) || address === '::1' || address === 'localhost'
  );
}

export type HttpCaller =
  /** Agents and scrapers: knows the token of this installation. */
  | { readonly kind: 'token' }
  | { readonly kind: 'user'; readonly user: string; readonly password: string }
  /** Counts as root while root has no password and the request comes from this machine. */
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'refused' };

/** `token` empty: there is none. */
export function httpCaller(headers: IncomingHttpHeaders, token: string): HttpCaller {
  const { authorization } = headers;
  if (authorization === undefined) {
    return isFromPage(headers) ? { kind: 'refused' } : { kind: 'anonymous' };
  }
  const bearer = /^Bearer\s+(\S+)$/i.exec(authorization)?.[1];
  if (bearer !== undefined) {
    return token !== '' && same(bearer, token) ? { kind: 'token' } : { kind: 'refused' };
  }
  const credentials = basicCredentials(authorization);
  return credentials === undefined ? { kind: 'refused' } : { kind: 'user', ...credentials };
}

/** In a time that tells nothing about where they differ. */
function same(left: string, right: string): boolean {
  return timingSafeEqual(hash('sha256', left, 'buffer'), hash('sha256', right, 'buffer'));
}

/**
 * A page in a browser on this machine, of whatever site, can send requests here: it says where it
 * comes from, or (DNS rebinding) asks for a host that has a name.
 */
function isFromPage({ host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (origin !== undefined) return true;
  if (site !== undefined && site !== 'none' && site !== 'same-origin') return true;
  return host !== undefined && !/^(localhost|[\d.]+|\[[\da-f:.]+\])(:\d+)?$/i.test(host);
}

export const UNAUTHORIZED: HttpAnswer = {
  status: 401,
  headers: { 'www-authenticate': 'Basic realm="thermocline"' },
  body: {
    status: 'FAILED',
    msg: 'user and password (HTTP basic authentication) or a token needed',
  },
};

/** Numbers for scrapers: open to this machine, and to all when the setting says so. */
export function metricsAreOpen({ peer, message }: HttpRequest, openToAll: boolean): boolean {
  return openToAll || (isLoopback(peer) && !isFromPage(message.headers));
}

/** 401 for who is not known, 403 for who may not; other errors go on. */
export function refusal(error: unknown): HttpAnswer {
  if (!(error instanceof SqlError)) throw error;
  const body = { status: 'FAILED', msg: error.message };
  if (error.code === 'ACCESS_DENIED') return { ...UNAUTHORIZED, body };
  if (error.code === 'PRIVILEGE_NEEDED' || error.code === 'ACCOUNT_LOCKED') {
    return { status: 403, body };
  }
  throw error;
}
