/** Where the segments of a load go: to the table's vault or to its replicas. */
import type { LoadTarget } from '../../base/agent_messages.ts';
import type { TxnId } from '../../base/ids.ts';
import type { LoadServices } from '../data/load.ts';
import type { VaultStores } from '../vault_stores.ts';
import type { ReplicaHost } from './replica_host.ts';

/** Throws what opening the vault throws. */
export async function loadOutput(
  stores: VaultStores,
  replicas: ReplicaHost,
  txnId: TxnId,
  target: LoadTarget,
  signal: AbortSignal,
): Promise<Pick<LoadServices, 'store' | 'sink'>> {
  const sink = replicas.sink(txnId, target, signal);
  if (sink !== undefined) return { store: replicas.local.store, sink };
  return { store: await stores.get(target.table.vaultId) };
}
