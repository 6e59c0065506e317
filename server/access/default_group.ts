/** Which compute group is meant when none is named. */
import type { ComputeGroupId } from '../../base/ids.ts';
import type { Rights } from './rights.ts';

interface Group {
  readonly computeGroupId: ComputeGroupId;
  readonly name: string;
}

/** The first that the user was given USAGE of; else the first, which needs none. */
export function defaultGroup(groups: readonly Group[], rights: Rights): string | undefined {
  const inOrder = groups.toSorted((a, b) => a.computeGroupId - b.computeGroupId);
  const usable = inOrder.find(({ name }) => rights.mayUse('COMPUTE_GROUP', name));
  return (usable ?? inOrder[0])?.name;
}
