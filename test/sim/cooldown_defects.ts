/**
 * What was wrong with the first version of cooldown by a single replica, and what finds it here.
 * `2.1` is its data path, `2.2` its control plane; `3.4` is what later versions still had. The
 * numbers run through both lists.
 */
export interface Canary {
  readonly defect: string;
  readonly plant: string;
  /** In which it is found with one more thing that goes otherwise, or none; absent: in none. */
  readonly scope?: string;
  readonly schedule: string;
  readonly invariant: string;
}

export const CANARIES: readonly Canary[] = [
  {
    defect: '2.1 #3 a replica uploads that does not know that it leads',
    plant: 'everybody-uploads',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I4-only-the-leader-writes',
  },
  {
    defect: '2.1 #4 followers fail and keep their local copies for ever',
    plant: 'nobody-follows',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'L1-cold-data-is-remote',
  },
  {
    defect: '2.1 #5 a manifest counts as written although it never became visible',
    plant: 'close-is-ignored',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I6-head-is-whole',
  },
  {
    defect: '2.1 #8 and #14 the key of a manifest has no term, a later one replaces it',
    plant: 'manifest-of-no-term',
    scope: 'smallest',
    schedule: 'leader-dies-while-one-lags',
    invariant: 'I9-manifest-well-formed',
  },
  {
    defect: '2.1 #9 a new leader does not adopt what the old one has published',
    plant: 'nothing-is-adopted',
    scope: 'server-failover',
    schedule: 'two-processes-one-replica',
    invariant: 'I3-one-publisher',
  },
  {
    defect: '2.1 #10 and 3.4 d nothing fences a stale leader',
    plant: 'no-fencing',
    scope: 'two-replicas',
    schedule: 'stale-leader-wakes-up',
    invariant: 'I3-one-publisher',
  },
  {
    defect: '2.1 #11 the order of rowsets in a manifest is not defined',
    plant: 'manifest-is-unsorted',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I9-manifest-well-formed',
  },
  {
    defect: '2.1 #12 objects of a dropped table go while replicas are still there',
    plant: 'drop-waits-for-nobody',
    schedule: 'table-dropped',
    invariant: 'I18-drop-after-all-replicas',
  },
  {
    defect: '2.1 #13 who drops one replica deletes what the others read',
    plant: 'drop-deletes-shared',
    schedule: 'replica-dropped',
    invariant: 'I6-head-is-whole',
  },
  {
    defect: '2.1 #15 local files go although the swap was not saved',
    plant: 'swap-is-not-saved',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I5-durable-before-local-goes',
  },
  {
    defect: '2.2 #16 a dead leader stays',
    plant: 'dead-leader-stays',
    schedule: 'leader-dies-for-good',
    invariant: 'L3-leaders-live',
  },
  {
    defect: '2.2 #17 a replica is elected that is not complete',
    plant: 'anybody-is-elected',
    schedule: 'disk-of-follower-lost',
    invariant: 'E1-only-complete-replicas-lead',
  },
  {
    defect: '2.2 #18 terms are not compared: the right leader of an old term is not told',
    plant: 'terms-are-not-compared',
    schedule: 'there-and-back',
    invariant: 'I17-pushes-end-in-the-last-term',
  },
  {
    defect: '2.2 #20 a term is pushed that is not in the journal',
    plant: 'pushed-before-journal',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I16-journal-before-effect',
  },
  {
    defect: '2.2 #25 the first term is 0 or -1',
    plant: 'terms-begin-anywhere',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I1-terms-only-grow',
  },
  {
    defect: '2.2 #26 a server that starts again has older terms',
    plant: 'terms-get-lost',
    schedule: 'server-restarts',
    invariant: 'I1-terms-only-grow',
  },
  {
    defect: '2.2 #29 and 3.4 g where cooled data lies is looked up by its policy',
    plant: 'resource-goes-with-policy',
    schedule: 'server-restarts',
    invariant: 'I19-resources-stay',
  },
  {
    defect: '3.4 a a collection is confirmed whatever the replicas have',
    plant: 'confirmed-unasked',
    scope: 'server-failover',
    schedule: 'follower-stands-still',
    invariant: 'I14-collection-needs-all-settled',
  },
  {
    defect: '3.4 a a leader collects without asking anybody',
    plant: 'collected-at-once',
    scope: 'compaction',
    schedule: 'follower-stands-still',
    invariant: 'I7-readers-find-all',
  },
  {
    defect: '3.4 b (#17644, #32798) the list of cooled rowsets changes and its meta id stays',
    plant: 'meta-id-is-kept',
    scope: 'one-replica',
    schedule: 'calm',
    invariant: 'I12-meta-id-is-the-list',
  },
  {
    defect: '3.4 e the local swap comes before the list is published',
    plant: 'local-before-published',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I5-durable-before-local-goes',
  },
  {
    defect: '3.4 i (#33644) half an object counts as uploaded',
    plant: 'upload-is-not-verified',
    scope: 'smallest',
    schedule: 'calm',
    invariant: 'I6-head-is-whole',
  },
];

export interface NotExpressed {
  readonly defect: string;
  readonly reason: string;
}

/** Defects that cannot be put in from outside, or that nothing here could have. */
export const NOT_EXPRESSED: readonly NotExpressed[] = [
  {
    defect: '2.1 #1 no acknowledgement ends a job',
    reason:
      'a job ends by reports, which are level-triggered; a test of the jobs drops acknowledgements',
  },
  {
    defect: '2.1 #2 two tasks of one signature hide each other',
    reason: 'there is no queue of tasks that a signature could hide in: a push is one call',
  },
  {
    defect: '2.1 #6 a follower changes its rowsets under a shared lock',
    reason: 'a change is one synchronous transaction; nothing runs in between',
  },
  {
    defect: '2.1 #7 no alignment in follow',
    reason:
      'the replica store refuses rowsets that overlap; the schedule 30244-other-ranges has other ranges on a follower',
  },
  { defect: '2.2 #19 a nested read lock', reason: 'there are no locks between threads' },
  {
    defect: '2.2 #21 a missing tablet ends a job with a null pointer',
    reason: 'types exclude it; a dropped table is in the runs with the real control plane',
  },
  {
    defect: '2.2 #22 a cancelled job leaves it open who leads',
    reason: 'the term is journaled before the job pushes it, whatever becomes of the job',
  },
  {
    defect: '2.2 #23 a replay changes the list that it goes through',
    reason: 'nothing is replayed: a start reads rows',
  },
  {
    defect: '2.2 #24 what does not fit into the queue is dropped',
    reason: 'level-triggered: what was not taken is found again with the next look',
  },
  {
    defect: '2.2 #27 a worker reads an empty queue at shutdown',
    reason: 'the language has no undefined behaviour to meet there',
  },
  { defect: '2.2 #28 misleading log lines', reason: 'no invariant reads the log for its words' },
  { defect: '2.2 #30 tests that set the state that they check', reason: 'it is about tests' },
];

/** Explored in every run of the tests; the others are for `npm run sim`. */
export const SCOPES = [
  { scope: 'smallest', runsMin: 50 },
  { scope: 'two-replicas', runsMin: 250 },
  { scope: 'one-replica', runsMin: 120 },
] as const;
