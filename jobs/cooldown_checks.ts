/**
 * CHECK COOLDOWN TABLE: has backends compare what is published of tablets with the bucket and with
 * all replicas, repairs what can be repaired without risk, and looks again: what is not found the
 * second time was repaired.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import type { CooldownProblem, ReplicaSnapshot } from '../base/replica.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ReplicaDef } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';

/** Every object that is in use is read: tablets of one call, and how long that may take. */
const TABLETS_PER_CALL = 10;
const CHECK_TIMEOUT_MS = 600_000;
const SNAPSHOT_TIMEOUT_MS = 30_000;

export interface CooldownChecksDeps {
  readonly catalog: Catalog;
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly transport: AgentTransport;
}

export interface CheckedProblem {
  readonly tabletId: TabletId;
  /** UNCHECKED: nobody could look. */
  readonly kind: CooldownProblem['kind'] | 'UNCHECKED';
  readonly key: string;
  readonly bytes: number;
  readonly what: string;
  /** undefined: it was not to be repaired. */
  readonly isRepaired: boolean | undefined;
}

interface Tablet {
  readonly tabletId: TabletId;
  /** Alive ones, the leader's first. */
  readonly backends: readonly BackendId[];
}

type Found = Omit<CheckedProblem, 'isRepaired'>;

export class CooldownChecks {
  readonly #deps: CooldownChecksDeps;

  constructor(deps: CooldownChecksDeps) {
    this.#deps = deps;
  }

  /** By tablet. What a backend cannot do is a problem of its tablets; throws what `signal` says. */
  async check(
    tabletIds: readonly TabletId[],
    { repair, signal }: { readonly repair: boolean; readonly signal: AbortSignal },
  ): Promise<readonly CheckedProblem[]> {
    const tablets = tabletIds.map((tabletId) => this.#tablet(tabletId));
    const byChecker = Map.groupBy(tablets, ({ backends }) => backends[0]);
    const lists = await Promise.all(
      [...byChecker].map(async ([backendId, own]) => {
        const problems: CheckedProblem[] = [];
        for (let at = 0; at < own.length; at += TABLETS_PER_CALL) {
          signal.throwIfAborted();
          const some = own.slice(at, at + TABLETS_PER_CALL);
          problems.push(...(await this.#checkSome(backendId, some, repair, signal)));
        }
        return problems;
      }),
    );
    return lists.flat().toSorted((a, b) => a.tabletId - b.tabletId);
  }

  #tablet(tabletId: TabletId): Tablet {
    const { catalog, registry } = this.#deps;
    const leader = catalog.cooldown.lead(tabletId)?.replicaId;
    const rank = ({ replicaId }: ReplicaDef): number => (replicaId === leader ? 0 : 1);
    const backends = catalog.replicas
      .ofTablet(tabletId)
      .toSorted((a, b) => rank(a) - rank(b))
      .map(({ backendId }) => backendId)
      .filter((backendId) => registry.isAlive(backendId));
    return { tabletId, backends };
  }

  async #checkSome(
    backendId: BackendId | undefined,
    tablets: readonly Tablet[],
    repair: boolean,
    signal: AbortSignal,
  ): Promise<CheckedProblem[]> {
    const found = await this.#look(backendId, tablets, signal);
    if (!repair) return found.map((problem) => ({ ...problem, isRepaired: undefined }));
    const broken = new Set(found.map(({ tabletId }) => tabletId));
    const again = tablets.filter(({ tabletId }) => broken.has(tabletId));
    if (backendId === undefined || again.length === 0) {
      return found.map((problem) => ({ ...problem, isRepaired: false }));
    }
    const failures = await this.#repair(again, signal);
    const left = await this.#look(backendId, again, signal);
    const open = new Set(left.map(identity));
    const isUnknown = new Set(
      left.filter(({ kind }) => kind === 'UNCHECKED').map(({ tabletId }) => tabletId),
    );
    return found.map((problem) => {
      const { tabletId } = problem;
      const isRepaired = !open.has(identity(problem)) && !isUnknown.has(tabletId);
      const failure = isRepaired ? undefined : failures.get(tabletId);
      const what = failure === undefined ? problem.what : `${problem.what}; repair: ${failure}`;
      return { ...problem, what, isRepaired };
    });
  }

  async #look(
    backendId: BackendId | undefined,
    tablets: readonly Tablet[],
    signal: AbortSignal,
  ): Promise<Found[]> {
    const tabletIds = tablets.map(({ tabletId }) => tabletId);
    if (backendId === undefined) {
      return tabletIds.map((one) => unchecked(one, 'no replica is on a backend that is alive'));
    }
    try {
      const others = await this.#others(backendId, tablets, signal);
      const request = { tabletIds, others, checksum: true };
      const options = { timeoutMs: CHECK_TIMEOUT_MS, signal };
      const { transport } = this.#deps;
      const reply = await transport.call(backendId, 'checkCooldown', request, options);
      return reply.tablets.flatMap(({ tabletId, problems }) =>
        problems.map((problem) => ({ ...problem, tabletId })),
      );
    } catch (error) {
      signal.throwIfAborted();
      return tabletIds.map((one) => unchecked(one, (error as Error).message));
    }
  }

  /** What replicas on other backends have; those that do not answer are left out. */
  async #others(
    backendId: BackendId,
    tablets: readonly Tablet[],
    signal: AbortSignal,
  ): Promise<ReplicaSnapshot[]> {
    const wanted = new Map<BackendId, TabletId[]>();
    for (const { tabletId, backends } of tablets) {
      for (const other of backends) {
        if (other !== backendId) wanted.set(other, [...(wanted.get(other) ?? []), tabletId]);
      }
    }
    const { transport } = this.#deps;
    const options = { timeoutMs: SNAPSHOT_TIMEOUT_MS, signal };
    const lists = await Promise.all(
      [...wanted].map(async ([other, tabletIds]) => {
        const reply = await transport.call(other, 'replicaSnapshots', { tabletIds }, options);
        return reply.replicas;
      }),
    );
    return lists.flat();
  }

  /** Each replica in turn, the leader first: another one may have a copy that it has not. */
  async #repair(tablets: readonly Tablet[], signal: AbortSignal): Promise<Map<TabletId, string>> {
    const { transport } = this.#deps;
    const failures = new Map<TabletId, string>();
    for (const tablet of tablets) {
      for (const backendId of tablet.backends) {
        signal.throwIfAborted();
        try {
          const others = await this.#others(backendId, [tablet], signal);
          const request = { tabletIds: [tablet.tabletId], others };
          const options = { timeoutMs: CHECK_TIMEOUT_MS, signal };
          await transport.call(backendId, 'repairCooldown', request, options);
        } catch (error) {
          failures.set(tablet.tabletId, (error as Error).message);
        }
      }
    }
    return failures;
  }
}

function unchecked(tabletId: TabletId, what: string): Found {
  return { tabletId, kind: 'UNCHECKED', key: '', bytes: 0, what };
}

function identity({ tabletId, kind, key }: Found): string {
  // A double that its twin's loss has made an orphan is the same object.
  const group = kind === 'DOUBLE' ? 'ORPHAN' : kind;
  return key === '' ? `${tabletId} ${group}` : `${tabletId} ${group} ${key}`;
}
