/** A listener on a free port whose accounts and sessions a test scripts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config } from '../../../base/config.ts';
import { SqlError } from '../../../base/errors.ts';
import type { Clock, Log, LogFields } from '../../../base/ports.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import type { ResultColumn, RowsResult, SqlRow } from '../../../base/values.ts';
import { OK, textColumn } from '../../../base/values.ts';
import type {
  Account,
  ConnectionControl,
  FieldListing,
  FrontDoor,
  LoginInfo,
  PreparedQuery,
  QueryOptions,
  QueryStep,
  SessionCharsets,
  SessionHandler,
} from '../../../server/mysql/handler.ts';
import { MysqlListener } from '../../../server/mysql/listener.ts';
import { TlsCertificate } from '../../../server/tls_certificate.ts';
import { SALT_BYTES, makeCachingSha2, makeNative } from '../../../server/mysql/passwords.ts';

export type QueryScript = (
  sql: string,
  options: QueryOptions,
  session: ScriptedSession,
) => AsyncIterable<QueryStep>;

export const okStep = (more = false): QueryStep => ({ result: OK, warnings: 0, more });

export function rowsResult(columns: readonly ResultColumn[], rows: RowsResult['rows']): RowsResult {
  return { kind: 'rows', columns, rows };
}

/** One text column `text`. */
export function textStep(values: readonly (string | null)[], more = false): QueryStep {
  const rows = values.map((value): SqlRow => [value]);
  return { result: rowsResult([textColumn('text')], rows), warnings: 0, more };
}

export class ScriptedSession implements SessionHandler {
  readonly login: LoginInfo;
  readonly control: ConnectionControl;
  inTransaction = false;
  autocommit = true;
  idleTimeoutSeconds = 28_800;
  closeCount = 0;
  charsets: SessionCharsets = { client: 'utf8mb4', results: 'utf8mb4' };
  readonly #door: ScriptedFrontDoor;

  constructor(door: ScriptedFrontDoor, login: LoginInfo, control: ConnectionControl) {
    this.#door = door;
    this.login = login;
    this.control = control;
  }

  query(sql: string, options: QueryOptions): AsyncIterable<QueryStep> {
    this.#door.calls.push(`query ${sql}`);
    return this.#door.onQuery(sql, options, this);
  }

  /** As many parameters as there are question marks; runs as the query `text [values]`. */
  async prepare(sql: string): Promise<PreparedQuery> {
    this.#door.calls.push(`prepare ${sql}`);
    await Promise.resolve();
    if (sql.startsWith('BAD')) throw new SqlError('EMPTY_QUERY');
    return {
      parameters: sql.split('?').length - 1,
      columns: [],
      text: sql,
      run: (values, { signal }) => {
        const shown = values.map((value) =>
          typeof value === 'bigint'
            ? `${value}n`
            : Buffer.isBuffer(value)
              ? value.toString('hex')
              : value,
        );
        return this.query(`${sql} ${JSON.stringify(shown)}`, { allowMulti: false, signal });
      },
    };
  }

  async useDatabase(name: string): Promise<void> {
    this.#door.calls.push(`use ${name}`);
    await Promise.resolve();
    if (name === 'nowhere') throw new SqlError('BAD_DB', { name });
  }

  async fieldList({ table, pattern }: FieldListing): Promise<RowsResult> {
    this.#door.calls.push(`fields ${table} ${pattern}`);
    await Promise.resolve();
    return rowsResult([textColumn('a'), textColumn('b')], []);
  }

  statistics(): string {
    this.#door.calls.push('statistics');
    return 'Uptime: 1  Threads: 1';
  }

  async reset(): Promise<void> {
    this.#door.calls.push('reset');
    await Promise.resolve();
  }

  close(): void {
    this.closeCount += 1;
  }
}

export class ScriptedFrontDoor implements FrontDoor {
  readonly accounts = new Map<string, Account>();
  readonly sessions: ScriptedSession[] = [];
  /** Whatever a session was asked to do, in order. */
  readonly calls: string[] = [];
  onQuery: QueryScript = answerOk;

  async findAccount(user: string): Promise<Account | undefined> {
    await Promise.resolve();
    return this.accounts.get(user);
  }

  async openSession(login: LoginInfo, control: ConnectionControl): Promise<SessionHandler> {
    await Promise.resolve();
    if (login.database === 'nowhere') throw new SqlError('BAD_DB', { name: login.database });
    const session = new ScriptedSession(this, login, control);
    this.sessions.push(session);
    return session;
  }
}

async function* answerOk(): AsyncIterable<QueryStep> {
  await Promise.resolve();
  yield okStep();
}

export interface TestServer {
  readonly listener: MysqlListener;
  readonly door: ScriptedFrontDoor;
  readonly port: number;
  readonly config: Config;
  /** Error lines of the log. */
  readonly errors: LogFields[];
  /** Where the certificate is that the listener makes. */
  readonly dataDir: string;
  close(): Promise<void>;
}

/**
 * Accounts: `root` without a password, `native` and `sha` with the password `secret`, `shaempty`
 * without one.
 */
export async function startServer(
  settings: Readonly<Record<string, string>> = {},
  clock: Clock = systemClock,
): Promise<TestServer> {
  const door = new ScriptedFrontDoor();
  const native = 'mysql_native_password';
  const sha = 'caching_sha2_password';
  const shaSecret = await makeCachingSha2('secret', systemRandom.bytes(SALT_BYTES));
  door.accounts.set('root', { plugin: native, authString: '' });
  door.accounts.set('native', { plugin: native, authString: makeNative('secret') });
  door.accounts.set('sha', { plugin: sha, authString: shaSecret });
  door.accounts.set('shaempty', { plugin: sha, authString: '' });
  const errors: LogFields[] = [];
  const log: Log = { ...SILENT_LOG, error: (_event, fields = {}) => errors.push(fields) };
  const config = new Config(settings);
  const random = systemRandom;
  const dataDir = mkdtempSync(join(tmpdir(), 'thermocline-front-door-'));
  const tls = new TlsCertificate({ config, clock, log, dataDir });
  const listener = new MysqlListener({ config, clock, random, log, frontDoor: door, tls });
  const { port } = await listener.listen('127.0.0.1', 0);
  const close = async (): Promise<void> => {
    await listener.close(0);
    rmSync(dataDir, { recursive: true });
  };
  return { listener, door, port, config, errors, dataDir, close };
}

/** Waits for something that happens by itself; bounded by the test's own time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}
