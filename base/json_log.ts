/** The real log: JSON lines on stderr by pino, written from whichever thread has something to say. */
import { createRequire } from 'node:module';
import type * as Pino from 'pino';
import type { Log, LogFields } from './ports.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

const STDERR = 2;

/** The least that is written at each level. */
const RANKS: Readonly<Record<LogLevel, number>> = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
  silent: 4,
};

/** `sync`: lines are out before the call returns, so that a crash loses none. */
export function jsonLog(level: LogLevel, fields: LogFields = {}): Log {
  let logger: PinoLike | undefined;
  return wrap(level, () => (logger ??= pinoLogger(level, fields)));
}

/** Loaded for the first line that is written: most threads start without one. */
function pinoLogger(level: LogLevel, fields: LogFields): PinoLike {
  const { pino } = createRequire(import.meta.url)('pino') as typeof Pino;
  const destination = pino.destination({ fd: STDERR, sync: true });
  return pino(
    { level, base: { ...fields }, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
}

interface PinoLike {
  debug(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  error(fields: LogFields, event: string): void;
  child(fields: LogFields): PinoLike;
}

function wrap(level: LogLevel, logger: () => PinoLike): Log {
  const at =
    (own: Exclude<LogLevel, 'silent'>): Log[typeof own] =>
    (event, fields) => {
      if (RANKS[own] >= RANKS[level]) logger()[own](fields ?? {}, event);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => {
      let child: PinoLike | undefined;
      return wrap(level, () => (child ??= logger().child(fields)));
    },
  };
}
