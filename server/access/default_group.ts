/** Which compute group is meant when none is named. */
import type { ComputeGroupId } from '../../base/ids.ts';
import type { Rights } from './rights.ts';

interface Group {
  readonly computeGroupId: ComputeGroupId;
  readonly name: string;
}

/** By the list of groups, and by what an account may do: both are replaced when they change. */
const known = new WeakMap<
  readonly Group[],
  WeakMap<Rights, { readonly name: string | undefined }>
>();

/** The first that the user was given USAGE of; else the first, which needs none. */
export function defaultGroup(groups: readonly Group[], rights: Rights): string | undefined {
  let byRights = known.get(groups);
  if (byRights === undefined) {
    byRights = new WeakMap();
    known.set(groups, byRights);
  }
  let found = byRights.get(rights);
  if (found === undefined) {
    const inOrder = groups.toSorted((a, b) => a.computeGroupId - b.computeGroupId);
    const usable = inOrder.find(({ name }) => rights.mayUse('COMPUTE_GROUP', name));
    found = { name: (usable ?? inOrder[0])?.name };
    byRights.set(rights, found);
  }
  return found.name;
}
