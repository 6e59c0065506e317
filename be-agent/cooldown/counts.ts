/** What cooldown has done on a backend since its start, for metrics. */
export interface CooldownCounts {
  /** Segments that were sent, and their bytes. */
  uploadedObjects: number;
  uploadedBytes: number;
  /** Segments that were there already, with the same content. */
  reusedObjects: number;
  /** Damaged objects that nothing referred to and that were written anew. */
  replacedObjects: number;
  /** Read back because the store tells no checksum. */
  verifiedBytes: number;
  cooledRowsets: number;
  published: number;
  /** Claims of HEAD by a new leader. */
  claimed: number;
  /** Manifests of others taken over. */
  followed: number;
  /** A higher term was found: stepped down. */
  fenced: number;
  /** Turns that ended with a failure. */
  failures: number;
  compactions: number;
  compactedRowsets: number;
  deletedObjects: number;
}

export function newCounts(): CooldownCounts {
  return {
    uploadedObjects: 0,
    uploadedBytes: 0,
    reusedObjects: 0,
    replacedObjects: 0,
    verifiedBytes: 0,
    cooledRowsets: 0,
    published: 0,
    claimed: 0,
    followed: 0,
    fenced: 0,
    failures: 0,
    compactions: 0,
    compactedRowsets: 0,
    deletedObjects: 0,
  };
}
