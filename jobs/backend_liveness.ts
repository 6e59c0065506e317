/** Since when backends are dead, by the monotonic clock of this server. */
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { BackendRegistry } from './backend_registry.ts';

type Registry = Pick<BackendRegistry, 'isAlive' | 'mayBeStarting' | 'status'>;

export class BackendLiveness {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #deadSince = new Map<BackendId, number>();
  readonly #known = new Set<BackendId>();

  constructor(registry: Registry, clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Looks at these backends; those that came back, and those that have just died. */
  look(backends: Iterable<BackendId>): readonly BackendId[] {
    const now = this.#clock.monotonic();
    const turned: BackendId[] = [];
    for (const backendId of backends) {
      const wasDead = this.#deadSince.has(backendId);
      const isDead = !this.#registry.isAlive(backendId);
      if (isDead && !wasDead) this.#deadSince.set(backendId, now);
      if (!isDead) this.#deadSince.delete(backendId);
      if (isDead !== wasDead || !this.#known.has(backendId)) turned.push(backendId);
      this.#known.add(backendId);
    }
    return turned;
  }

  isAlive(backendId: BackendId): boolean {
    return this.#registry.isAlive(backendId);
  }

  /** It may be alive: the server has only just started, and has not heard of it yet. */
  counts(backendId: BackendId): boolean {
    return this.#registry.isAlive(backendId) || this.#registry.mayBeStarting(backendId);
  }

  /** Which life of it is heard of; undefined: none yet. */
  incarnationOf(backendId: BackendId): string | undefined {
    return this.#registry.status(backendId)?.incarnation;
  }

  /** Milliseconds; counted from when somebody first asked or looked. */
  deadMs(backendId: BackendId): number {
    if (this.#registry.isAlive(backendId)) return 0;
    const now = this.#clock.monotonic();
    const since = this.#deadSince.get(backendId) ?? now;
    this.#deadSince.set(backendId, since);
    return now - since;
  }
}
