/** Replicas of other processes, over HTTP; connections are kept for as long as they are used. */
import type { Pool } from 'undici';
import { SqlError, type WireError } from '../../base/errors.ts';
import type { BackendAddress } from '../../base/replica.ts';
import { fromWireText, toWireText } from '../../base/wire_json.ts';
import { messageOf } from '../data/message_of.ts';
import type { HeldSnapshot, ReplicaPeer } from '../replica/peers.ts';
import { BACKEND_HEADER, METHOD_PATH, type PeerAnswer, SEGMENT_PATH } from './peer_messages.ts';

/** To one backend at once. */
const CONNECTIONS_MAX = 16;
const CONNECT_TIMEOUT_MS = 5000;
/** Without any progress, milliseconds: a disk that fsyncs for that long is as good as lost. */
const ANSWER_TIMEOUT_MS = 60_000;
/** Addresses that connections are kept to; more than backends that one deals with. */
const POOLS_MAX = 256;
const OK = 200;

export class HttpPeers {
  readonly #authorization: string;
  readonly #serverHost: string;
  readonly #pools = new Map<string, Pool>();

  /** `serverHost`: where backends are reached that listen on all addresses of the server. */
  constructor(clusterToken: string, serverHost = '127.0.0.1') {
    this.#serverHost = serverHost;
    this.#authorization = `Bearer ${clusterToken}`;
  }

  /** Cheap: nothing is connected before the first call. */
  peer(address: BackendAddress): ReplicaPeer {
    return new HttpPeer(address, (request) => this.#send(address, request));
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(async (pool) => pool.destroy()));
  }

  async #send(address: BackendAddress, request: PeerRequest): Promise<Buffer> {
    const { method, path, body, signal } = request;
    // Not needed where all backends are of one process, and it takes its time at a start.
    const undici = await import('undici');
    const answer = await this.#pool(address, undici.Pool).request({
      path,
      method,
      headers: { authorization: this.#authorization, [BACKEND_HEADER]: String(address.backendId) },
      signal,
      ...(body === undefined ? {} : { body }),
    });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    if (answer.statusCode === OK) return bytes;
    throw failureOf(bytes) ?? new Error(`it answered ${answer.statusCode}`);
  }

  #pool({ host: named, httpPort }: BackendAddress, PoolOf: typeof Pool): Pool {
    const host = named === '0.0.0.0' || named === '::' ? this.#serverHost : named;
    const origin = `http://${host.includes(':') ? `[${host}]` : host}:${httpPort}`;
    const known = this.#pools.get(origin);
    if (known !== undefined) return known;
    const [oldest] = this.#pools;
    if (oldest !== undefined && this.#pools.size >= POOLS_MAX) {
      this.#pools.delete(oldest[0]);
      // Requests that run on it end well.
      void oldest[1].close();
    }
    const pool = new PoolOf(origin, {
      connections: CONNECTIONS_MAX,
      connectTimeout: CONNECT_TIMEOUT_MS,
      headersTimeout: ANSWER_TIMEOUT_MS,
      bodyTimeout: ANSWER_TIMEOUT_MS,
      pipelining: 1,
    });
    this.#pools.set(origin, pool);
    return pool;
  }
}

interface PeerRequest {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
}

type Send = (request: PeerRequest) => Promise<Buffer>;

class HttpPeer implements ReplicaPeer {
  readonly #address: BackendAddress;
  readonly #send: Send;

  constructor(address: BackendAddress, send: Send) {
    this.#address = address;
    this.#send = send;
  }

  putSegment: ReplicaPeer['putSegment'] = async (
    tabletId,
    rowsetId,
    segment,
    body,
    crc32,
    signal,
  ) => {
    const path = `${segmentPath(tabletId, rowsetId, segment)}?crc32=${crc32}`;
    await this.#ask({ method: 'PUT', path, body, signal });
  };

  prepare: ReplicaPeer['prepare'] = async (txnId, rowsets, signal) => {
    await this.#method('prepare', { txnId, rowsets }, signal);
  };

  discard: ReplicaPeer['discard'] = async (txnId, rowsets, signal) => {
    await this.#method('discard', { txnId, rowsets }, signal);
  };

  snapshot: ReplicaPeer['snapshot'] = async (tabletId, replicaId, signal) =>
    (await this.#method('snapshot', { tabletId, replicaId }, signal)) as HeldSnapshot;

  readSegment: ReplicaPeer['readSegment'] = async (tabletId, rowsetId, segment, range, signal) => {
    const { offset, length } = range;
    const path = `${segmentPath(tabletId, rowsetId, segment)}?offset=${offset}&length=${length}`;
    return await this.#ask({ method: 'GET', path, signal });
  };

  releaseSnapshot: ReplicaPeer['releaseSnapshot'] = async (snapshotId, signal) => {
    await this.#method('releaseSnapshot', { snapshotId }, signal);
  };

  async #method(name: keyof ReplicaPeer, body: unknown, signal: AbortSignal): Promise<unknown> {
    const path = METHOD_PATH.replace('{method}', name);
    const bytes = await this.#ask({ method: 'POST', path, body: toWireText(body), signal });
    const answer = fromWireText(bytes.toString('utf8')) as { readonly value?: unknown };
    return answer.value;
  }

  /** Once more when the connection breaks: an idle one may have been closed by the other side. */
  async #ask(request: PeerRequest): Promise<Buffer> {
    try {
      return await this.#send(request);
    } catch (error) {
      if (!isBroken(error) || request.signal.aborted) throw this.#asSqlError(error, request);
    }
    try {
      return await this.#send(request);
    } catch (error) {
      throw this.#asSqlError(error, request);
    }
  }

  #asSqlError(error: unknown, { signal, method, path }: PeerRequest): unknown {
    if (error instanceof SqlError) return error;
    if (signal.aborted) return signal.reason;
    const { backendId, host, httpPort } = this.#address;
    const what = `${method} ${path.replace(/\?.*/, '')}`;
    const why = `${host}:${httpPort}: ${messageOf(error)}`;
    return new SqlError('AGENT_LOST', { backend: backendId, what, why }, { cause: error });
  }
}

function segmentPath(tabletId: number, rowsetId: string, segment: number): string {
  return SEGMENT_PATH.replace('{tablet}', String(tabletId))
    .replace('{rowset}', encodeURIComponent(rowsetId))
    .replace('{segment}', String(segment));
}

/** By code: errors of undici may be of another realm. */
function isBroken(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function failureOf(bytes: Buffer): SqlError | undefined {
  try {
    const answer = fromWireText(bytes.toString('utf8')) as PeerAnswer;
    const error: WireError | undefined = 'error' in answer ? answer.error : undefined;
    return error === undefined ? undefined : SqlError.fromWire(error);
  } catch {
    return undefined;
  }
}
