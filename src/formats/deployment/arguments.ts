/** Arguments of a container as separate tokens; JSON texts stay whole. */
export type Arguments = readonly string[];

const SHELL_OPERATOR = /^(?:\|\|?|&&?|;|\d?>>?(?:&\d)?|<)$/;

/** Splits what a deployment may hold (one text, or a list whose items may hold several words) into tokens. */
export function tokenize(args: unknown): Arguments {
  if (args === undefined || args === null) return [];
  const items = Array.isArray(args) ? args.map(String) : [String(args)];
  return items.flatMap((item) => (/^\s*[{[]/.test(item) || !/\s/.test(item) ? [item] : shellSplit(item)));
}

/**
 * Sets `--flag value` or `--flag=value`, in place when the flag or another name of it is there, else at the end of the
 * command.
 */
export function setArgument(
  given: Arguments,
  flag: string,
  value: string,
  aliases: readonly string[] = [],
): Arguments {
  const args = given.map((token) => {
    const [name = '', ...rest] = token.split('=');
    return aliases.includes(name) ? [flag, ...rest].join('=') : token;
  });
  const joined = args.findIndex((token) => token.startsWith(`${flag}=`));
  if (joined >= 0) return args.with(joined, `${flag}=${value}`);
  const at = args.indexOf(flag);
  if (at < 0) return appendArguments(args, [flag, value]);
  return [...args.slice(0, at + 1), value, ...args.slice(at + 2)];
}

/** Adds a flag without a value unless it is there already. */
export function addFlag(args: Arguments, flag: string): Arguments {
  return args.includes(flag) ? args : appendArguments(args, [flag]);
}

/** Removes every occurrence of a flag that has no value. */
export function removeFlag(args: Arguments, flag: string): Arguments {
  return args.filter((token) => token !== flag);
}

/** Removes a flag and the value behind it, in both spellings (`--flag value`, `--flag=value`). */
export function removeArgument(args: Arguments, flag: string): Arguments {
  const kept: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const token = args[i]!;
    if (token === flag) {
      const next = args[i + 1];
      if (next !== undefined && !next.startsWith('--')) i++;
    } else if (!token.startsWith(`${flag}=`)) kept.push(token);
  }
  return kept;
}

export function argumentValue(args: Arguments, flag: string): string | undefined {
  const joined = args.find((token) => token.startsWith(`${flag}=`));
  if (joined !== undefined) return joined.slice(flag.length + 1);
  const at = args.indexOf(flag);
  return at < 0 ? undefined : args[at + 1];
}

/** New arguments belong to the command, so they go before a pipe or redirection that follows it. */
export function appendArguments(args: Arguments, added: Arguments): Arguments {
  const end = args.findIndex((token) => SHELL_OPERATOR.test(token));
  return end < 0 ? [...args, ...added] : [...args.slice(0, end), ...added, ...args.slice(end)];
}

/** One command line of the tokens: what a shell would split into them again, pipes and variables left to it. */
export function shellJoin(args: Arguments): string {
  return args
    .map((token) => {
      if (/^[\w@%+=:,./~-]+$/.test(token) || SHELL_OPERATOR.test(token)) return token;
      if (token.includes('$')) return `"${token.replaceAll(/["\\`]/g, String.raw`\$&`)}"`;
      return `'${token.replaceAll("'", String.raw`'\''`)}'`;
    })
    .join(' ');
}

/** Words as a POSIX shell would see them: single and double quotes, backslash outside single quotes. */
export function shellSplit(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"' && '"\\$`'.includes(text[i + 1] ?? '')) word += text[++i]!;
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + (char === '\\' ? (text[++i] ?? '') : char);
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}
