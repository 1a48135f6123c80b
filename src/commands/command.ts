import type { Log, LogLevel } from '../base/log.ts';
import type { SettingRows, SettingsOf } from '../base/settings.ts';

/** What a running command gets besides its settings. */
export interface CommandContext {
  readonly log: Log;
  /** Least severe messages to show, for what a command writes to stderr itself. */
  readonly logLevel: LogLevel;
  /** Aborts on SIGINT or SIGTERM: drain, then return. */
  readonly signal: AbortSignal;
  /** A person is watching: tables, bars and colours instead of JSON. */
  readonly interactive: boolean;
  /** The `--config` file, where it is the command's input. */
  readonly input?: { readonly path: string; readonly source: string } | undefined;
  /** Writes one line to stdout. */
  print(line: string): void;
}

/** One verb. `run` resolves to the exit code when that is not 0. */
export interface Command<T extends SettingRows = SettingRows> {
  readonly name: string;
  readonly summary: string;
  /** A paragraph or an example below the flags in `--help`. */
  readonly details?: string;
  readonly settings: T;
  /** True of a `--config` file that is the command's input rather than its settings; it arrives as `context.input`. */
  configIsInput?(source: string): boolean;
  run(settings: SettingsOf<T>, context: CommandContext): Promise<number | undefined>;
}

/** Keeps the types of a command's settings together. */
export function defineCommand<const T extends SettingRows>(command: Command<T>): Command<T> {
  return command;
}
