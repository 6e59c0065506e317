/** What backends ask of the server: one handler per call of `FrontendCalls`. */
import type {
  FrontendCallName,
  FrontendCalls,
  FrontendPort,
  Nothing,
} from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { type BackendId, type ResourceId, type VaultId, id } from '../base/ids.ts';
import type { AccountName } from '../base/privileges.ts';
import type { Clock } from '../base/ports.ts';
import type { VaultSpec } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import type { Cooldown } from '../jobs/cooldown.ts';
import type { LoadCoordinator } from '../jobs/loads.ts';
import type { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import type { AccessControl } from './access/access_control.ts';
import type { AuditLog } from './audit/audit_log.ts';
import { defaultGroup } from './access/default_group.ts';
import type { Rights } from './access/rights.ts';
import type { PasswordCheck } from './password_check.ts';

export interface FrontendCallsDeps {
  readonly catalog: Catalog;
  readonly access: AccessControl;
  readonly clock: Clock;
  /** Absent: nothing is kept. */
  readonly audit?: AuditLog;
  readonly config: Config;
  readonly registry: BackendRegistry;
  readonly loads: LoadCoordinator;
  readonly warmUps: WarmUpJobs;
  readonly cooldown: Cooldown;
  readonly passwords: PasswordCheck;
}

type Handlers = {
  readonly [Name in FrontendCallName]: (
    request: FrontendCalls[Name]['request'],
    from: BackendId,
  ) => Promise<FrontendCalls[Name]['reply']>;
};

const NOTHING: Nothing = {};

/** Backend → the port it gets: it can speak for itself only. */
export function frontendPorts(deps: FrontendCallsDeps): (from: BackendId) => FrontendPort {
  const handlers = makeHandlers(deps);
  return (from) => ({
    call: async (name, request) => {
      if (!Object.hasOwn(handlers, name)) throw new SqlError('NOT_SUPPORTED', { what: name });
      const handler = handlers[name];
      return await handler(request, from);
    },
  });
}

function makeHandlers(deps: FrontendCallsDeps): Handlers {
  const { access, catalog, config, registry, loads, warmUps, cooldown, passwords } = deps;
  return {
    heartbeat: async (heartbeat, from) => {
      expectSelf(heartbeat.backendId, from);
      const backend = await catalog.backends.get(from);
      if (backend.adminState !== 'STOPPED') registry.heartbeat(heartbeat);
      // Embedded ones are asked when they start (`BackendControl`).
      const { httpPort } = heartbeat;
      if (backend.kind === 'remote' && backend.httpPort !== httpPort) {
        await catalog.backends.setHttpPort(from, httpPort);
      }
      return { computeGroupName: backend.computeGroupName, config: config.agentValues() };
    },
    vault: async ({ vaultId }) => await storeOf(catalog, vaultId),
    beginLoad: async (request, from) => {
      return await audited(deps, request, async () => {
        const account = await passwords.expect(request.credentials);
        await expectLoad(deps, account, request, from);
        const { database, table, label, timeoutMs } = request;
        return await loads.begin(database, table, label, timeoutMs, from);
      });
    },
    commitLoad: async ({ txnId, outcome }, from) => {
      await loads.commit(txnId, outcome, from);
      return { status: 'VISIBLE' };
    },
    abortLoad: async ({ txnId, reason }) => {
      await loads.abort(txnId, reason);
      return NOTHING;
    },
    warmUpProgress: async (progress, from) => {
      expectSelf(progress.backendId, from);
      await warmUps.onProgress(progress);
      return NOTHING;
    },
    reportTablets: async (report, from) => {
      expectSelf(report.backendId, from);
      return await Promise.resolve(cooldown.reports.receive(report));
    },
    txnOutcomes: async ({ txnIds }) => ({ txns: await loads.outcomes(txnIds) }),
    confirmUnusedRemoteFiles: async (request, from) =>
      await cooldown.confirmUnusedFiles(request, from),
    authorize: async ({ caller, peer }) => {
      expectOperator(access.rightsOf(await passwords.expectCaller(caller, peer)));
      return NOTHING;
    },
  };
}

/** Vaults and resources have ids of one allocator. Throws UNKNOWN_VAULT. */
async function storeOf(catalog: Catalog, vaultId: VaultId): Promise<VaultSpec> {
  const resource = await catalog.resources.byId(id<ResourceId>(vaultId));
  if (resource === undefined) return (await catalog.vaults.byId(vaultId)).spec;
  const { name, store } = resource;
  if (store.kind === 'file') return { ...store, vaultId, name, resource: name };
  return { ...store, vaultId, name };
}

/** A stream load in the audit log: that it began, or why it did not. */
async function audited<T>(
  { audit, clock }: FrontendCallsDeps,
  { database, table, label, credentials }: FrontendCalls['beginLoad']['request'],
  begin: () => Promise<T>,
): Promise<T> {
  const entry = {
    atMs: clock.now(),
    connectionId: 0,
    user: credentials.user,
    host: credentials.peer,
    database,
    kind: 'StreamLoad',
    text: `${database}.${table} label ${label}`,
    errno: 0,
    error: '',
    rows: 0,
    durationMs: 0,
    jobId: '',
  };
  try {
    const begun = await begin();
    audit?.record(entry);
    return begun;
  } catch (error) {
    const { errno = 0, message } = error as Partial<SqlError>;
    audit?.record({ ...entry, errno, error: message ?? '' });
    throw error;
  }
}

/** What is about the server as a whole. Throws PRIVILEGE_NEEDED. */
export function expectOperator(rights: Rights): void {
  if (rights.hasGlobal('NODE')) return;
  throw new SqlError('PRIVILEGE_NEEDED', { privilege: 'NODE_PRIV, ADMIN_PRIV' });
}

/**
 * LOAD on the table, and USAGE of the backend's compute group unless it is the user's default.
 * Throws TABLE_ACCESS_DENIED, PRIVILEGE_NEEDED.
 */
async function expectLoad(
  { access, catalog }: FrontendCallsDeps,
  account: AccountName,
  { database, table, credentials }: FrontendCalls['beginLoad']['request'],
  from: BackendId,
): Promise<void> {
  const rights = access.rightsOf(account);
  if (!rights.onTable('LOAD', database, table)) {
    const { user, peer: host } = credentials;
    throw new SqlError('TABLE_ACCESS_DENIED', { command: 'INSERT', user, host, name: table });
  }
  const group = (await catalog.backends.get(from)).computeGroupName;
  if (rights.mayUse('COMPUTE_GROUP', group)) return;
  if (group === defaultGroup(await catalog.computeGroups.list(), rights)) return;
  throw new SqlError('PRIVILEGE_NEEDED', { privilege: 'USAGE_PRIV' });
}

function expectSelf(claimed: BackendId, from: BackendId): void {
  if (claimed === from) return;
  const what = `it speaks as backend ${claimed}`;
  throw new SqlError('BACKEND_STATE', { name: from, state: 'confused', what });
}
