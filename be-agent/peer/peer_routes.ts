/** `/api/_replica`: this backend's replicas for the other backends. */
import { SqlError, type WireError } from '../../base/errors.ts';
import { httpCaller } from '../../base/http_access.ts';
import { BodyTooLong, readBody } from '../../base/http_body.ts';
import type { HttpAnswer, HttpRequest, Route } from '../../base/http_server.ts';
import {
  type BackendId,
  type ReplicaId,
  type RowsetId,
  type TabletId,
  type TxnId,
  id,
  rowsetId,
} from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { PreparedRowset } from '../../base/replica.ts';
import { fromWireText, toWireText } from '../../base/wire_json.ts';
import { messageOf } from '../data/message_of.ts';
import type { ReplicaPeer } from '../replica/peers.ts';
import type { LocalGarbage } from '../replica/replica_store.ts';
import {
  BACKEND_HEADER,
  FAILED_STATUS,
  LIST_BYTES_MAX,
  METHOD_PATH,
  SEGMENT_BYTES_MAX,
  SEGMENT_PATH,
} from './peer_messages.ts';

/** Longest part of a segment that is read into memory at once, bytes. */
const READ_BYTES_MAX = 64 * 2 ** 20;
const UNAUTHORIZED = 401;

export interface PeerRoutesDeps {
  readonly backendId: BackendId;
  readonly clusterToken: string;
  /** This backend's own replicas. */
  readonly replicas: ReplicaPeer;
  readonly clock: Clock;
  readonly log: Log;
}

interface SegmentName {
  readonly tabletId: TabletId;
  readonly rowset: RowsetId;
  readonly segment: number;
}

type MethodBody = {
  readonly prepare: { readonly txnId: TxnId; readonly rowsets: readonly PreparedRowset[] };
  readonly discard: { readonly txnId: TxnId; readonly rowsets: readonly LocalGarbage[] };
  readonly snapshot: { readonly tabletId: TabletId; readonly replicaId: ReplicaId };
  readonly releaseSnapshot: { readonly snapshotId: string };
};

type Methods = {
  readonly [Name in keyof MethodBody]: (
    body: MethodBody[Name],
    signal: AbortSignal,
  ) => Promise<unknown>;
};

export function peerRoutes(deps: PeerRoutesDeps): readonly Route[] {
  const { replicas } = deps;
  const methods: Methods = {
    prepare: async ({ txnId, rowsets }, signal) => {
      await replicas.prepare(txnId, rowsets, signal);
    },
    discard: async ({ txnId, rowsets }, signal) => {
      await replicas.discard(txnId, rowsets, signal);
    },
    snapshot: async ({ tabletId, replicaId }, signal) =>
      await replicas.snapshot(tabletId, replicaId, signal),
    releaseSnapshot: async ({ snapshotId }, signal) => {
      await replicas.releaseSnapshot(snapshotId, signal);
    },
  };
  return [
    {
      method: 'PUT',
      path: SEGMENT_PATH,
      readsBody: true,
      run: async (request) => await guarded(deps, request, async () => await put(deps, request)),
    },
    {
      method: 'GET',
      path: SEGMENT_PATH,
      run: async (request) => await guarded(deps, request, async () => await get(deps, request)),
    },
    {
      method: 'POST',
      path: METHOD_PATH,
      readsBody: true,
      run: async (request) =>
        await guarded(deps, request, async () => {
          const name = request.params['method'] ?? '';
          if (!Object.hasOwn(methods, name)) return { status: 404, body: `no method ${name}` };
          const body = fromWireText((await readBody(request, LIST_BYTES_MAX)).toString('utf8'));
          const method = methods[name as keyof Methods];
          return done(await method(body as never, request.signal));
        }),
    },
  ];
}

/** The token first; then errors of any kind become answers. */
async function guarded(
  deps: PeerRoutesDeps,
  { message }: HttpRequest,
  run: () => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  if (httpCaller(message.headers, deps.clusterToken).kind !== 'token') {
    return {
      status: UNAUTHORIZED,
      body: { status: 'FAILED', msg: "the cluster's token is needed" },
    };
  }
  try {
    const wanted = message.headers[BACKEND_HEADER];
    if (wanted !== String(deps.backendId)) {
      const what = `backend ${String(wanted)} was asked for`;
      throw new SqlError('BACKEND_STATE', { name: deps.backendId, state: 'here', what });
    }
    return await run();
  } catch (error) {
    return { status: FAILED_STATUS, body: toWireText({ error: wireOf(deps, error) }) };
  }
}

async function put({ replicas }: PeerRoutesDeps, request: HttpRequest): Promise<HttpAnswer> {
  const { tabletId, rowset, segment } = named(request);
  const crc32 = number(request.query.get('crc32'), 'crc32');
  const body = await readBody(request, SEGMENT_BYTES_MAX);
  await replicas.putSegment(tabletId, rowset, segment, body, crc32, request.signal);
  return done(undefined);
}

async function get({ replicas }: PeerRoutesDeps, request: HttpRequest): Promise<HttpAnswer> {
  const { tabletId, rowset, segment } = named(request);
  const offset = number(request.query.get('offset'), 'offset');
  const length = number(request.query.get('length'), 'length');
  if (length > READ_BYTES_MAX) throw badRequest(`length is at most ${READ_BYTES_MAX}`);
  const range = { offset, length };
  return {
    body: await replicas.readSegment(tabletId, rowset, segment, range, request.signal),
  };
}

function done(value: unknown): HttpAnswer {
  return { body: toWireText({ value }) };
}

function named({ params }: HttpRequest): SegmentName {
  return {
    tabletId: id<TabletId>(number(params['tablet'], 'tablet')),
    rowset: rowsetOf(params['rowset'] ?? ''),
    segment: number(params['segment'], 'segment'),
  };
}

function rowsetOf(text: string): RowsetId {
  try {
    return rowsetId(text);
  } catch (error) {
    throw badRequest(messageOf(error));
  }
}

function number(text: string | null | undefined, what: string): number {
  const value = /^\d{1,16}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw badRequest(`${what} is not a number`);
}

function badRequest(why: string): SqlError {
  return new SqlError('STORE_FAILED', { what: `a request between backends: ${why}` });
}

function wireOf({ clock, log }: PeerRoutesDeps, error: unknown): WireError {
  if (error instanceof SqlError) return error.toWire();
  if (error instanceof BodyTooLong || error instanceof SyntaxError) {
    return badRequest(error.message).toWire();
  }
  const stack = error instanceof Error ? error.stack : String(error);
  const id = `replica-${Math.floor(clock.now()).toString(36)}`;
  log.error('unexpected error in a request of another backend', { id, stack });
  return new SqlError('INTERNAL', { id }).toWire();
}
