import { pythonNumber } from './python-number.ts';
import { skipString } from './raw-member.ts';

/**
 * A JSON value as Python's `str()` prints it: texts as they are, everything else as a literal. `source` gives the
 * JSON text that the value was parsed from; it tells `5.0` from `5`, and the order of members that look like numbers.
 */
export function pythonText(value: unknown, source?: () => string): string {
  return typeof value === 'string' ? value : pythonLiteral(source?.() || JSON.stringify(value ?? null));
}

const MARKS: Readonly<Record<string, string>> = {
  ',': ', ',
  ':': ': ',
  '[': '[',
  ']': ']',
  '{': '{',
  '}': '}',
};
const WORDS: Readonly<Record<string, string>> = {
  null: 'None',
  true: 'True',
  false: 'False',
  NaN: 'nan',
  Infinity: 'inf',
  '-Infinity': '-inf',
};

/** One pass over the text: inputs nest as deep, and their texts are as long, as their author likes. */
function pythonLiteral(json: string): string {
  const parts: string[] = [];
  const word = /[^\s,:[\]{}"]+/y;
  for (let i = 0; i < json.length; ) {
    const character = json[i]!;
    const mark = MARKS[character];
    let end = i + 1;
    if (mark !== undefined) parts.push(mark);
    else if (character === '"') {
      end = skipString(json, i);
      parts.push(quoted(JSON.parse(json.slice(i, end)) as string));
    } else if (character > ' ') {
      word.lastIndex = i;
      const [found = character] = word.exec(json) ?? [];
      parts.push(WORDS[found] ?? pythonNumber(found));
      end = i + found.length;
    }
    i = end;
  }
  return parts.join('');
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
