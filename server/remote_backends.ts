/**
 * Which backend a process is that registers. Its data directory knows (id, cluster, how often a
 * process started on it); a new directory gets the backend that was added under its address, or
 * becomes a new one. Of two processes for one backend the one that started last wins.
 */
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import { PROTOCOL, type RegisterRequest } from '../base/remote_messages.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Admission } from './agent_gateway.ts';

export interface RemoteBackendsDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly log: Log;
  readonly clusterId: string;
  /** Whether a process speaks for the backend right now. */
  readonly isAlive: (backendId: BackendId) => boolean;
}

class Refused extends Error {
  override readonly name = 'Refused';
  readonly isFinal: boolean;

  constructor(why: string, isFinal = false) {
    super(why);
    this.isFinal = isFinal;
  }
}

/** Refusals are answers; only what is unexpected is thrown. */
export async function admitBackend(
  deps: RemoteBackendsDeps,
  request: RegisterRequest,
  peer: string,
): Promise<Admission> {
  try {
    const { protocol } = request;
    if (protocol !== PROTOCOL) {
      throw new Refused(`it speaks protocol ${protocol}, this server ${PROTOCOL}`, true);
    }
    const address = { host: hostSeen(request.host, peer), httpPort: request.httpPort };
    const { backend, generation } = await backendOf(deps, request, address);
    const owner = { generation, process: request.process };
    const { backendId } = backend;
    const { computeGroupName } = await deps.catalog.backends.claim(backendId, owner, address);
    warnOfGroup(deps, request, computeGroupName);
    const { clusterId, config } = deps;
    const known = { clusterId, backendId, generation, computeGroupName };
    return { status: 'OK', ...known, config: config.agentValues() };
  } catch (error) {
    if (error instanceof Refused) {
      return { status: 'REFUSED', why: error.message, isFinal: error.isFinal };
    }
    if (error instanceof SqlError) return { status: 'REFUSED', why: error.message, isFinal: false };
    throw error;
  }
}

interface Address {
  readonly host: string;
  readonly httpPort: number;
}

interface Identified {
  readonly backend: BackendDef;
  readonly generation: number;
}

async function backendOf(
  deps: RemoteBackendsDeps,
  request: RegisterRequest,
  address: Address,
): Promise<Identified> {
  const { catalog, clusterId } = deps;
  const { known } = request;
  if (known !== undefined && known.clusterId !== clusterId) {
    const why = `its data directory is of a backend of another cluster (${known.clusterId})`;
    throw new Refused(why, true);
  }
  const remembered = known === undefined ? undefined : await catalog.backends.find(known.backendId);
  if (known !== undefined && remembered !== undefined) {
    return await rememberedBackend(deps, request, remembered, known.generation);
  }
  const added = await atAddress(catalog, address);
  if (added !== undefined) return await addedBackend(deps, request, added);
  if (known !== undefined) {
    const name = `"${address.host}:${address.httpPort}"`;
    const again = `ALTER SYSTEM ADD BACKEND ${name} takes it again`;
    throw new Refused(`backend ${known.backendId} was dropped; ${again}`);
  }
  return { backend: await newBackend(deps, request, address), generation: 1 };
}

/** Port 0 is no address yet: many processes that take any free port begin with it. */
async function atAddress(
  catalog: Catalog,
  { host, httpPort }: Address,
): Promise<BackendDef | undefined> {
  return httpPort === 0 ? undefined : await catalog.backends.findByAddress(host, httpPort);
}

async function rememberedBackend(
  { catalog }: RemoteBackendsDeps,
  request: RegisterRequest,
  backend: BackendDef,
  generation: number,
): Promise<Identified> {
  const { backendId, kind } = backend;
  if (kind === 'embedded') throw new Refused(`backend ${backendId} is an embedded one`, true);
  const owner = await catalog.backends.process(backendId);
  const isOwner = owner.process === request.process;
  if (isOwner || generation > owner.generation) return { backend, generation };
  const start = `start ${generation} of its data directory, and start ${owner.generation} has been`;
  throw new Refused(`another process has taken over backend ${backendId}: this is ${start}`, true);
}

/** Under its address: added by ALTER SYSTEM, or one whose disk was replaced. */
async function addedBackend(
  { catalog, isAlive }: RemoteBackendsDeps,
  request: RegisterRequest,
  backend: BackendDef,
): Promise<Identified> {
  const { backendId, kind, host, httpPort } = backend;
  if (kind === 'embedded')
    throw new Refused(`${host}:${httpPort} is embedded backend ${backendId}`);
  const owner = await catalog.backends.process(backendId);
  if (owner.process === request.process) return { backend, generation: owner.generation };
  if (isAlive(backendId)) {
    throw new Refused(`another process speaks for backend ${backendId} at ${host}:${httpPort}`);
  }
  return { backend, generation: owner.generation + 1 };
}

async function newBackend(
  { catalog, log }: RemoteBackendsDeps,
  { computeGroup, process }: RegisterRequest,
  { host, httpPort }: Address,
): Promise<BackendDef> {
  // The reply to its first registration got lost.
  const repeated = await catalog.backends.findByProcess(process);
  if (repeated !== undefined) return repeated;
  const [first] = await catalog.computeGroups.list();
  const computeGroupName = computeGroup ?? first?.name;
  if (computeGroupName === undefined) throw new Refused('there is no compute group for it');
  const created = { computeGroupName, kind: 'remote' as const, host, httpPort };
  const backend = await catalog.backends.create(created);
  log.info('a remote backend was added', { backend: backend.backendId, ...created });
  return backend;
}

function warnOfGroup(
  { log }: RemoteBackendsDeps,
  { computeGroup: asked }: RegisterRequest,
  group: string,
): void {
  if (asked === undefined || asked === group) return;
  log.warn('a backend stays in the compute group that the catalog has for it', { asked, group });
}

/** One that listens on all addresses is reached on the one it comes from. */
function hostSeen(host: string, peer: string): string {
  return host === '0.0.0.0' || host === '::' ? peer.replace(/^::ffff:/, '') : host;
}
