/** Which parts of a session its client is told of when they change; as MySQL has it by default. */
import type { TrackedState } from './mysql/session_tracker.ts';
import type { SessionVariables } from './variables.ts';

/** `session_track_schema`, and `session_track_system_variables`: names with commas, or `*`. */
export function trackedState(variables: SessionVariables, database: string): TrackedState {
  const wanted = String(variables.get('session_track_system_variables').value);
  return {
    schema: variables.number('session_track_schema') === 1 ? database : undefined,
    variables: new Map(wanted === '*' ? variables.list('session') : named(wanted, variables)),
  };
}

function named(wanted: string, variables: SessionVariables): (readonly [string, string])[] {
  return wanted.split(',').flatMap((word) => {
    const name = word.trim().toLowerCase();
    const value = variables.shown(name);
    return value === undefined ? [] : [[name, value] as const];
  });
}
