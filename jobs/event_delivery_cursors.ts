/** What becomes of a target's cursor when others leave, or when it is too far behind. */
import type { Catalog } from '../catalog/catalog.ts';
import type { EventTarget } from '../catalog/event_cursors.ts';

/** A target that is to go on for others that are gone, too, from the job's beginning. */
export function inherit(
  target: EventTarget,
  gone: readonly EventTarget[],
  { firstTxn, catchUpEnd }: { readonly firstTxn: number; readonly catchUpEnd: number },
): EventTarget {
  const ackedSeq = Math.min(target.ackedSeq, ...gone.map((other) => other.ackedSeq));
  return { ...target, ackedSeq, state: 'CATCHING_UP', catchUpTxn: firstTxn, catchUpEnd };
}

/** From the log to the catalog: whatever the log has behind the cursor is younger than its first. */
export function skipBacklog(
  target: EventTarget,
  lastSeq: number,
  lastTxn: number,
  catalog: Catalog,
): EventTarget {
  const start = catalog.eventCursors.start(target.jobId);
  if (start === undefined) return target;
  const { sourceGroup, firstTxn } = start;
  const [next] = catalog.rowsetEvents.after(sourceGroup, target.ackedSeq, 1);
  const logged = (catalog.eventCursors.firstTxnAfter(sourceGroup, target.ackedSeq) ?? lastTxn) - 1;
  // A log that does not go back to the cursor says nothing about what is missing of it.
  const after = next?.seq === target.ackedSeq + 1 ? logged : Math.min(logged, firstTxn);
  return {
    ...target,
    ackedSeq: lastSeq,
    state: 'CATCHING_UP',
    catchUpTxn: target.state === 'CATCHING_UP' ? Math.min(after, target.catchUpTxn) : after,
    catchUpEnd: lastTxn,
  };
}

/** Whether there is nothing to store. */
export function isSame(a: EventTarget, b: EventTarget): boolean {
  return (
    a.ackedSeq === b.ackedSeq &&
    a.state === b.state &&
    a.catchUpTxn === b.catchUpTxn &&
    a.catchUpEnd === b.catchUpEnd
  );
}
