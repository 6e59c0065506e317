/** Users, roles and privileges. */
import { nameValue, userVarName } from '../literals.ts';
import type {
  AccountOptions,
  AccountRef,
  AlterUser,
  CreateRole,
  CreateUser,
  Credential,
  DropRole,
  DropUser,
  Grant,
  Grantee,
  GrantRole,
  GrantScope,
  PasswordExpiry,
  Privilege,
  Revoke,
  RenameUser,
  RevokeRole,
  ShowCreateUser,
  RoleChoice,
  SetDefaultRole,
  SetRole,
  ShowGrants,
  UserSpec,
} from '../nodes/accounts.ts';
import { K, Name, T } from '../tokens.ts';
import { alts } from './expr.ts';
import { ShowRules } from './show.ts';

type AccountLimits = Partial<
  Record<'queriesPerHour' | 'updatesPerHour' | 'connectionsPerHour' | 'userConnections', number>
>;

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

export class AccountRules extends ShowRules {
  /** `'user'@'host'`, `user@host`, `'user'`, `CURRENT_USER[()]`. */
  account = this.RULE('account', (): AccountRef =>
    this.OR(
      alts<AccountRef>([
        {
          ALT: () => {
            this.CONSUME(K.CURRENT_USER);
            this.OPTION(() => {
              this.CONSUME(T.LParen);
              this.CONSUME(T.RParen);
            });
            return { kind: 'current' };
          },
        },
        {
          ALT: () => {
            const user = this.SUBRULE(this.nameOrString);
            const host = this.OPTION2(() => this.SUBRULE(this.accountHost));
            return { kind: 'account', user, host: host ?? '%' };
          },
        },
      ]),
    ),
  );

  accountHost = this.RULE('accountHost', (): string =>
    this.OR([
      { ALT: () => userVarName(this.CONSUME(T.UserVar).image) },
      {
        ALT: () => {
          this.CONSUME(T.At);
          return this.OR2([
            { ALT: () => this.SUBRULE(this.nameOrString) },
            { ALT: () => (this.CONSUME(T.Percent), '%') },
          ]);
        },
      },
    ]),
  );

  accounts = this.RULE('accounts', (): AccountRef[] => {
    const list: AccountRef[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void list.push(this.SUBRULE(this.account)),
    });
    return list;
  });

  userSpecs = this.RULE('userSpecs', (): UserSpec[] => {
    const list: UserSpec[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const account = this.SUBRULE(this.account);
        const credential = this.OPTION(() => this.SUBRULE(this.credential));
        list.push({ account, credential });
      },
    });
    return list;
  });

  /** `IDENTIFIED [WITH plugin] [BY 'x' | BY PASSWORD 'hash' | AS 'hash']`. */
  credential = this.RULE('credential', (): Credential => {
    this.CONSUME(K.IDENTIFIED);
    const plugin = this.OPTION(() => {
      this.CONSUME(K.WITH);
      return this.SUBRULE(this.nameOrString);
    });
    const password = this.OPTION2(() =>
      this.OR(
        alts<NonNullable<Credential['password']>>([
          {
            ALT: () => {
              this.CONSUME(K.BY);
              const hash = this.OPTION3(() => this.CONSUME(K.PASSWORD)) !== undefined;
              return { kind: hash ? 'hash' : 'clear', text: this.SUBRULE(this.stringLiteral) };
            },
          },
          {
            ALT: () => {
              this.CONSUME(K.AS);
              return { kind: 'hash', text: this.SUBRULE2(this.stringLiteral) };
            },
          },
        ]),
      ),
    );
    return { plugin, password };
  });

  createUser = this.RULE('createUser', (): CreateUser => {
    this.CONSUME(K.CREATE);
    this.CONSUME(K.USER);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const users = this.SUBRULE(this.userSpecs);
    const defaultRole = this.OPTION(() => {
      this.CONSUME(K.DEFAULT);
      this.CONSUME(K.ROLE);
      return this.SUBRULE(this.nameOrString);
    });
    const options = this.SUBRULE(this.accountOptions);
    return { kind: 'CreateUser', ifNotExists, users, defaultRole, options };
  });

  alterUser = this.RULE('alterUser', (): AlterUser => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.USER);
    const ifExists = this.SUBRULE(this.ifExists);
    const users = this.SUBRULE(this.userSpecs);
    const options = this.SUBRULE(this.accountOptions);
    return { kind: 'AlterUser', ifExists, users, options };
  });

  /**
   * `[REQUIRE ..] [WITH MAX_..] {PASSWORD .. | ACCOUNT .. | FAILED_LOGIN_ATTEMPTS ..}...
   * [COMMENT 'text']`.
   */
  accountOptions = this.RULE('accountOptions', (): AccountOptions => {
    const requireTls = this.OPTION(() => this.SUBRULE(this.requireClause));
    const limits: AccountLimits = {};
    this.OPTION2(() => {
      this.CONSUME(K.WITH);
      this.AT_LEAST_ONE(() => this.SUBRULE(this.accountLimit, { ARGS: [limits] }));
    });
    let expire: PasswordExpiry | undefined;
    let lock: boolean | undefined;
    let failedLoginAttempts: number | undefined;
    let passwordLockSecond: AccountOptions['passwordLockSecond'];
    this.MANY(() => {
      this.OR([
        { ALT: () => (expire = this.SUBRULE(this.passwordOption) ?? expire) },
        {
          ALT: () => {
            this.CONSUME(K.FAILED_LOGIN_ATTEMPTS);
            failedLoginAttempts = this.SUBRULE(this.integer);
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.PASSWORD_LOCK_TIME);
            passwordLockSecond = this.SUBRULE(this.lockTime);
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.ACCOUNT);
            lock = this.OR2([
              { ALT: () => (this.CONSUME(K.LOCK), true) },
              { ALT: () => (this.CONSUME(K.UNLOCK), false) },
            ]);
          },
        },
      ]);
    });
    const comment = this.SUBRULE(this.commentClause);
    const { queriesPerHour, updatesPerHour, connectionsPerHour, userConnections } = limits;
    return {
      requireTls,
      queriesPerHour,
      updatesPerHour,
      connectionsPerHour,
      userConnections,
      expire,
      failedLoginAttempts,
      passwordLockSecond,
      lock,
      comment,
    };
  });

  /** Days as MySQL has it, Doris's units, or UNBOUNDED. */
  lockTime = this.RULE('lockTime', (): number | 'UNBOUNDED' =>
    this.OR(
      alts<number | 'UNBOUNDED'>([
        { ALT: () => (this.CONSUME(K.UNBOUNDED), 'UNBOUNDED') },
        {
          ALT: () => {
            const amount = this.SUBRULE(this.integer);
            const unit = this.OPTION(() =>
              this.OR2([
                { ALT: () => (this.CONSUME(K.DAY), DAY_SECONDS) },
                { ALT: () => (this.CONSUME(K.HOUR), HOUR_SECONDS) },
                { ALT: () => (this.CONSUME(K.SECOND), 1) },
              ]),
            );
            return amount * (unit ?? DAY_SECONDS);
          },
        },
      ]),
    ),
  );

  /** REQUIRE SSL is true. */
  requireClause = this.RULE('requireClause', (): boolean => {
    this.CONSUME(K.REQUIRE);
    return this.OR([
      { ALT: () => (this.CONSUME(K.NONE), false) },
      { ALT: () => (this.CONSUME(K.SSL), true) },
    ]);
  });

  accountLimit = this.RULE('accountLimit', (limits: AccountLimits = {}): void => {
    const name = this.OR(
      alts<keyof AccountLimits>([
        { ALT: () => (this.CONSUME(K.MAX_QUERIES_PER_HOUR), 'queriesPerHour') },
        { ALT: () => (this.CONSUME(K.MAX_UPDATES_PER_HOUR), 'updatesPerHour') },
        { ALT: () => (this.CONSUME(K.MAX_CONNECTIONS_PER_HOUR), 'connectionsPerHour') },
        { ALT: () => (this.CONSUME(K.MAX_USER_CONNECTIONS), 'userConnections') },
      ]),
    );
    limits[name] = this.SUBRULE(this.integer);
  });

  /**
   * PASSWORD EXPIRE [..]. What dumps of MySQL 8 write besides (HISTORY, REUSE INTERVAL, REQUIRE
   * CURRENT) is read where it asks for the default, which is what this server does.
   */
  passwordOption = this.RULE('passwordOption', (): PasswordExpiry | undefined => {
    this.CONSUME(K.PASSWORD);
    return this.OR(
      alts<PasswordExpiry | undefined>([
        { ALT: () => (this.CONSUME(K.EXPIRE), this.SUBRULE(this.passwordExpiry)) },
        { ALT: () => (this.CONSUME(K.HISTORY), void this.CONSUME(K.DEFAULT)) },
        {
          ALT: () => (
            this.CONSUME(K.REUSE),
            this.CONSUME(K.INTERVAL),
            void this.CONSUME2(K.DEFAULT)
          ),
        },
        {
          ALT: () => (
            this.CONSUME(K.REQUIRE),
            this.CONSUME(K.CURRENT),
            void this.CONSUME3(K.DEFAULT)
          ),
        },
      ]),
    );
  });

  passwordExpiry = this.RULE(
    'passwordExpiry',
    (): PasswordExpiry =>
      this.OPTION(() =>
        this.OR(
          alts<PasswordExpiry>([
            { ALT: () => (this.CONSUME(K.DEFAULT), 'DEFAULT') },
            { ALT: () => (this.CONSUME(K.NEVER), 'NEVER') },
            {
              ALT: () => {
                this.CONSUME(K.INTERVAL);
                const days = this.SUBRULE(this.integer);
                this.CONSUME(K.DAY);
                return days;
              },
            },
          ]),
        ),
      ) ?? 'NOW',
  );

  dropUser = this.RULE('dropUser', (): DropUser => {
    this.CONSUME(K.DROP);
    this.CONSUME(K.USER);
    const ifExists = this.SUBRULE(this.ifExists);
    return { kind: 'DropUser', ifExists, accounts: this.SUBRULE(this.accounts) };
  });

  renameUser = this.RULE('renameUser', (): RenameUser => {
    this.CONSUME(K.RENAME);
    this.CONSUME(K.USER);
    const renames: RenameUser['renames'][number][] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const from = this.SUBRULE(this.account);
        this.CONSUME(K.TO);
        renames.push({ from, to: this.SUBRULE2(this.account) });
      },
    });
    return { kind: 'RenameUser', renames };
  });

  setRole = this.RULE('setRole', (): SetRole => {
    this.CONSUME(K.SET);
    this.CONSUME(K.ROLE);
    return { kind: 'SetRole', choice: this.SUBRULE(this.roleChoice) };
  });

  setDefaultRole = this.RULE('setDefaultRole', (): SetDefaultRole => {
    this.CONSUME(K.SET);
    this.CONSUME(K.DEFAULT);
    this.CONSUME(K.ROLE);
    const choice = this.SUBRULE(this.roleChoice);
    this.CONSUME(K.TO);
    return { kind: 'SetDefaultRole', choice, to: this.SUBRULE(this.accounts) };
  });

  roleChoice = this.RULE('roleChoice', (): RoleChoice =>
    this.OR(
      alts<RoleChoice>([
        {
          // NONE is a word that could be a name as well; in quotes it is one.
          GATE: () => this.LA(1).tokenType === K.NONE,
          ALT: () => (this.CONSUME(K.NONE), { kind: 'none' }),
        },
        {
          ALT: () => {
            this.CONSUME(K.ALL);
            const except = this.OPTION(() => {
              this.CONSUME(K.EXCEPT);
              return this.SUBRULE(this.roleNames);
            });
            return { kind: 'all', except: except ?? [] };
          },
        },
        { ALT: () => (this.CONSUME(K.DEFAULT), { kind: 'default' }) },
        {
          GATE: () => this.LA(1).tokenType !== K.NONE,
          ALT: () => ({ kind: 'some', roles: this.SUBRULE2(this.roleNames) }),
        },
      ]),
    ),
  );

  roleNames = this.RULE('roleNames', (): string[] => {
    const list: string[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void list.push(this.SUBRULE(this.nameOrString)),
    });
    return list;
  });

  createRole = this.RULE('createRole', (): CreateRole => {
    this.CONSUME(K.CREATE);
    this.CONSUME(K.ROLE);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    return { kind: 'CreateRole', ifNotExists, roles: this.SUBRULE(this.roleNames) };
  });

  dropRole = this.RULE('dropRole', (): DropRole => {
    this.CONSUME(K.DROP);
    this.CONSUME(K.ROLE);
    const ifExists = this.SUBRULE(this.ifExists);
    return { kind: 'DropRole', ifExists, roles: this.SUBRULE(this.roleNames) };
  });

  /** GRANT of privileges (with ON) or of roles. */
  grant = this.RULE('grant', (): Grant | GrantRole => {
    this.CONSUME(K.GRANT);
    const privileges = this.SUBRULE(this.privileges);
    const on = this.OPTION(() => this.SUBRULE(this.grantScope));
    this.CONSUME(K.TO);
    const to = this.SUBRULE(this.grantees);
    const withGrantOption = this.OPTION2(() => {
      this.CONSUME(K.WITH);
      this.CONSUME2(K.GRANT);
      this.CONSUME(K.OPTION);
      return true;
    });
    if (on === undefined) return { kind: 'GrantRole', roles: roles(privileges), to: users(to) };
    return { kind: 'Grant', privileges, on, to, withGrantOption: withGrantOption ?? false };
  });

  revoke = this.RULE('revoke', (): Revoke | RevokeRole => {
    this.CONSUME(K.REVOKE);
    const privileges = this.SUBRULE(this.privileges);
    const on = this.OPTION(() => this.SUBRULE(this.grantScope));
    this.CONSUME(K.FROM);
    const from = this.SUBRULE(this.grantees);
    if (on === undefined) {
      return { kind: 'RevokeRole', roles: roles(privileges), from: users(from) };
    }
    return { kind: 'Revoke', privileges, on, from };
  });

  privileges = this.RULE('privileges', (): Privilege[] => {
    const list: Privilege[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void list.push(this.SUBRULE(this.privilege)),
    });
    return list;
  });

  /** One or more words (`CREATE USER`), perhaps with columns; or a role's name in quotes. */
  privilege = this.RULE('privilege', (): Privilege => {
    const name = this.OR([
      { ALT: () => this.SUBRULE(this.privilegeWords) },
      { ALT: () => this.SUBRULE(this.stringLiteral) },
    ]);
    const columns = this.OPTION(() => this.SUBRULE(this.nameList)) ?? [];
    return { name, columns };
  });

  privilegeWords = this.RULE('privilegeWords', (): string => {
    const words: string[] = [];
    this.AT_LEAST_ONE(() => {
      const { image } = this.OR([
        { ALT: () => this.CONSUME(Name) },
        { ALT: () => this.CONSUME(K.ALL) },
        { ALT: () => this.CONSUME(K.ALTER) },
        { ALT: () => this.CONSUME(K.CREATE) },
        { ALT: () => this.CONSUME(K.DATABASES) },
        { ALT: () => this.CONSUME(K.DELETE) },
        { ALT: () => this.CONSUME(K.DROP) },
        { ALT: () => this.CONSUME(K.GRANT) },
        { ALT: () => this.CONSUME(K.INDEX) },
        { ALT: () => this.CONSUME(K.INSERT) },
        { ALT: () => this.CONSUME(K.LOCK) },
        { ALT: () => this.CONSUME(K.SELECT) },
        { ALT: () => this.CONSUME(K.SHOW) },
        { ALT: () => this.CONSUME(K.UPDATE) },
      ]);
      if (!this.RECORDING_PHASE) words.push(nameValue(image));
    });
    return words.join(' ');
  });

  grantScope = this.RULE('grantScope', (): GrantScope => {
    this.CONSUME(K.ON);
    return this.OR({
      MAX_LOOKAHEAD: 2,
      DEF: alts<GrantScope>([
        {
          GATE: () => this.LA(2).tokenType !== T.Dot,
          ALT: () => {
            this.CONSUME(K.RESOURCE);
            return { kind: 'resource', name: this.SUBRULE(this.scopeName) };
          },
        },
        {
          ALT: () => {
            this.SUBRULE(this.computeGroupWords);
            return { kind: 'computeGroup', name: this.SUBRULE2(this.scopeName) };
          },
        },
        {
          ALT: () => {
            this.SUBRULE(this.vaultWords);
            return { kind: 'storageVault', name: this.SUBRULE3(this.scopeName) };
          },
        },
        {
          ALT: () => {
            this.OPTION(() => this.CONSUME(K.TABLE));
            return this.SUBRULE(this.tableScope);
          },
        },
      ]),
    });
  });

  tableScope = this.RULE('tableScope', (): GrantScope => {
    const first = this.SUBRULE(this.nameOrStar);
    const second = this.OPTION(() => {
      this.CONSUME(T.Dot);
      return this.SUBRULE2(this.nameOrStar);
    });
    return second === undefined
      ? { kind: 'localTable', table: first }
      : { kind: 'table', db: first, table: second };
  });

  nameOrStar = this.RULE('nameOrStar', (): string =>
    this.OR([{ ALT: () => this.SUBRULE(this.name) }, { ALT: () => (this.CONSUME(T.Star), '*') }]),
  );

  /** Doris writes `'*'` or `'%'` for all of them. */
  scopeName = this.RULE('scopeName', (): string =>
    this.OR([
      { ALT: () => this.SUBRULE(this.nameOrString) },
      { ALT: () => (this.CONSUME(T.Star), '*') },
    ]),
  );

  grantees = this.RULE('grantees', (): Grantee[] => {
    const list: Grantee[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        this.OR({
          MAX_LOOKAHEAD: 2,
          DEF: [
            {
              ALT: () => {
                this.CONSUME(K.ROLE);
                list.push({ kind: 'role', name: this.SUBRULE(this.nameOrString) });
              },
            },
            { ALT: () => void list.push({ kind: 'user', account: this.SUBRULE(this.account) }) },
          ],
        });
      },
    });
    return list;
  });

  showCreateUser = this.RULE('showCreateUser', (): ShowCreateUser => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.CREATE);
    this.CONSUME(K.USER);
    return { kind: 'ShowCreateUser', account: this.SUBRULE(this.account) };
  });

  showGrants = this.RULE('showGrants', (): ShowGrants => {
    this.CONSUME(K.SHOW);
    const all = this.OPTION(() => this.CONSUME(K.ALL)) !== undefined;
    this.CONSUME(K.GRANTS);
    const account = this.OPTION2(() => {
      this.CONSUME(K.FOR);
      return this.SUBRULE(this.account);
    });
    return { kind: 'ShowGrants', account, all, filter: this.SUBRULE(this.filter) };
  });
}

/** What was read as privileges are roles when no ON follows. */
function roles(privileges: readonly Privilege[] | undefined): string[] {
  return Array.isArray(privileges) ? privileges.map((one: Privilege) => one.name) : [];
}

function users(grantees: readonly Grantee[] | undefined): AccountRef[] {
  if (!Array.isArray(grantees)) return [];
  return grantees.map((one: Grantee) =>
    one.kind === 'user' ? one.account : { kind: 'account', user: one.name, host: '%' },
  );
}
