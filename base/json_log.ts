/** The real log: JSON lines on stderr by pino, written from whichever thread has something to say. */
import { pino } from 'pino';
import type { Log, LogFields } from './ports.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

const STDERR = 2;

/** `sync`: lines are out before the call returns, so that a crash loses none. */
export function jsonLog(level: LogLevel, fields: LogFields = {}): Log {
  const destination = pino.destination({ fd: STDERR, sync: true });
  return wrap(
    pino({ level, base: { ...fields }, timestamp: pino.stdTimeFunctions.isoTime }, destination),
  );
}

interface PinoLike {
  debug(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  error(fields: LogFields, event: string): void;
  child(fields: LogFields): PinoLike;
}

function wrap(logger: PinoLike): Log {
  return {
    debug: (event, fields) => {
      logger.debug(fields ?? {}, event);
    },
    info: (event, fields) => {
      logger.info(fields ?? {}, event);
    },
    warn: (event, fields) => {
      logger.warn(fields ?? {}, event);
    },
    error: (event, fields) => {
      logger.error(fields ?? {}, event);
    },
    child: (fields) => wrap(logger.child(fields)),
  };
}
