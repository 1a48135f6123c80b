import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pythonText } from './python-text.ts';

/** A value with both its spellings. */
interface Spelt {
  readonly json: string;
  readonly python: string;
}

const word = fc.constantFrom(
  { json: 'null', python: 'None' },
  { json: 'true', python: 'True' },
  { json: 'false', python: 'False' },
  { json: '5', python: '5' },
  { json: '5.0', python: '5.0' },
  { json: '-0', python: '0' },
  { json: '-0.0', python: '-0.0' },
  { json: '1e3', python: '1000.0' },
  { json: '5E-8', python: '5e-08' },
  { json: '0.0001', python: '0.0001' },
  { json: '1e16', python: '1e+16' },
  { json: '12345678901234567890', python: '12345678901234567890' },
  { json: '-7.25', python: '-7.25' },
);

/** Characters as JSON escapes them, and as Python's repr shows them between single quotes. */
const character = fc.constantFrom(
  { json: 'a', python: 'a' },
  { json: '7', python: '7' },
  { json: ', ', python: ', ' },
  { json: ':[{', python: ':[{' },
  { json: "'", python: "\\'" },
  { json: '\\"', python: '"' },
  { json: '\\\\', python: '\\\\' },
  { json: '\\n', python: '\\n' },
  { json: '\\t', python: '\\t' },
  { json: '\\r', python: '\\r' },
  { json: '\\u0007', python: '\\x07' },
  { json: '\\b', python: '\\x08' },
  { json: '\\/', python: '/' },
  { json: '\u007f', python: '\\x7f' },
  { json: '\u00a0', python: '\\xa0' },
  { json: 'é', python: 'é' },
  { json: '\\u65e5', python: '日' },
  { json: '\u200b', python: '\\u200b' },
  { json: '\ue000', python: '\\ue000' },
  { json: '😀', python: '😀' },
  { json: '\\ud83d\\ude00', python: '😀' },
  { json: '\u{1fffe}', python: '\\U0001fffe' },
  { json: '\u{10ffff}', python: '\\U0010ffff' },
);

const text = fc.array(character, { maxLength: 6 }).map((characters): Spelt => {
  const json = characters.map((c) => c.json).join('');
  const python = characters.map((c) => c.python).join('');
  // Double quotes stand around what has single ones only.
  const isDouble = python.includes("\\'") && !python.includes('"');
  return { json: `"${json}"`, python: isDouble ? `"${python.replaceAll("\\'", "'")}"` : `'${python}'` };
});

const name = fc.oneof(
  text,
  fc.constantFrom('2', '1', '10', '__proto__').map((key) => ({ json: `"${key}"`, python: `'${key}'` })),
);

const { value } = fc.letrec<{ value: Spelt }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    word,
    text,
    fc.tuple(fc.array(tie('value'), { maxLength: 4 }), fc.constantFrom(',', ' ,\n')).map(
      ([items, comma]): Spelt => ({
        json: `[${items.map(({ json }) => json).join(comma)}]`,
        python: `[${items.map(({ python }) => python).join(', ')}]`,
      }),
    ),
    fc.uniqueArray(fc.tuple(name, tie('value')), { maxLength: 4, selector: ([key]) => key.python }).map(
      (members): Spelt => ({
        json: `{ ${members.map(([key, member]) => `${key.json} :${member.json}`).join(',')}}`,
        python: `{${members.map(([key, member]) => `${key.python}: ${member.python}`).join(', ')}}`,
      }),
    ),
  ),
}));

test('a value is spelt as Python spells it, members in the order of the file and numbers as written', () => {
  const property = fc.property(value, ({ json, python }) => {
    const parsed: unknown = JSON.parse(json);
    expect(pythonText(parsed, () => json)).toBe(typeof parsed === 'string' ? parsed : python);
  });
  fc.assert(property, { numRuns: 1000 });
});
