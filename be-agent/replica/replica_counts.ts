/** What happened to the replicas of a backend since its start. */
export interface ReplicaCounts {
  /** Bytes of segments that loads, of this backend and of others, wrote to its disk. */
  loadBytes: number;
  loadSegments: number;
  /** Rowsets that loads prepared. */
  preparedRowsets: number;
  clones: number;
  failedClones: number;
  /** Bytes of segments copied from other backends. */
  cloneBytes: number;
  /** Replicas found damaged. */
  damages: number;
  reports: number;
  failedReports: number;
}

export function newReplicaCounts(): ReplicaCounts {
  return {
    loadBytes: 0,
    loadSegments: 0,
    preparedRowsets: 0,
    clones: 0,
    failedClones: 0,
    cloneBytes: 0,
    damages: 0,
    reports: 0,
    failedReports: 0,
  };
}
