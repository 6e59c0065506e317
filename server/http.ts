/** HTTP of the server (DESIGN section 3): metrics, health, and stream load sent on to a backend. */
import { SqlError } from '../base/errors.ts';
import { httpCaller, metricsAreOpen, refusal } from '../base/http_access.ts';
import {
  type HttpAnswer,
  type HttpRequest,
  type Route,
  basicCredentials,
} from '../base/http_server.ts';
import type { BackendDef } from '../base/schema.ts';
import { defaultGroup } from './access/default_group.ts';
import type { Rights } from './access/rights.ts';
import { expectOperator } from './frontend_calls.ts';
import type { PasswordCheck } from './password_check.ts';
import type { ServerMetrics } from './server_metrics.ts';
import type { Services } from './services.ts';
import { VERSION } from './version.ts';

const TEMPORARY_REDIRECT = 307;

export interface HttpRoutesDeps {
  readonly services: Services;
  readonly passwords: PasswordCheck;
  /** Loaded when they are asked for. */
  readonly metrics: () => Promise<ServerMetrics>;
}

export function httpRoutes(deps: HttpRoutesDeps): readonly Route[] {
  const { services } = deps;
  return [
    {
      method: 'GET',
      path: '/metrics',
      run: async (request) => await scraped(deps, request),
    },
    { method: 'GET', path: '/api/health', run: async () => await health(services) },
    {
      method: 'PUT',
      path: '/api/{db}/{table}/_stream_load',
      run: async (request) => await redirectLoad(deps, request),
    },
  ];
}

/** The numbers, to who may have them. */
async function scraped(
  { services, passwords, metrics }: HttpRoutesDeps,
  request: HttpRequest,
): Promise<HttpAnswer> {
  const { config, access } = services;
  const caller = httpCaller(request.message.headers, config.get('http_bearer_token'));
  const isOpen = metricsAreOpen(request, config.get('http_open_metrics'));
  if (!isOpen && caller.kind !== 'token') {
    try {
      expectOperator(access.rightsOf(await passwords.expectCaller(caller, request.peer)));
    } catch (error) {
      return refusal(error);
    }
  }
  const loaded = await metrics();
  return { headers: { 'content-type': loaded.contentType }, body: await loaded.text() };
}

/** Doris's form, and our version. */
async function health({ catalog, registry, startedMs, clock }: Services): Promise<HttpAnswer> {
  const backends = (await catalog.backends.list()).map((backend) => backend.backendId);
  return {
    body: {
      msg: 'success',
      code: 0,
      data: {
        online_backend_num: registry.alive(backends).length,
        total_backend_num: backends.length,
        version: VERSION,
        uptime_seconds: Math.floor((clock.now() - startedMs) / 1000),
      },
      count: 0,
    },
  };
}

/**
 * Header `cloud_cluster` or `compute_group` chooses the group, as in Doris; else it is the one where
 * a replicated table's replicas are, else the first one.
 */
async function redirectLoad(deps: HttpRoutesDeps, request: HttpRequest): Promise<HttpAnswer> {
  const { message, peer } = request;
  const credentials = basicCredentials(message.headers.authorization);
  if (credentials === undefined) return unauthorized();
  try {
    const account = await deps.passwords.expect({ ...credentials, peer });
    const header = message.headers['compute_group'] ?? message.headers['cloud_cluster'];
    const backend = await pickBackend(
      deps.services,
      deps.services.access.rightsOf(account),
      header === undefined ? '' : String(header),
      await groupOfTable(deps.services, request),
    );
    const host = reachableHost(backend.host, message.socket.localAddress ?? backend.host);
    const location = `http://${host}:${backend.httpPort}${request.target}`;
    return { status: TEMPORARY_REDIRECT, headers: { location }, body: '' };
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    if (error.code === 'ACCESS_DENIED') return unauthorized(error.message);
    return { body: { Status: 'Fail', Message: error.message, ErrorCode: error.errno } };
  }
}

/** A backend that listens on all addresses is reached on the one the client came in by. */
function reachableHost(host: string, usedByClient: string): string {
  const all = host === '0.0.0.0' || host === '::';
  const reachable = all ? usedByClient.replace(/^::ffff:/, '') : host;
  return reachable.includes(':') ? `[${reachable}]` : reachable;
}

/** Empty: the table is shared, or not there, which the backend will say. */
async function groupOfTable(
  { catalog }: Services,
  { params }: Pick<HttpRequest, 'params'>,
): Promise<string> {
  const table = await catalog.tables.find(params['db'] ?? '', params['table'] ?? '');
  const groupId = table?.replication?.computeGroupId;
  const groups = await catalog.computeGroups.list();
  return groups.find(({ computeGroupId }) => computeGroupId === groupId)?.name ?? '';
}

async function pickBackend(
  { catalog, registry, random }: Services,
  rights: Rights,
  named: string,
  ofTable: string,
): Promise<BackendDef> {
  if (named !== '' && !rights.mayUse('COMPUTE_GROUP', named)) {
    throw new SqlError('PRIVILEGE_NEEDED', { privilege: 'USAGE_PRIV' });
  }
  const first = defaultGroup(await catalog.computeGroups.list(), rights) ?? '';
  const wanted = ofTable !== '' && rights.mayUse('COMPUTE_GROUP', ofTable) ? ofTable : first;
  const name = named === '' ? wanted : named;
  const group = await catalog.computeGroups.get(name);
  const members = await catalog.backends.ofGroup(group.computeGroupId);
  const alive = members.filter((backend) => registry.isAlive(backend.backendId));
  const backend = alive.length === 0 ? undefined : alive[random.int(alive.length)];
  if (backend === undefined) throw new SqlError('NO_ALIVE_BACKEND', { name });
  return backend;
}

function unauthorized(text = 'HTTP basic authentication is needed: user and password'): HttpAnswer {
  return {
    status: 401,
    headers: { 'www-authenticate': 'Basic realm="thermocline"' },
    body: { Status: 'Fail', Message: text },
  };
}
