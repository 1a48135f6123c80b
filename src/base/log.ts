import { pino } from 'pino';

/** The part of pino that the parts use. Secrets must never be passed to it. */
export interface Log {
  debug(facts: object, message?: string): void;
  info(facts: object, message?: string): void;
  warn(facts: object, message?: string): void;
  error(facts: object, message?: string): void;
  child(facts: object): Log;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on stderr, or readable lines when it is a terminal. */
export function createLog(level: LogLevel, pretty: boolean = process.stderr.isTTY === true): Log {
  const redact = ['apiKey', '*.apiKey', 'authorization', '*.authorization', 'headers.authorization'];
  if (pretty) {
    const transport = { target: 'pino-pretty', options: { destination: 2, ignore: 'pid,hostname' } };
    return pino({ level, redact, transport });
  }
  return pino({ level, redact, base: null }, pino.destination({ fd: 2, sync: true }));
}

const nothing = (): void => {};

/** A log that drops everything, for pure code that is run without one. */
export const SILENT_LOG: Log = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => SILENT_LOG,
};
