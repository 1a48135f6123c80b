import { fail } from '../base/errors.ts';

/** What a key may use at most; without limit where undefined. */
export interface KeyLimits {
  /** Requests at once. */
  readonly concurrency: number | undefined;
  readonly requestsPerMinute: number | undefined;
  /** Prompt and answer tokens. */
  readonly tokensPerMinute: number | undefined;
}

export interface ApiKey {
  readonly secret: string;
  /** For errors and metrics, which never show the secret. */
  readonly name: string;
  readonly limits: KeyLimits;
}

const LIMITS: Readonly<Record<string, keyof KeyLimits>> = {
  concurrency: 'concurrency',
  'requests-per-minute': 'requestsPerMinute',
  'tokens-per-minute': 'tokensPerMinute',
};
const NAME = /^[\w.-]{1,64}$/;

/**
 * Reads `KEY [name=NAME] [concurrency=N] [requests-per-minute=N] [tokens-per-minute=N]`, one key a line; blank lines and
 * lines that begin with `#` are skipped. Unnamed keys are called after their line.
 */
export function parseApiKeys(text: string, path: string): ApiKey[] {
  const keys: ApiKey[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const [secret, ...words] = line.trim().split(/\s+/);
    if (secret === undefined || secret === '' || secret.startsWith('#')) continue;
    const wrong = (reason: string) =>
      fail('KV_FILE_MALFORMED', {
        path,
        reason: `line ${i + 1}: ${reason}`,
        mend: `Write KEY [name=NAME] ${Object.keys(LIMITS)
          .map((name) => `[${name}=N]`)
          .join(' ')}.`,
      });
    const key = { secret, name: `line-${i + 1}`, limits: {} as Record<keyof KeyLimits, number | undefined> };
    for (const word of words) {
      const at = word.indexOf('=');
      const [name, value] = [word.slice(0, Math.max(0, at)), word.slice(at + 1)];
      const limit = LIMITS[name];
      // A word without a name may be part of a secret with spaces: it is not shown.
      if (limit === undefined && name !== 'name') throw wrong('a word after the key is none of the options');
      if (limit === undefined && !NAME.test(value))
        throw wrong('name= may hold letters, digits, ".", "_" and "-"');
      if (limit !== undefined && !/^[1-9]\d{0,14}$/.test(value))
        throw wrong(`${name}= must be a whole number above 0`);
      if (limit === undefined) key.name = value;
      else key.limits[limit] = Number(value);
    }
    if (keys.some(({ name }) => name === key.name)) throw wrong(`the name ${key.name} is taken`);
    if (keys.some((other) => other.secret === secret)) throw wrong('the key was listed before');
    keys.push(key);
  }
  return keys;
}
