/**
 * Leads that come together become durable together. A push brings 100 tablets, and a transaction
 * for each of them blocked the backends' thread for longer than a heartbeat may be late.
 */
import type { ConfOutcome } from '../../base/agent_messages.ts';
import type { CooldownConf } from '../../base/replica.ts';
import type { ReplicaStore } from '../replica/replica_store.ts';

interface Waiting {
  readonly conf: CooldownConf;
  readonly resolve: (outcome: ConfOutcome) => void;
  readonly reject: (error: unknown) => void;
}

export class LeadBatch {
  readonly #store: Pick<ReplicaStore, 'batch' | 'setLead'>;
  #waiting: Waiting[] = [];

  constructor(store: Pick<ReplicaStore, 'batch' | 'setLead'>) {
    this.#store = store;
  }

  /** Durable when it resolves, with all that were asked for before the event loop goes on. */
  async set(conf: CooldownConf): Promise<ConfOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<ConfOutcome>();
    this.#waiting.push({ conf, resolve, reject });
    if (this.#waiting.length === 1) {
      queueMicrotask(() => {
        this.#flush();
      });
    }
    return await promise;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const outcomes = this.#store.batch(() =>
        waiting.map(({ conf }) => this.#store.setLead(conf)),
      );
      for (const [at, outcome] of outcomes.entries()) waiting[at]?.resolve(outcome);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
