import { readFileSync } from 'node:fs';
import { Command as CommanderCommand, CommanderError, Option } from 'commander';
import { parse as parseYaml } from 'yaml';
import { exitCode, fail, KvasirError, toError } from '../base/errors.ts';
import { createLog, LOG_LEVELS, type LogLevel } from '../base/log.ts';
import {
  choice,
  envName,
  flag,
  flagName,
  redactedSettings,
  resolveSettings,
  type SettingRow,
  type SettingRows,
  text,
  yamlKey,
} from '../base/settings.ts';
import type { Command, CommandContext } from './command.ts';

/** Settings that every command has. */
export const COMMON_SETTINGS = {
  config: text({
    placeholder: 'FILE',
    help: 'YAML file with settings; flags and environment variables win over it',
  }),
  logLevel: choice({ choices: LOG_LEVELS, default: 'info', help: 'least severe messages to log, on stderr' }),
  json: flag({
    help: 'print JSON for programs instead of tables for people (the default when stdout is not a terminal)',
  }),
};

/** Parses one verb's arguments, runs it, and returns the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    // A second signal ends a drain that hangs.
    if (stop.signal.aborted) process.exit(1);
    stop.abort(fail('KV_INTERRUPTED', { signal: name }));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const rows: SettingRows = { ...command.settings, ...COMMON_SETTINGS };
    const flags = parseFlags(command, rows, argv);
    if (flags === undefined) return 0;
    const config = readConfig(flags.config ?? process.env.KVASIR_CONFIG, command);
    const settings = resolveSettings(rows, { flags, env: process.env, ...config });
    const log = createLog(settings.logLevel as LogLevel);
    log.debug({ settings: redactedSettings(rows, settings) }, 'effective settings');
    const context: CommandContext = {
      log,
      logLevel: settings.logLevel as LogLevel,
      signal: stop.signal,
      interactive: process.stdout.isTTY === true && settings.json !== true,
      input: config.input,
      print: (line) => void process.stdout.write(`${line}\n`),
    };
    return (await command.run(settings as never, context)) ?? 0;
  } catch (thrown) {
    if (thrown === stop.signal.reason) return 0;
    return reportFailure(thrown);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** Prints an error as text for people; the only place that turns one into an exit code. */
export function reportFailure(thrown: unknown): 1 | 2 {
  const error = toError(thrown);
  process.stderr.write(`error: ${error.message}\n${error.hint === '' ? '' : `  ${error.hint}\n`}`);
  if (error.code === 'KV_INTERNAL' && error.cause instanceof Error)
    process.stderr.write(`${error.cause.stack}\n`);
  return exitCode(error);
}

/** The given flags by setting name; undefined when help was asked for and printed. */
function parseFlags(
  command: Command,
  rows: SettingRows,
  argv: readonly string[],
): Record<string, unknown> | undefined {
  const parser = new CommanderCommand(`kvasir ${command.name}`)
    .description(command.summary)
    .allowExcessArguments(false)
    .exitOverride()
    // Long flag names leave little room; what is in it is wrapped all the same.
    .configureHelp({ minWidthToWrap: 25 })
    .configureOutput({ writeErr: () => {} });
  if (command.details !== undefined) parser.addHelpText('after', `\n${command.details}`);
  const names = new Map<string, string>();
  for (const [name, row] of Object.entries(rows)) {
    for (const long of [flagName(name), ...(row.aliases ?? [])]) {
      const option = makeOption(name, row, long);
      names.set(option.attributeName(), name);
      if (long !== flagName(name)) option.hideHelp();
      parser.addOption(option);
      if (row.kind === 'flag' && !isNegative(long))
        parser.addOption(new Option(`--no-${long.slice(2)}`).hideHelp(row.default !== true));
    }
  }
  try {
    parser.parse(argv as string[], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return undefined;
    throw fail('KV_USAGE', {
      reason: thrown.message.replace(/^error: /, ''),
      mend: `See kvasir ${command.name} --help.`,
    });
  }
  const flags: Record<string, unknown> = {};
  for (const [attribute, name] of names) {
    if (parser.getOptionValueSource(attribute) === 'cli') flags[name] = parser.getOptionValue(attribute);
  }
  return flags;
}

function makeOption(name: string, row: SettingRow<unknown>, long: string): Option {
  const word =
    row.placeholder ??
    { text: 'TEXT', int: 'N', number: 'X', choice: 'NAME', list: 'ITEM', flag: '' }[row.kind];
  const value = row.kind === 'flag' ? '' : row.kind === 'list' ? ` <${word}...>` : ` <${word}>`;
  const option = new Option(`${long}${value}`, describe(name, row));
  // A setting that is itself called no-something, and turns nothing else off.
  option.negate = false;
  return option;
}

function isNegative(long: string): boolean {
  return long.startsWith('--no-');
}

function describe(name: string, row: SettingRow<unknown>): string {
  const notes = [
    row.choices ? `one of ${row.choices.join(', ')}` : '',
    row.default === undefined ||
    row.default === false ||
    (Array.isArray(row.default) && row.default.length === 0)
      ? ''
      : `default ${row.default}`,
    `env ${envName(name, row)}`,
  ];
  return `${row.help} (${notes.filter((note) => note !== '').join('; ')})`;
}

interface Config {
  readonly file?: Record<string, unknown>;
  readonly fileName?: string;
  readonly input?: { readonly path: string; readonly source: string };
}

function readConfig(path: unknown, command: Command): Config {
  if (typeof path !== 'string') return {};
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    throw fail(
      'KV_SETTING_INVALID',
      {
        setting: '--config',
        value: path,
        reason: `cannot be read (${toError(cause).message})`,
        mend: 'Check the path.',
      },
      cause,
    );
  }
  if (command.configIsInput?.(source) === true) return { input: { path, source } };
  try {
    const file: unknown = parseYaml(source) ?? {};
    if (typeof file !== 'object' || Array.isArray(file))
      throw new Error('the file must hold a mapping of settings');
    return { file: file as Record<string, unknown>, fileName: path };
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    throw fail(
      'KV_SETTING_INVALID',
      {
        setting: '--config',
        value: path,
        reason: `is not valid YAML: ${toError(cause).message}`,
        mend: 'Mend the file.',
      },
      cause,
    );
  }
}

/** The reference page of a command, made from the same table as its flags. */
export function referencePage(command: Command): string {
  const rows = Object.entries({ ...command.settings, ...COMMON_SETTINGS }).map(([name, row]) => {
    const shown =
      row.default === undefined || (Array.isArray(row.default) && row.default.length === 0)
        ? ''
        : `\`${row.default}\``;
    const help = `${row.help}${row.choices ? `: ${row.choices.join(', ')}` : ''}`.replaceAll('|', '\\|');
    return `| \`${flagName(name)}\` | ${help} | ${shown} | \`${envName(name, row)}\` | \`${yamlKey(name)}\` |`;
  });
  const head = ['| flag | meaning | default | environment | YAML key |', '|---|---|---|---|---|'];
  const details = command.details === undefined ? [] : ['', '```', command.details.trim(), '```'];
  return [`# kvasir ${command.name}`, '', `${command.summary}.`, '', ...head, ...rows, ...details, ''].join(
    '\n',
  );
}
