import { fail } from './errors.ts';

/** One setting: from its row come the flag, the environment variable, the YAML key, validation and help. */
export interface SettingRow<T> {
  readonly kind: 'text' | 'int' | 'number' | 'flag' | 'choice' | 'list';
  readonly help: string;
  /** Absent: the setting may stay undefined. */
  readonly default?: T;
  /** Environment variable, when it is not `KVASIR_` + the name in capitals. */
  readonly env?: string;
  /** Word shown for the value in help, as in `--http-port PORT`. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  /** Redacted when the effective settings are logged. */
  readonly secret?: boolean;
  /** What parts a list given as one text: a comma unless the items hold commas themselves. */
  readonly separator?: string;
  /** Further flags with the same meaning, written with their dashes (`--base-url`). */
  readonly aliases?: readonly string[];
}

export type SettingRows = Readonly<Record<string, SettingRow<unknown>>>;

type ValueOf<R> = R extends { readonly kind: string; readonly value?: infer T } ? T : never;
/** The typed object that a table yields. */
export type SettingsOf<T> = { readonly [K in keyof T]: ValueOf<T[K]> };

// The phantom `value` carries the type of a row; it never exists at run time.
type Row<T> = SettingRow<unknown> & { readonly value?: T };
type Options = Omit<SettingRow<unknown>, 'kind' | 'default' | 'choices'>;
type With<D> = Options & { readonly default: D };

export function text(options: With<string>): Row<string>;
export function text(options: Options): Row<string | undefined>;
export function text(options: Options): Row<string | undefined> {
  return { kind: 'text', ...options };
}

export function int(options: With<number>): Row<number>;
export function int(options: Options): Row<number | undefined>;
export function int(options: Options): Row<number | undefined> {
  return { kind: 'int', ...options };
}

export function number(options: With<number>): Row<number>;
export function number(options: Options): Row<number | undefined>;
export function number(options: Options): Row<number | undefined> {
  return { kind: 'number', ...options };
}

/** A boolean, given as `--name` or `--no-name`; false unless the default says otherwise. */
export function flag(options: Options & { readonly default?: boolean }): Row<boolean> {
  return { kind: 'flag', default: false, ...options };
}

export function choice<const C extends string>(options: With<C> & { readonly choices: readonly C[] }): Row<C>;
export function choice<const C extends string>(
  options: Options & { readonly choices: readonly C[] },
): Row<C | undefined>;
export function choice(options: Options & { readonly choices: readonly string[] }): Row<string | undefined> {
  return { kind: 'choice', ...options };
}

/** A list of texts: the flag may be repeated, or hold several parted by the separator. Empty by default. */
export function list(options: Options & { readonly default?: readonly string[] }): Row<readonly string[]> {
  return { kind: 'list', default: [], ...options };
}

/** Where values come from, strongest first; keys are setting names (camelCase). */
export interface SettingSources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A parsed YAML mapping; keys in kebab-case or snake_case. */
  readonly file?: Readonly<Record<string, unknown>>;
  readonly fileName?: string;
}

/** Merges flags over environment over file over defaults, validates, and freezes the result. */
export function resolveSettings<T extends SettingRows>(rows: T, sources: SettingSources): SettingsOf<T> {
  const fromFile = fileValues(rows, sources);
  const settings: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(rows)) {
    const variable = envName(name, row);
    const env = sources.env[variable];
    if (sources.flags[name] !== undefined) settings[name] = parse(row, sources.flags[name], flagName(name));
    else if (env !== undefined && env !== '') settings[name] = parse(row, env, variable);
    else if (fromFile.has(name))
      settings[name] = parse(row, fromFile.get(name), `${yamlKey(name)} in ${sources.fileName}`);
    else settings[name] = row.default;
  }
  return Object.freeze(settings) as SettingsOf<T>;
}

/** `httpPort` -> `--http-port`. */
export function flagName(name: string): string {
  return `--${yamlKey(name)}`;
}

/** `httpPort` -> `http-port`, the key in a configuration file. */
export function yamlKey(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function envName(name: string, row: SettingRow<unknown>): string {
  return row.env ?? `KVASIR_${yamlKey(name).replaceAll('-', '_').toUpperCase()}`;
}

/** The settings as they may be logged: secrets replaced. */
export function redactedSettings(rows: SettingRows, settings: Readonly<Record<string, unknown>>): object {
  const hidden = Object.entries(settings).map(([name, value]) => [
    name,
    rows[name]?.secret === true && value !== undefined ? '[redacted]' : value,
  ]);
  return Object.fromEntries(hidden);
}

function fileValues(rows: SettingRows, sources: SettingSources): Map<string, unknown> {
  const names = new Map(Object.keys(rows).map((name) => [yamlKey(name), name]));
  const values = new Map<string, unknown>();
  for (const [key, value] of Object.entries(sources.file ?? {})) {
    const name = names.get(key.replaceAll('_', '-'));
    if (name === undefined) {
      const near = closest(key.replaceAll('_', '-'), [...names.keys()]);
      const mend =
        near === undefined ? `Known keys: ${[...names.keys()].join(', ')}.` : `Did you mean ${near}?`;
      throw fail('KV_SETTING_UNKNOWN', { setting: `${key} in ${sources.fileName}`, mend });
    }
    values.set(name, value);
  }
  return values;
}

function parse(row: SettingRow<unknown>, raw: unknown, setting: string): unknown {
  const invalid = (reason: string, mend: string) =>
    fail('KV_SETTING_INVALID', { setting, value: JSON.stringify(raw), reason, mend });
  switch (row.kind) {
    case 'flag': {
      if (typeof raw === 'boolean') return raw;
      const word = String(raw).toLowerCase();
      if (['true', '1', 'yes', 'on'].includes(word)) return true;
      if (['false', '0', 'no', 'off'].includes(word)) return false;
      throw invalid('is not a boolean', 'Use true or false.');
    }
    case 'int':
    case 'number': {
      const value = typeof raw === 'number' ? raw : Number(String(raw).trim() || Number.NaN);
      if (Number.isNaN(value)) throw invalid('is not a number', 'Give a number.');
      if (row.kind === 'int' && !Number.isSafeInteger(value))
        throw invalid('is not a whole number', 'Give a whole number.');
      if (row.min !== undefined && value < row.min)
        throw invalid(`is below ${row.min}`, `Give ${row.min} or more.`);
      if (row.max !== undefined && value > row.max)
        throw invalid(`is above ${row.max}`, `Give ${row.max} or less.`);
      return value;
    }
    case 'choice': {
      const value = String(raw);
      if (row.choices?.includes(value)) return value;
      const near = closest(value, row.choices ?? []);
      throw invalid(
        'is not one of its values',
        `${near ? `Did you mean ${near}? ` : ''}Choose from ${row.choices?.join(', ')}.`,
      );
    }
    case 'list': {
      const items = Array.isArray(raw) ? raw.map(String) : [String(raw)];
      return items
        .flatMap((item) => item.split(row.separator ?? ','))
        .map((item) => item.trim())
        .filter((item) => item !== '');
    }
    case 'text':
      if (typeof raw === 'object') throw invalid('is not a text', 'Give one value.');
      return String(raw);
  }
}

/** The candidate within two edits of the word, if there is one. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(word.length / 4));
  const ranked = candidates.map((candidate) => ({ candidate, edits: editDistance(word, candidate) }));
  ranked.sort((a, b) => a.edits - b.edits);
  return ranked[0] !== undefined && ranked[0].edits <= limit ? ranked[0].candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, substitution);
    }
    row = next;
  }
  return row[b.length]!;
}
