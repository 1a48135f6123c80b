import { pythonNumber, rawNumbers } from './python-number.ts';

/**
 * A JSON value as Python's `str()` prints it: texts as they are, everything else as a literal.
 * `source` gives the JSON text the value was parsed from; it tells `5.0` from `5`.
 */
export function pythonText(value: unknown, source?: () => string): string {
  if (typeof value === 'string') return value;
  let literals: readonly string[] | undefined;
  let at = 0;
  const number = (n: number): string => {
    if (source !== undefined) literals ??= rawNumbers(source());
    return pythonNumber(literals?.[at++] ?? String(n));
  };
  const parts: string[] = [];
  // A stack instead of recursion: inputs nest as deep as their author likes.
  const todo: (string | { readonly value: unknown })[] = [{ value }];
  while (todo.length > 0) {
    const next = todo.pop()!;
    if (typeof next === 'string') parts.push(next);
    else if (Array.isArray(next.value)) {
      todo.push(']');
      for (let i = next.value.length - 1; i >= 0; i--) {
        todo.push({ value: next.value[i] as unknown });
        if (i > 0) todo.push(', ');
      }
      todo.push('[');
    } else if (typeof next.value === 'object' && next.value !== null) {
      const entries = Object.entries(next.value);
      todo.push('}');
      for (let i = entries.length - 1; i >= 0; i--) {
        const [key, member] = entries[i]!;
        todo.push({ value: member as unknown }, `${i > 0 ? ', ' : ''}${quoted(key)}: `);
      }
      todo.push('{');
    } else parts.push(scalar(next.value, number));
  }
  return parts.join('');
}

function scalar(value: unknown, number: (n: number) => string): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'number') return number(value);
  return quoted(String(value));
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
};

/** A text as a Python literal: single quotes unless only they occur inside, unprintable characters escaped. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\\p{C}\p{Z}']/gu, (character) => {
    if (character === ' ') return character;
    if (character === "'") return quote === "'" ? "\\'" : character;
    const short = SHORT_ESCAPES[character];
    if (short !== undefined) return short;
    const point = character.codePointAt(0)!;
    if (point < 0x100) return `\\x${point.toString(16).padStart(2, '0')}`;
    if (point < 0x10000) return `\\u${point.toString(16).padStart(4, '0')}`;
    return `\\U${point.toString(16).padStart(8, '0')}`;
  });
  return `${quote}${body}${quote}`;
}
