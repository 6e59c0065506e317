/** What backends ask of the server: one handler per call of `FrontendCalls`. */
import type {
  FrontendCallName,
  FrontendCalls,
  FrontendPort,
  Nothing,
} from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import type { LoadCoordinator } from '../jobs/loads.ts';
import type { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import type { PasswordCheck } from './password_check.ts';

export interface FrontendCallsDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly registry: BackendRegistry;
  readonly loads: LoadCoordinator;
  readonly warmUps: WarmUpJobs;
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
      const handler = handlers[name];
      return await handler(request, from);
    },
  });
}

function makeHandlers(deps: FrontendCallsDeps): Handlers {
  const { catalog, config, registry, loads, warmUps, passwords } = deps;
  return {
    heartbeat: async (heartbeat, from) => {
      expectSelf(heartbeat.backendId, from);
      const backend = await catalog.backends.get(from);
      if (backend.adminState !== 'STOPPED') registry.heartbeat(heartbeat);
      return { computeGroupName: backend.computeGroupName, config: config.agentValues() };
    },
    vault: async ({ vaultId }) => (await catalog.vaults.byId(vaultId)).spec,
    beginLoad: async (request) => {
      await passwords.expect(request.credentials);
      const { database, table, label, timeoutMs } = request;
      return await loads.begin(database, table, label, timeoutMs);
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
  };
}

function expectSelf(claimed: BackendId, from: BackendId): void {
  if (claimed === from) return;
  const what = `it speaks as backend ${claimed}`;
  throw new SqlError('BACKEND_STATE', { name: from, state: 'confused', what });
}
