/** Which installation this is: backends remember it, so that none joins another one by mistake. */
import type { Session } from './session.ts';

const SINGLETON = 1;

export class ClusterIdentityStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The cluster's id; `fresh` becomes it when there is none yet. */
  async ensure(fresh: string): Promise<string> {
    return await this.#session.write(async (tx) => {
      const row = await tx.db.selectFrom('cluster').select('cluster_id').executeTakeFirst();
      if (row !== undefined) return row.cluster_id;
      const values = { singleton: SINGLETON, cluster_id: fresh };
      await tx.db.insertInto('cluster').values(values).execute();
      return fresh;
    });
  }
}
