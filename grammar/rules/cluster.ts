/** Statements about compute groups, backends, vaults, resources, policies and cooldown. */
import { SqlError } from '../../base/errors.ts';
import type { TableName } from '../nodes/clauses.ts';
import type {
  AddBackend,
  AlterComputeGroup,
  BackendRef,
  CancelDecommission,
  ClusterStatement,
  CreateComputeGroup,
  DecommissionBackend,
  DropBackend,
  DropComputeGroup,
  NewBackend,
  RenameComputeGroup,
} from '../nodes/cluster.ts';
import { K, T } from '../tokens.ts';
import { alts } from './expr.ts';
import { WarmUpRules } from './warm_up.ts';

export class ClusterRules extends WarmUpRules {
  createComputeGroup = this.RULE('createComputeGroup', (): CreateComputeGroup => {
    this.CONSUME(K.CREATE);
    this.SUBRULE(this.computeGroupWords);
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const name = this.SUBRULE(this.nameOrString);
    const properties = this.SUBRULE(this.properties);
    return { kind: 'CreateComputeGroup', name, ifNotExists, properties };
  });

  dropComputeGroup = this.RULE('dropComputeGroup', (): DropComputeGroup => {
    this.CONSUME(K.DROP);
    this.SUBRULE(this.computeGroupWords);
    const ifExists = this.SUBRULE(this.ifExists);
    const name = this.SUBRULE(this.nameOrString);
    return { kind: 'DropComputeGroup', name, ifExists, force: this.SUBRULE(this.forceWord) };
  });

  alterComputeGroup = this.RULE('alterComputeGroup', (): AlterComputeGroup => {
    this.CONSUME(K.ALTER);
    this.SUBRULE(this.computeGroupWords);
    const name = this.SUBRULE(this.nameOrString);
    this.OR([{ ALT: () => this.CONSUME(K.SET) }, { ALT: () => this.CONSUME(K.PROPERTIES) }]);
    return { kind: 'AlterComputeGroup', name, properties: this.SUBRULE(this.propertyList) };
  });

  renameComputeGroup = this.RULE('renameComputeGroup', (): RenameComputeGroup => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.SYSTEM);
    this.CONSUME(K.RENAME);
    this.SUBRULE(this.computeGroupWords);
    const name = this.SUBRULE(this.nameOrString);
    this.OPTION(() => this.CONSUME(K.TO));
    return { kind: 'RenameComputeGroup', name, newName: this.SUBRULE2(this.nameOrString) };
  });

  addBackend = this.RULE('addBackend', (): AddBackend => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.SYSTEM);
    this.CONSUME(K.ADD);
    this.CONSUME(K.BACKEND);
    const backends: NewBackend[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const text = this.SUBRULE(this.stringLiteral);
        if (this.RECORDING_PHASE) return;
        backends.push(text.toLowerCase() === 'embedded' ? { kind: 'embedded' } : address(text));
      },
    });
    const computeGroup = this.OPTION(() => {
      this.CONSUME(K.TO);
      this.SUBRULE(this.computeGroupWords);
      return this.SUBRULE(this.nameOrString);
    });
    const properties = this.SUBRULE(this.properties);
    return { kind: 'AddBackend', backends, computeGroup, properties };
  });

  dropBackend = this.RULE('dropBackend', (): DropBackend => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.SYSTEM);
    const force = this.OR([
      { ALT: () => (this.CONSUME(K.DROP), false) },
      { ALT: () => (this.CONSUME(K.DROPP), true) },
    ]);
    this.CONSUME(K.BACKEND);
    return { kind: 'DropBackend', backends: this.SUBRULE(this.backendRefs), force };
  });

  decommissionBackend = this.RULE('decommissionBackend', (): DecommissionBackend => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.SYSTEM);
    this.CONSUME(K.DECOMMISSION);
    this.CONSUME(K.BACKEND);
    return { kind: 'DecommissionBackend', backends: this.SUBRULE(this.backendRefs) };
  });

  cancelDecommission = this.RULE('cancelDecommission', (): CancelDecommission => {
    this.CONSUME(K.CANCEL);
    this.CONSUME(K.DECOMMISSION);
    this.CONSUME(K.BACKEND);
    return { kind: 'CancelDecommission', backends: this.SUBRULE(this.backendRefs) };
  });

  /** STOP, START and KILL. */
  driveBackend = this.RULE('driveBackend', (): ClusterStatement => {
    this.CONSUME(K.ALTER);
    this.CONSUME(K.SYSTEM);
    const kind = this.OR(
      alts<'StopBackend' | 'StartBackend' | 'KillBackend'>([
        { ALT: () => (this.CONSUME(K.STOP), 'StopBackend') },
        { ALT: () => (this.CONSUME(K.START), 'StartBackend') },
        { ALT: () => (this.CONSUME(K.KILL), 'KillBackend') },
      ]),
    );
    this.CONSUME(K.BACKEND);
    return { kind, backend: this.SUBRULE(this.backendRef) };
  });

  backendRefs = this.RULE('backendRefs', (): BackendRef[] => {
    const refs: BackendRef[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        refs.push(this.SUBRULE(this.backendRef));
      },
    });
    return refs;
  });

  /** `17`, `"17"` (Doris takes ids in quotes), `"host:port"`. */
  backendRef = this.RULE('backendRef', (): BackendRef =>
    this.OR(
      alts<BackendRef>([
        { ALT: () => ({ kind: 'id', id: this.SUBRULE(this.integer) }) },
        {
          ALT: () => {
            const text = this.SUBRULE(this.stringLiteral);
            if (this.RECORDING_PHASE) return { kind: 'id', id: 0 };
            return /^\d{1,15}$/.test(text) ? { kind: 'id', id: Number(text) } : address(text);
          },
        },
      ]),
    ),
  );

  /** Which of the three kinds of named store or policy. */
  storedThing = this.RULE('storedThing', (): 'StorageVault' | 'StoragePolicy' | 'Resource' =>
    this.OR(
      alts<'StorageVault' | 'StoragePolicy' | 'Resource'>([
        {
          ALT: () => {
            this.CONSUME(K.STORAGE);
            return this.OR2(
              alts<'StorageVault' | 'StoragePolicy'>([
                { ALT: () => (this.CONSUME(K.VAULT), 'StorageVault') },
                { ALT: () => (this.CONSUME(K.POLICY), 'StoragePolicy') },
              ]),
            );
          },
        },
        { ALT: () => (this.CONSUME(K.RESOURCE), 'Resource') },
      ]),
    ),
  );

  createStored = this.RULE('createStored', () => {
    this.CONSUME(K.CREATE);
    // Of a resource only, as older statements of Doris have it: it says nothing more.
    this.OPTION(() => this.CONSUME(K.EXTERNAL));
    const kind = `Create${this.SUBRULE(this.storedThing)}` as const;
    const ifNotExists = this.SUBRULE(this.ifNotExists);
    const name = this.SUBRULE(this.nameOrString);
    this.CONSUME(K.PROPERTIES);
    const properties = this.SUBRULE(this.propertyList);
    return { kind, name, ifNotExists, properties };
  });

  alterStored = this.RULE('alterStored', () => {
    this.CONSUME(K.ALTER);
    const kind = `Alter${this.SUBRULE(this.storedThing)}` as const;
    const name = this.SUBRULE(this.nameOrString);
    this.CONSUME(K.PROPERTIES);
    return { kind, name, properties: this.SUBRULE(this.propertyList) };
  });

  dropStored = this.RULE('dropStored', () => {
    this.CONSUME(K.DROP);
    const kind = `Drop${this.SUBRULE(this.storedThing)}` as const;
    const ifExists = this.SUBRULE(this.ifExists);
    return { kind, name: this.SUBRULE(this.nameOrString), ifExists };
  });

  vaultWords = this.RULE('vaultWords', (): void => {
    this.CONSUME(K.STORAGE);
    this.CONSUME(K.VAULT);
  });

  policyWords = this.RULE('policyWords', (): void => {
    this.CONSUME(K.STORAGE);
    this.CONSUME(K.POLICY);
  });

  showStorageVaults = this.RULE('showStorageVaults', () => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.STORAGE);
    this.OR([{ ALT: () => this.CONSUME(K.VAULT) }, { ALT: () => this.CONSUME(K.VAULTS) }]);
    return { kind: 'ShowStorageVaults' as const, filter: this.SUBRULE(this.filter) };
  });

  showStoragePolicy = this.RULE('showStoragePolicy', () => {
    this.CONSUME(K.SHOW);
    this.SUBRULE(this.policyWords);
    let policy: string | undefined;
    const using = this.OPTION(() => {
      this.CONSUME(K.USING);
      this.OPTION2(() => {
        this.CONSUME(K.FOR);
        policy = this.SUBRULE(this.nameOrString);
      });
      return true;
    });
    const filter = this.SUBRULE(this.filter);
    return using === true
      ? ({ kind: 'ShowStoragePolicyUsing', policy, filter } as const)
      : ({ kind: 'ShowStoragePolicies', filter } as const);
  });

  setDefaultStorageVault = this.RULE('setDefaultStorageVault', () => {
    this.CONSUME(K.SET);
    const name = this.SUBRULE(this.nameOrString);
    this.CONSUME(K.AS);
    this.CONSUME(K.DEFAULT);
    this.SUBRULE(this.vaultWords);
    return { kind: 'SetDefaultStorageVault' as const, name };
  });

  unsetDefaultStorageVault = this.RULE('unsetDefaultStorageVault', () => {
    this.CONSUME(K.UNSET);
    this.CONSUME(K.DEFAULT);
    this.SUBRULE(this.vaultWords);
    return { kind: 'UnsetDefaultStorageVault' as const };
  });

  showCooldown = this.RULE('showCooldown', () => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.COOLDOWN);
    const table = this.OR(
      alts<TableName | undefined>([
        { ALT: () => (this.CONSUME(K.JOB), undefined) },
        {
          ALT: () => {
            this.SUBRULE(this.fromOrIn);
            return this.SUBRULE(this.tableName);
          },
        },
      ]),
    );
    const filter = this.SUBRULE(this.filter);
    return table === undefined
      ? ({ kind: 'ShowCooldownJobs', filter } as const)
      : ({ kind: 'ShowCooldownTablets', table, filter } as const);
  });

  cancelCooldownJob = this.RULE('cancelCooldownJob', () => {
    this.CONSUME(K.CANCEL);
    this.CONSUME(K.COOLDOWN);
    this.CONSUME(K.JOB);
    return { kind: 'CancelCooldownJob' as const, job: this.SUBRULE(this.jobRef) };
  });

  adminCooldownTable = this.RULE('adminCooldownTable', () => {
    this.CONSUME(K.ADMIN);
    this.CONSUME(K.COOLDOWN);
    this.CONSUME(K.TABLE);
    const table = this.SUBRULE(this.tableName);
    const partitions = this.SUBRULE(this.partitionNames);
    return { kind: 'AdminCooldownTable' as const, table, partitions };
  });

  adminSetCooldownLeader = this.RULE('adminSetCooldownLeader', () => {
    this.CONSUME(K.ADMIN);
    this.CONSUME(K.SET);
    this.CONSUME(K.COOLDOWN);
    this.CONSUME(K.LEADER);
    this.CONSUME(K.FOR);
    this.CONSUME(K.TABLET);
    const tabletId = this.SUBRULE(this.integer);
    this.CONSUME(K.TO);
    this.CONSUME(K.REPLICA);
    return {
      kind: 'AdminSetCooldownLeader' as const,
      tabletId,
      replicaId: this.SUBRULE2(this.integer),
    };
  });

  checkCooldownTable = this.RULE('checkCooldownTable', () => {
    this.CONSUME(K.CHECK);
    this.CONSUME(K.COOLDOWN);
    this.CONSUME(K.TABLE);
    const table = this.SUBRULE(this.tableName);
    const repair = this.OPTION(() => this.CONSUME(K.REPAIR)) !== undefined;
    return { kind: 'CheckCooldownTable' as const, table, repair };
  });

  adminRepairTable = this.RULE('adminRepairTable', () => {
    this.CONSUME(K.ADMIN);
    const cancel = this.OPTION(() => this.CONSUME(K.CANCEL)) !== undefined;
    this.CONSUME(K.REPAIR);
    this.CONSUME(K.TABLE);
    const table = this.SUBRULE(this.tableName);
    const partitions = this.SUBRULE(this.partitionNames);
    return { kind: 'AdminRepairTable' as const, table, partitions, cancel };
  });
}

const ADDRESS = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9][a-z0-9._-]{0,252}):(\d{1,5})$/i;

/** `host:port` or `[ipv6]:port`. */
function address(text: string): { kind: 'address'; host: string; port: number } {
  const match = ADDRESS.exec(text.trim());
  const port = Number(match?.[2] ?? 0);
  if (match === null || port < 1 || port > 65_535) {
    throw new SqlError('BAD_BACKEND_ADDRESS', { text: text.slice(0, 80) });
  }
  return { kind: 'address', host: match[1] ?? '', port };
}
