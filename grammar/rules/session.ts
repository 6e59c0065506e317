/** The session: USE, SET, transactions, KILL, FLUSH and other small statements. */
import { nameValue, userVarName } from '../literals.ts';
import type { TableName } from '../nodes/clauses.ts';
import type { SetPassword } from '../nodes/accounts.ts';
import type { Expr, VariableScope } from '../nodes/expr.ts';
import type {
  Assignment,
  Begin,
  DeallocateStatement,
  Do,
  ExecuteStatement,
  Flush,
  Help,
  Kill,
  LockTables,
  PrepareStatement,
  ReleaseSavepoint,
  ResetPersist,
  Rollback,
  Savepoint,
  SessionStatement,
  SetScope,
  SetVariables,
  TableKeys,
  TableMaintenance,
  Use,
  UseComputeGroup,
} from '../nodes/session.ts';
import { K, Name, T } from '../tokens.ts';
import { AccountRules } from './accounts.ts';
import { alts } from './expr.ts';

type Isolation = Extract<Assignment, { kind: 'transaction' }>['isolation'];
type Characteristics = { isolation: Isolation; readOnly: boolean | undefined };
type LockMode = LockTables['tables'][number]['mode'];

type TransactionEnd = { chain: boolean; release: boolean };

export class SessionRules extends AccountRules {
  use = this.RULE('use', (): Use | UseComputeGroup => {
    this.CONSUME(K.USE);
    return this.OR(
      alts<Use | UseComputeGroup>([
        {
          ALT: () => {
            const group = this.CONSUME(T.UserVar).image;
            return { kind: 'UseComputeGroup', name: userVarName(group) };
          },
        },
        {
          ALT: () => {
            const db = this.SUBRULE(this.name);
            const group = this.OPTION(() => userVarName(this.CONSUME2(T.UserVar).image));
            return { kind: 'Use', db, computeGroup: group };
          },
        },
      ]),
    );
  });

  set = this.RULE('set', (): SetVariables | SetPassword => {
    this.CONSUME(K.SET);
    const assignments: Assignment[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => void assignments.push(this.SUBRULE(this.assignment)),
    });
    const [first] = assignments;
    if (assignments.length === 1 && first?.kind === 'password') {
      return { kind: 'SetPassword', account: first.account, password: first.password };
    }
    return { kind: 'SetVariables', assignments };
  });

  resetPersist = this.RULE('resetPersist', (): ResetPersist => {
    this.CONSUME(Name);
    this.CONSUME(K.PERSIST);
    const ifExists = this.SUBRULE(this.ifExists);
    const name = this.OPTION(() => this.SUBRULE(this.variableName));
    return { kind: 'ResetPersist', ifExists, name };
  });

  assignment = this.RULE('assignment', (): Assignment =>
    this.OR(
      alts<Assignment>([
        {
          ALT: () => {
            const name = userVarName(this.CONSUME(T.UserVar).image);
            this.SUBRULE(this.assignSign);
            return { kind: 'userVar', name, value: this.SUBRULE(this.expr) };
          },
        },
        { ALT: () => this.SUBRULE(this.atAtAssignment) },
        { GATE: () => this.#assigns(1), ALT: () => this.SUBRULE(this.plainAssignment) },
        { GATE: () => this.LA(1).tokenType === K.NAMES, ALT: () => this.SUBRULE(this.setNames) },
        { ALT: () => this.SUBRULE(this.setCharset) },
        { ALT: () => this.SUBRULE(this.setPassword) },
        { ALT: () => this.SUBRULE(this.scopedAssignment) },
        { ALT: () => this.SUBRULE(this.persistAssignment) },
        { ALT: () => this.SUBRULE(this.transaction, { ARGS: [undefined] }) },
      ]),
    ),
  );

  /** Whether `name =` or `name.name =` begins at the token: then no keyword is meant. */
  #assigns(from: number): boolean {
    if (this.LA(1).tokenType === K.PASSWORD) return false;
    const after = this.LA(from + 1).tokenType;
    return after === T.Eq || after === T.Assign || after === T.Dot;
  }

  assignSign = this.RULE('assignSign', (): void => {
    this.OR([{ ALT: () => this.CONSUME(T.Eq) }, { ALT: () => this.CONSUME(T.Assign) }]);
  });

  atAtAssignment = this.RULE('atAtAssignment', (): Assignment => {
    this.CONSUME(T.AtAt);
    const scope: SetScope | undefined = this.OPTION({
      GATE: () => this.LA(2).tokenType === T.Dot,
      DEF: () => {
        const which = this.SUBRULE(this.setScope);
        this.CONSUME(T.Dot);
        return which;
      },
    });
    return this.SUBRULE(this.plainAssignment, { ARGS: [scope] });
  });

  setScope = this.RULE('setScope', (): SetScope =>
    this.OR(
      alts<SetScope>([
        { ALT: () => this.SUBRULE(this.variableScope) },
        { ALT: () => this.SUBRULE(this.persistScope) },
      ]),
    ),
  );

  persistScope = this.RULE('persistScope', (): SetScope =>
    this.OR(
      alts<SetScope>([
        { ALT: () => (this.CONSUME(K.PERSIST), 'PERSIST') },
        { ALT: () => (this.CONSUME(K.PERSIST_ONLY), 'PERSIST_ONLY') },
      ]),
    ),
  );

  persistAssignment = this.RULE('persistAssignment', (): Assignment => {
    const scope = this.SUBRULE(this.persistScope);
    return this.SUBRULE(this.plainAssignment, { ARGS: [scope] });
  });

  scopedAssignment = this.RULE('scopedAssignment', (): Assignment => {
    const scope = this.SUBRULE(this.variableScope);
    return this.OR(
      alts<Assignment>([
        {
          GATE: () => this.#assigns(1),
          ALT: () => this.SUBRULE(this.plainAssignment, { ARGS: [scope] }),
        },
        { ALT: () => this.SUBRULE(this.transaction, { ARGS: [scope] }) },
      ]),
    );
  });

  plainAssignment = this.RULE('plainAssignment', (scope?: SetScope): Assignment => {
    const name = this.SUBRULE(this.variableName);
    this.SUBRULE(this.assignSign);
    return { kind: 'systemVar', scope, name, value: this.SUBRULE(this.settingValue) };
  });

  /** An expression, or a reserved word that some variables take: ON, ALL. */
  settingValue = this.RULE('settingValue', (): Expr =>
    this.OR([
      { ALT: () => this.SUBRULE(this.expr) },
      { ALT: () => bareWord(this.CONSUME(K.ON).image) },
      { ALT: () => bareWord(this.CONSUME(K.ALL).image) },
    ]),
  );

  setNames = this.RULE('setNames', (): Assignment => {
    this.CONSUME(K.NAMES);
    const charset = this.SUBRULE(this.charsetOrDefault);
    const collation = this.OPTION(() => {
      this.CONSUME(K.COLLATE);
      return this.SUBRULE(this.nameOrString);
    });
    return { kind: 'names', charset, collation };
  });

  setCharset = this.RULE('setCharset', (): Assignment => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.CHARACTER);
          this.CONSUME(K.SET);
        },
      },
      { ALT: () => this.CONSUME(K.CHARSET) },
    ]);
    return { kind: 'charset', charset: this.SUBRULE(this.charsetOrDefault) };
  });

  charsetOrDefault = this.RULE('charsetOrDefault', (): string | undefined =>
    this.OR(
      alts<string | undefined>([
        { ALT: () => this.SUBRULE(this.nameOrString) },
        { ALT: () => (this.CONSUME(K.DEFAULT), undefined) },
      ]),
    ),
  );

  setPassword = this.RULE('setPassword', (): Assignment => {
    this.CONSUME(K.PASSWORD);
    const account = this.OPTION(() => {
      this.CONSUME(K.FOR);
      return this.SUBRULE(this.account);
    });
    this.SUBRULE(this.assignSign);
    const password = this.OR(
      alts<SetPassword['password']>([
        {
          ALT: () => {
            this.CONSUME2(K.PASSWORD);
            this.CONSUME(T.LParen);
            const text = this.SUBRULE(this.stringLiteral);
            this.CONSUME(T.RParen);
            return { kind: 'clear', text };
          },
        },
        { ALT: () => passwordText(this.SUBRULE2(this.stringLiteral)) },
      ]),
    );
    return { kind: 'password', account, password };
  });

  transaction = this.RULE('transaction', (scope: VariableScope | undefined): Assignment => {
    this.CONSUME(K.TRANSACTION);
    const found: Characteristics = { isolation: undefined, readOnly: undefined };
    this.SUBRULE(this.characteristic, { ARGS: [found] });
    // In a list a comma may as well begin the next assignment.
    this.MANY({
      GATE: () => CHARACTERISTIC.has(`${this.LA(2).tokenType.name} ${this.LA(3).tokenType.name}`),
      DEF: () => {
        this.CONSUME(T.Comma);
        this.SUBRULE2(this.characteristic, { ARGS: [found] });
      },
    });
    return { kind: 'transaction', scope, ...found };
  });

  characteristic = this.RULE('characteristic', (found: Partial<Characteristics> = {}): void => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.ISOLATION);
          this.CONSUME(K.LEVEL);
          found.isolation = this.SUBRULE(this.isolation);
        },
      },
      { ALT: () => (found.readOnly = this.SUBRULE(this.accessMode)) },
    ]);
  });

  isolation = this.RULE('isolation', (): Isolation =>
    this.OR(
      alts<Isolation>([
        {
          ALT: () => {
            this.CONSUME(K.READ);
            return this.OR2(
              alts<Isolation>([
                { ALT: () => (this.CONSUME(K.COMMITTED), 'READ COMMITTED') },
                { ALT: () => (this.CONSUME(K.UNCOMMITTED), 'READ UNCOMMITTED') },
              ]),
            );
          },
        },
        { ALT: () => (this.CONSUME(K.REPEATABLE), this.CONSUME2(K.READ), 'REPEATABLE READ') },
        { ALT: () => (this.CONSUME(K.SERIALIZABLE), 'SERIALIZABLE') },
      ]),
    ),
  );

  /** READ ONLY is true. */
  accessMode = this.RULE('accessMode', (): boolean => {
    this.CONSUME(K.READ);
    return this.OR([
      { ALT: () => (this.CONSUME(K.ONLY), true) },
      { ALT: () => (this.CONSUME(K.WRITE), false) },
    ]);
  });

  kill = this.RULE('kill', (): Kill => {
    this.CONSUME(K.KILL);
    const what = this.OPTION(() =>
      this.OR(
        alts<Kill['what']>([
          { ALT: () => (this.CONSUME(K.QUERY), 'QUERY') },
          { ALT: () => (this.CONSUME(K.CONNECTION), 'CONNECTION') },
        ]),
      ),
    );
    return { kind: 'Kill', what: what ?? 'CONNECTION', connectionId: this.SUBRULE(this.integer) };
  });

  begin = this.RULE('begin', (): Begin => {
    this.CONSUME(K.BEGIN);
    this.OPTION(() => this.CONSUME(K.WORK));
    return { kind: 'Begin', consistentSnapshot: false, readOnly: undefined };
  });

  startTransaction = this.RULE('startTransaction', (): Begin => {
    this.CONSUME(K.START);
    this.CONSUME(K.TRANSACTION);
    let consistentSnapshot = false;
    let readOnly: boolean | undefined;
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => {
        this.OR([
          {
            ALT: () => {
              this.CONSUME(K.WITH);
              this.CONSUME(K.CONSISTENT);
              this.CONSUME(K.SNAPSHOT);
              consistentSnapshot = true;
            },
          },
          { ALT: () => (readOnly = this.SUBRULE(this.accessMode)) },
        ]);
      },
    });
    return { kind: 'Begin', consistentSnapshot, readOnly };
  });

  commit = this.RULE('commit', (): SessionStatement => {
    this.CONSUME(K.COMMIT);
    this.OPTION(() => this.CONSUME(K.WORK));
    const { chain, release } = this.SUBRULE(this.afterTransaction);
    return { kind: 'Commit', chain, release };
  });

  rollback = this.RULE('rollback', (): Rollback => {
    this.CONSUME(K.ROLLBACK);
    this.OPTION(() => this.CONSUME(K.WORK));
    const savepoint = this.OPTION2(() => {
      this.CONSUME(K.TO);
      this.OPTION3({
        GATE: () => this.LA(2).tokenType.name !== 'EOF',
        DEF: () => this.CONSUME(K.SAVEPOINT),
      });
      return this.SUBRULE(this.name);
    });
    const { chain, release } = this.SUBRULE(this.afterTransaction);
    return { kind: 'Rollback', savepoint, chain, release };
  });

  /** `[AND [NO] CHAIN] [[NO] RELEASE]`. */
  afterTransaction = this.RULE('afterTransaction', (): TransactionEnd => {
    const chain = this.OPTION(() => {
      this.CONSUME(K.AND);
      const no = this.OPTION2(() => this.CONSUME(K.NO));
      this.CONSUME(K.CHAIN);
      return no === undefined;
    });
    const release = this.OPTION3(() => {
      const no = this.OPTION4(() => this.CONSUME2(K.NO));
      this.CONSUME(K.RELEASE);
      return no === undefined;
    });
    return { chain: chain ?? false, release: release ?? false };
  });

  savepoint = this.RULE('savepoint', (): Savepoint => {
    this.CONSUME(K.SAVEPOINT);
    return { kind: 'Savepoint', name: this.SUBRULE(this.name) };
  });

  releaseSavepoint = this.RULE('releaseSavepoint', (): ReleaseSavepoint => {
    this.CONSUME(K.RELEASE);
    this.CONSUME(K.SAVEPOINT);
    return { kind: 'ReleaseSavepoint', name: this.SUBRULE(this.name) };
  });

  lockTables = this.RULE('lockTables', (): LockTables => {
    this.CONSUME(K.LOCK);
    this.OR([{ ALT: () => this.CONSUME(K.TABLES) }, { ALT: () => this.CONSUME(K.TABLE) }]);
    const tables: LockTables['tables'][number][] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const table: TableName = this.SUBRULE(this.tableName);
        const alias = this.OPTION({
          GATE: () => !LOCK_WORDS.has(this.LA(1).tokenType.name),
          DEF: () => {
            this.OPTION2(() => this.CONSUME(K.AS));
            return this.SUBRULE(this.name);
          },
        });
        const mode = this.SUBRULE(this.lockMode);
        if (!this.RECORDING_PHASE) tables.push({ db: table.db, name: table.name, alias, mode });
      },
    });
    return { kind: 'LockTables', tables };
  });

  lockMode = this.RULE('lockMode', (): LockMode =>
    this.OR(
      alts<LockMode>([
        {
          ALT: () => {
            this.CONSUME(K.READ);
            const local = this.OPTION(() => this.CONSUME(K.LOCAL));
            return local === undefined ? 'READ' : 'READ LOCAL';
          },
        },
        { ALT: () => (this.CONSUME(K.WRITE), 'WRITE') },
        {
          ALT: () => {
            this.CONSUME(K.LOW_PRIORITY);
            this.CONSUME2(K.WRITE);
            return 'LOW_PRIORITY WRITE';
          },
        },
      ]),
    ),
  );

  unlockTables = this.RULE('unlockTables', (): SessionStatement => {
    this.CONSUME(K.UNLOCK);
    this.OR([{ ALT: () => this.CONSUME(K.TABLES) }, { ALT: () => this.CONSUME(K.TABLE) }]);
    return { kind: 'UnlockTables' };
  });

  flush = this.RULE('flush', (): Flush => {
    this.CONSUME(K.FLUSH);
    this.OPTION(() => this.CONSUME(K.LOCAL));
    return this.OR(
      alts<Flush>([
        {
          // TABLES is a word like other options, but takes tables after it.
          IGNORE_AMBIGUITIES: true,
          ALT: () => {
            this.OR2([{ ALT: () => this.CONSUME(K.TABLES) }, { ALT: () => this.CONSUME(K.TABLE) }]);
            const tables = this.OPTION2(() => this.SUBRULE(this.tableNames)) ?? [];
            const lock = this.OPTION3(() => {
              this.CONSUME(K.WITH);
              this.CONSUME(K.READ);
              this.CONSUME(K.LOCK);
              return true;
            });
            return { kind: 'Flush', options: ['TABLES'], tables, withReadLock: lock ?? false };
          },
        },
        {
          ALT: () => {
            const options: string[] = [];
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => void options.push(this.SUBRULE(this.flushOption)),
            });
            return { kind: 'Flush', options, tables: [], withReadLock: false };
          },
        },
      ]),
    );
  });

  /** One or two words: PRIVILEGES, LOGS, ENGINE LOGS, ... */
  flushOption = this.RULE('flushOption', (): string => {
    const words = [this.CONSUME(Name).image.toUpperCase()];
    this.OPTION(() => void words.push(this.CONSUME2(Name).image.toUpperCase()));
    return words.join(' ');
  });

  help = this.RULE('help', (): Help => {
    this.CONSUME(K.HELP);
    return { kind: 'Help', topic: this.SUBRULE(this.nameOrString) };
  });

  prepareStatement = this.RULE('prepareStatement', (): PrepareStatement => {
    this.CONSUME(K.PREPARE);
    const name = this.SUBRULE(this.name);
    this.CONSUME(K.FROM);
    const source = this.OR(
      alts<PrepareStatement['source']>([
        { ALT: () => ({ kind: 'text', text: this.SUBRULE(this.stringLiteral) }) },
        { ALT: () => ({ kind: 'variable', name: userVarName(this.CONSUME(T.UserVar).image) }) },
      ]),
    );
    return { kind: 'PrepareStatement', name, source };
  });

  executeStatement = this.RULE('executeStatement', (): ExecuteStatement => {
    this.CONSUME(K.EXECUTE);
    const name = this.SUBRULE(this.name);
    const using: string[] = [];
    this.OPTION(() => {
      this.CONSUME(K.USING);
      this.AT_LEAST_ONE_SEP({
        SEP: T.Comma,
        DEF: () => void using.push(userVarName(this.CONSUME(T.UserVar).image)),
      });
    });
    return { kind: 'ExecuteStatement', name, using };
  });

  deallocateStatement = this.RULE('deallocateStatement', (): DeallocateStatement => {
    this.OR([{ ALT: () => this.CONSUME(K.DEALLOCATE) }, { ALT: () => this.CONSUME(K.DROP) }]);
    this.CONSUME(K.PREPARE);
    return { kind: 'DeallocateStatement', name: this.SUBRULE(this.name) };
  });

  tableMaintenance = this.RULE('tableMaintenance', (): TableMaintenance => {
    const what = this.OR(
      alts<TableMaintenance['what']>([
        { ALT: () => (this.CONSUME(K.ANALYZE), 'ANALYZE') },
        { ALT: () => (this.CONSUME(K.CHECK), 'CHECK') },
        { ALT: () => (this.CONSUME(K.OPTIMIZE), 'OPTIMIZE') },
        { ALT: () => (this.CONSUME(K.REPAIR), 'REPAIR') },
      ]),
    );
    this.OR2([{ ALT: () => this.CONSUME(K.TABLE) }, { ALT: () => this.CONSUME(K.TABLES) }]);
    return { kind: 'TableMaintenance', what, tables: this.SUBRULE(this.tableNames) };
  });

  tableKeys = this.RULE('tableKeys', (): TableKeys => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.TABLE);
    const table = this.SUBRULE(this.tableName);
    const enable = this.OR([
      { ALT: () => (this.CONSUME(K.DISABLE), false) },
      { ALT: () => (this.CONSUME(K.ENABLE), true) },
    ]);
    this.CONSUME(K.KEYS);
    return { kind: 'TableKeys', table, enable };
  });

  doExprs = this.RULE('doExprs', (): Do => {
    this.CONSUME(K.DO);
    return { kind: 'Do', exprs: this.SUBRULE(this.exprList) };
  });

  shutdown = this.RULE('shutdown', (): SessionStatement => {
    this.CONSUME(K.SHUTDOWN);
    return { kind: 'Shutdown' };
  });
}

const CHARACTERISTIC: ReadonlySet<string> = new Set(['ISOLATION LEVEL', 'READ ONLY', 'READ WRITE']);
const LOCK_WORDS: ReadonlySet<string> = new Set(['READ', 'WRITE', 'LOW_PRIORITY']);

function bareWord(image: string): Expr {
  return { kind: 'Column', path: [nameValue(image)] };
}

/** A text of MySQL's form `*` + 40 hex digits is a hash already, as in SET PASSWORD of 5.5. */
function passwordText(text: string): SetPassword['password'] {
  return { kind: /^\*[0-9A-Fa-f]{40}$/.test(text) ? 'hash' : 'clear', text };
}
