/** Backends that ask each other over HTTP get what they would get directly. */
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { HttpServer } from '../../../base/http_server.ts';
import { id } from '../../../base/ids.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import { type BackendAddress, FIRST_VERSION } from '../../../base/replica.ts';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { HttpPeers } from '../../../be-agent/peer/http_peers.ts';
import { peerRoutes } from '../../../be-agent/peer/peer_routes.ts';
import { LocalSegments } from '../../../be-agent/replica/local_segments.ts';
import { OwnReplicas } from '../../../be-agent/replica/own_replicas.ts';
import type { ReplicaPeer } from '../../../be-agent/replica/peers.ts';
import { newReplicaCounts } from '../../../be-agent/replica/replica_counts.ts';
import { ReplicaStore } from '../../../be-agent/replica/replica_store.ts';
import { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import {
  TABLET,
  newReplica,
  preparedRowset,
  rowsetName,
  txn,
  visible,
} from '../replica/replica_fixture.ts';

const HOST = '127.0.0.1';
const TOKEN = 'c'.repeat(64);
const BACKEND = id<BackendAddress['backendId']>(7);
const BODY = Buffer.from('the bytes of a segment');
const { signal } = new AbortController();

let server: HttpServer;
let store: ReplicaStore;
let peers: HttpPeers;
let address: BackendAddress;
let peer: ReplicaPeer;

beforeEach(async () => {
  store = ReplicaStore.open(':memory:');
  const objects = new MemoryStore({
    clock: systemClock,
    random: systemRandom,
    limits: () => ({ retries: 0, timeoutMs: 1000 }),
  });
  const local = new LocalSegments(objects, SILENT_LOG);
  const replicas = new OwnReplicas({
    backendId: BACKEND,
    store,
    local,
    clock: systemClock,
    random: systemRandom,
    counts: newReplicaCounts(),
    onDamage: () => undefined,
  });
  const deps = { clock: systemClock, log: SILENT_LOG, backendId: BACKEND, replicas };
  server = new HttpServer(peerRoutes({ ...deps, clusterToken: TOKEN }), systemClock, SILENT_LOG);
  address = { backendId: BACKEND, host: HOST, httpPort: await server.listen(HOST, 0) };
  peers = new HttpPeers(TOKEN);
  peer = peers.peer(address);
  store.create(newReplica());
});
afterEach(async () => {
  await peers.close();
  await server.close(0);
  store.close();
});

async function putBody(): Promise<void> {
  await peer.putSegment(TABLET, rowsetName(1), 0, BODY, crc32(BODY), signal);
}

function rowset() {
  const meta = { segment: 0, bytes: BODY.length, rows: 10, indexOffset: 5, crc32: crc32(BODY) };
  return preparedRowset(1, { bytes: BODY.length, segments: [meta] });
}

describe('HTTP peers', () => {
  it('put, prepare, and read back what was published', async () => {
    await putBody();
    await peer.prepare(txn(1), [rowset()], signal);
    expect(store.prepared()).toEqual([{ txnId: txn(1), rowsets: [rowset()] }]);
    store.settle(visible(1, FIRST_VERSION + 1));
    const { replicaId } = newReplica();
    const { snapshotId, snapshot } = await peer.snapshot(TABLET, replicaId, signal);
    expect(snapshot).toMatchObject({ tabletId: TABLET, replicaId, version: FIRST_VERSION + 1 });
    const range = { offset: 4, length: 5 };
    const part = await peer.readSegment(TABLET, rowsetName(1), 0, range, signal);
    expect(Buffer.from(part).toString()).toBe('bytes');
    await peer.releaseSnapshot(snapshotId, signal);
    await peer.releaseSnapshot(snapshotId, signal);
  });

  it('discard what a failed load left', async () => {
    await putBody();
    await peer.prepare(txn(1), [rowset()], signal);
    await peer.discard(txn(1), [rowset()], signal);
    expect(store.prepared()).toEqual([]);
  });

  it('pass on errors as they are', async () => {
    await expect(
      peer.putSegment(TABLET, rowsetName(1), 0, BODY, crc32(BODY) ^ 1, signal),
    ).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
    await expect(peer.snapshot(id(99), id(1), signal)).rejects.toMatchObject({
      code: 'REPLICA_MISSING',
    });
    await expect(peer.snapshot(TABLET, id(1), signal)).rejects.toMatchObject({
      code: 'CONFUSED_REPLICA',
    });
  });

  it('refuse a stranger, and who means another backend', async () => {
    const stranger = new HttpPeers('d'.repeat(64));
    await expect(stranger.peer(address).releaseSnapshot('x', signal)).rejects.toMatchObject({
      code: 'AGENT_LOST',
      message: expect.stringContaining('401'),
    });
    await stranger.close();
    const wrong = peers.peer({ ...address, backendId: id(8) });
    await expect(wrong.releaseSnapshot('x', signal)).rejects.toMatchObject({
      code: 'BACKEND_STATE',
    });
  });

  it('reach an embedded backend that listens on all addresses where the server is', async () => {
    const far = new HttpPeers(TOKEN, HOST);
    await far.peer({ ...address, host: '0.0.0.0' }).releaseSnapshot('x', signal);
    await far.close();
  });

  it('say who cannot be reached', async () => {
    await server.close(0);
    await expect(putBody()).rejects.toMatchObject({
      code: 'AGENT_LOST',
      args: { backend: BACKEND },
    });
  });

  it('go on after the other side has closed idle connections', async () => {
    await putBody();
    const { httpPort } = address;
    await server.close(0);
    server = new HttpServer(
      [{ method: 'POST', path: '/api/_replica/{method}', run: () => ({ body: '{}' }) }],
      systemClock,
      SILENT_LOG,
    );
    await server.listen(HOST, httpPort);
    await peer.releaseSnapshot('x', signal);
  });

  it('stop when they are told to', async () => {
    const stop = new AbortController();
    stop.abort(new Error('enough'));
    await expect(peer.releaseSnapshot('x', stop.signal)).rejects.toThrow('enough');
  });

  it.each([
    ['/api/_replica/segment/10/zz/0?offset=0&length=1', 'not a rowset id'],
    [`/api/_replica/segment/x/${rowsetName(1)}/0?offset=0&length=1`, 'tablet is not a number'],
    [`/api/_replica/segment/10/${rowsetName(1)}/0?offset=0`, 'length is not a number'],
    [
      `/api/_replica/segment/10/${rowsetName(1)}/0?offset=0&length=99999999999`,
      'length is at most',
    ],
  ])('refuse %s', async (path, why) => {
    const answer = await request(`http://${HOST}:${address.httpPort}${path}`, {
      headers: { authorization: `Bearer ${TOKEN}`, 'x-thermocline-backend': '7' },
    });
    expect(answer.statusCode).toBe(409);
    expect(await answer.body.text()).toContain(why);
  });
});
