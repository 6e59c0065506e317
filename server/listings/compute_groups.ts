/** SHOW COMPUTE GROUPS (and SHOW CLUSTERS, the older word): Doris's columns, then AliveBackendNum. */
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, ofGroup } from './listing.ts';

export interface ComputeGroupsSource {
  readonly services: Services;
  /** The session's compute group. */
  readonly current: string;
}

export const COMPUTE_GROUPS: Listing<ComputeGroupsSource> = {
  columns: ['Name', 'IsCurrent', 'Users', 'BackendNum', 'AliveBackendNum'].map(textColumn),
  likeColumns: ['Name'],
  seen: ofGroup('Name'),
  rows: async ({ services, current }) => {
    const { catalog, registry } = services;
    const backends = await catalog.backends.list();
    return (await catalog.computeGroups.list()).map(({ name }) => {
      const members = backends.filter((backend) => backend.computeGroupName === name);
      const alive = registry.alive(members.map((backend) => backend.backendId));
      return [
        name,
        name === current ? 'TRUE' : 'FALSE',
        '',
        String(members.length),
        String(alive.length),
      ];
    });
  },
};
