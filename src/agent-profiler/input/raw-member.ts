/** The JSON text of one member of an object, found by its path; undefined when it is not there. */
export function rawMember(source: string, path: readonly string[]): string | undefined {
  let at = skipSpace(source, 0);
  for (const key of path) {
    const found = enter(source, at, key);
    if (found === undefined) return undefined;
    at = found;
  }
  return source.slice(at, skipValue(source, at));
}

/** Position of the value of `key` in the object that starts at `at`; the last one wins, as in JSON.parse. */
function enter(source: string, at: number, key: string): number | undefined {
  if (source[at] !== '{') return undefined;
  let found: number | undefined;
  let i = skipSpace(source, at + 1);
  while (i < source.length && source[i] === '"') {
    const keyEnd = skipString(source, i);
    const valueAt = skipSpace(source, skipSpace(source, keyEnd) + 1);
    if (JSON.parse(source.slice(i, keyEnd)) === key) found = valueAt;
    i = skipSpace(source, skipValue(source, valueAt));
    if (source[i] !== ',') break;
    i = skipSpace(source, i + 1);
  }
  return found;
}

function skipSpace(source: string, at: number): number {
  let i = at;
  while (i < source.length && source.charCodeAt(i) <= 32) i++;
  return i;
}

/** Position after the text literal that starts at `at`: its end is a quote after an even number of backslashes. */
export function skipString(source: string, at: number): number {
  for (let quote = source.indexOf('"', at + 1); quote >= 0; quote = source.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (source[before] === '\\') before--;
    if ((quote - before) % 2 === 1) return quote + 1;
  }
  return source.length;
}

function skipValue(source: string, at: number): number {
  let depth = 0;
  let i = at;
  while (i < source.length) {
    const character = source[i];
    if (character === '"') {
      i = skipString(source, i);
      if (depth === 0) return i;
      continue;
    }
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      if (depth === 0) return i;
      if (--depth === 0) return i + 1;
    } else if (character === ',' && depth === 0) return i;
    i++;
  }
  return i;
}
