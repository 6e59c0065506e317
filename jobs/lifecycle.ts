/**
 * A job's life as a table: for every state and every event one cell (STYLE, "A job's life is a
 * table"). A missing cell does not compile. One transition is one catalog transaction; effects run
 * after the commit and answer only with events.
 */

export type Cell<State extends string, Effect extends string> =
  /** Go to a state (or stay), then do at most one thing. */
  | { readonly kind: 'move'; readonly to: State; readonly effect?: Effect }
  /** A harmless duplicate or a message that came too late: counted, nothing changes. */
  | { readonly kind: 'late' }
  /** Cannot happen: crash loudly. */
  | { readonly kind: 'bug' };

export interface Lifecycle<State extends string, Event extends string, Effect extends string> {
  readonly initial: State;
  readonly states: readonly State[];
  readonly events: readonly Event[];
  readonly final: ReadonlySet<State>;
  cell(state: State, event: Event): Cell<State, Effect>;
}

type Row<Events extends readonly string[], State extends string, Effect extends string> = {
  readonly [K in keyof Events]: Cell<State, Effect>;
};

export interface LifecycleSpec<
  State extends string,
  Events extends readonly string[],
  Effect extends string,
> {
  readonly initial: State;
  /** States from which no event leads away. */
  readonly final: readonly State[];
  readonly events: Events;
  readonly rows: Readonly<Record<State, Row<Events, State, Effect>>>;
}

export function lifecycle<
  State extends string,
  const Events extends readonly string[],
  Effect extends string,
>(spec: LifecycleSpec<State, Events, Effect>): Lifecycle<State, Events[number], Effect> {
  const events: readonly Events[number][] = spec.events;
  return {
    initial: spec.initial,
    states: Object.keys(spec.rows) as State[],
    events,
    final: new Set(spec.final),
    cell: (state, event) => {
      const row: readonly Cell<State, Effect>[] = spec.rows[state];
      const cell = row[events.indexOf(event)];
      if (cell === undefined) throw new Error(`no cell for ${state} x ${event}`);
      return cell;
    },
  };
}
