/** Calls that got no answer: what is known about why, for whoever reads the message. */
import { SqlError } from './errors.ts';

/** Nothing came in time; it may be done all the same. `backend` is an id, or how it is called. */
export function noAnswer(backend: string | number, what: string, timeoutMs: number): SqlError {
  return agentLost(backend, what, noAnswerIn(timeoutMs));
}

/** The end of a sentence about it. */
export function noAnswerIn(timeoutMs: number): string {
  return `nothing came within ${timeoutMs} ms; it may be busy or away, see SHOW BACKENDS`;
}

/** `why`: what happened, and what helps where that is known. */
export function agentLost(backend: string | number, what: string, why: string): SqlError {
  return new SqlError('AGENT_LOST', { backend, what, why });
}
