/** Config values that ADMIN SET FRONTEND CONFIG was asked to persist (`"persist"="true"`). */
import type { Session } from './session.ts';
import { upsert } from './upsert.ts';

export class ConfigOverrideStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Key → value as text; the keys are not checked here: an older program may know fewer. */
  async all(): Promise<Record<string, string>> {
    const rows = await this.#session.db
      .selectFrom('config_override')
      .selectAll()
      .orderBy('name')
      .execute();
    return Object.fromEntries(rows.map((row) => [row.name, row.value]));
  }

  async set(name: string, value: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const columns = { value, changed_ms: tx.clock.now() };
      await upsert(
        tx.db.updateTable('config_override').set(columns).where('name', '=', name),
        tx.db.insertInto('config_override').values({ name, ...columns }),
      );
    });
  }

  /** No error when there was none. */
  async remove(name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db.deleteFrom('config_override').where('name', '=', name).execute();
    });
  }
}
