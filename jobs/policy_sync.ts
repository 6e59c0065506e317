/**
 * Storage policies and versions of resources on backends: what a report shows to be missing or old
 * is sent, at the end of every report, and at once when a statement has changed something.
 * Credentials are not among it: a backend asks for a resource when it opens it.
 */
import type { AgentCalls, AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, StoragePolicyId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { ReportedVersions } from './tablet_reports.ts';

const CALL_TIMEOUT_MS = 5000;

type Push = AgentCalls['pushStoragePolicies']['request'];
type Known = Pick<ReportedVersions, 'policies' | 'resources'>;

export interface PolicySyncDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly log: Log;
}

export class PolicySync {
  /** Messages that were sent since the server started, for tests. */
  sent = 0;
  readonly #deps: PolicySyncDeps;
  readonly #running = new Set<Promise<void>>();

  constructor(deps: PolicySyncDeps) {
    this.#deps = deps;
  }

  /** A backend has said what it has. */
  reported({ backendId, policies, resources }: ReportedVersions): void {
    this.#run(async () => {
      await this.#send(backendId, await this.#difference({ policies, resources }));
    });
  }

  /**
   * A policy or a resource was made, changed or dropped: everybody hears of it now. Resolves when
   * all that are alive have answered or failed; who missed it hears of it after his next report.
   */
  async changed(dropped: readonly StoragePolicyId[] = []): Promise<void> {
    const { catalog, registry } = this.#deps;
    const push = { ...(await this.#difference({ policies: [], resources: [] })), dropped };
    const backends = (await catalog.backends.list()).map(({ backendId }) => backendId);
    const alive = backends.filter((backendId) => registry.isAlive(backendId));
    await Promise.all(alive.map(async (backendId) => this.#send(backendId, push)));
  }

  /** Resolves when nothing is being sent. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #difference({ policies, resources }: Known): Promise<Push> {
    const { catalog } = this.#deps;
    const policyVersions = new Map(policies.map(({ policyId, version }) => [policyId, version]));
    const resourceVersions = new Map(
      resources.map(({ resourceId, version }) => [resourceId, version]),
    );
    const all = await catalog.storagePolicies.list();
    const there = new Set(all.map(({ policyId }) => policyId));
    return {
      policies: all
        .filter(({ policyId, version }) => version > (policyVersions.get(policyId) ?? -1))
        .map(({ policyId, version, resourceId, cooldown }) => ({
          policyId,
          version,
          resourceId,
          cooldown,
        })),
      resources: (await catalog.resources.list())
        .filter(({ resourceId, version }) => version > (resourceVersions.get(resourceId) ?? -1))
        .map(({ resourceId, version }) => ({ resourceId, version })),
      dropped: policies.map(({ policyId }) => policyId).filter((policyId) => !there.has(policyId)),
    };
  }

  async #send(backendId: BackendId, push: Push): Promise<void> {
    const { log, transport } = this.#deps;
    if (push.policies.length + push.resources.length + push.dropped.length === 0) return;
    this.sent += 1;
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      await transport.call(backendId, 'pushStoragePolicies', push, options);
    } catch (error) {
      log.warn('a backend was not told of storage policies; its next report repeats it', {
        backendId,
        error: String(error),
      });
    }
  }

  #run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        this.#deps.log.warn('storage policies were not compared', { error: String(error) });
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
