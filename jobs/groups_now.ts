/** Compute groups and their backends as they are at one moment, read once for many jobs. */
import type { BackendId } from '../base/ids.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';

export class GroupsNow {
  readonly #registry: BackendRegistry;
  readonly #names: ReadonlySet<string>;
  readonly #backends: ReadonlyMap<BackendId, BackendDef>;
  readonly #servers = new Map<string, readonly BackendId[]>();

  static async read(catalog: Catalog, registry: BackendRegistry): Promise<GroupsNow> {
    const groups = await catalog.computeGroups.list();
    return new GroupsNow(
      registry,
      groups.map((group) => group.name),
      await catalog.backends.list(),
    );
  }

  private constructor(
    registry: BackendRegistry,
    names: readonly string[],
    backends: readonly BackendDef[],
  ) {
    this.#registry = registry;
    this.#names = new Set(names);
    this.#backends = new Map(backends.map((backend) => [backend.backendId, backend]));
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  /** undefined: there is no such backend. */
  groupOf(backendId: BackendId): string | undefined {
    return this.#backends.get(backendId)?.computeGroupName;
  }

  has(group: string): boolean {
    return this.#names.has(group);
  }

  /** Backends that serve the group's readers now. */
  servers(group: string): readonly BackendId[] {
    let servers = this.#servers.get(group);
    if (servers === undefined) {
      servers = [...this.#backends.values()]
        .filter((backend) => backend.computeGroupName === group)
        .map((backend) => backend.backendId)
        .filter((backendId) => this.#registry.isAlive(backendId));
      this.#servers.set(group, servers);
    }
    return servers;
  }

  /** Whether the backend belongs to the group, alive or not. */
  isMember(backendId: BackendId, group: string): boolean {
    return this.groupOf(backendId) === group;
  }

  /**
   * Right after a start of the server nobody has spoken yet: an ENABLED backend of the group that
   * has never been heard of keeps its batches until the others had time to speak, too.
   */
  maySpeakAgain(backendId: BackendId, group: string): boolean {
    if (!this.isMember(backendId, group)) return false;
    const isEnabled = this.#backends.get(backendId)?.adminState === 'ENABLED';
    return isEnabled && this.#registry.mayBeStarting(backendId);
  }

  /** A backend of the group without which a plan would be made too early; undefined: none. */
  mayStillSpeak(group: string): BackendId | undefined {
    for (const backendId of this.#backends.keys()) {
      if (this.maySpeakAgain(backendId, group)) return backendId;
    }
    return undefined;
  }
}
