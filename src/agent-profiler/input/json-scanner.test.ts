import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rawRow } from '../../../test/support/golden-traces.ts';
import { JsonScanner, type ScanHandler } from './json-scanner.ts';
import { rawMember } from './raw-member.ts';
import { TraceReader } from './trace-reader.ts';

const key = fc.oneof(
  fc.constantFrom('', 'a', '1', '"', '\\', '日本', 'intermediate_steps', '__proto__', 'constructor'),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom(null, true, false, 0, -1, 0.5, 1e21, '', '"', '\\"', ']}', '[{,:', '\n'),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary', maxLength: 6 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3 }),
  ),
}));

/** How a program may write JSON: indented or not, and with or without escapes beyond ASCII. */
const style = fc.record({ indent: fc.constantFrom(0, 1, 2, '\t'), ascii: fc.boolean(), crlf: fc.boolean() });
type Style = typeof style extends fc.Arbitrary<infer S> ? S : never;

function written(value: unknown, { indent, ascii, crlf }: Style): string {
  const text = JSON.stringify(value, null, indent);
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const plain = ascii ? text.replace(/[\u0080-\uffff]/g, escaped) : text;
  return crlf ? plain.replaceAll('\n', '\r\n') : plain;
}

/** Cuts anywhere, in the middle of a character too; a cut drawn twice makes an empty piece. */
const share = fc.nat(999).map((n) => n / 1000);
const cuts = fc.array(share, { maxLength: 12 });

function feed(
  reader: { push(chunk: Uint8Array): void; end(): void },
  text: string,
  at: readonly number[],
): void {
  const bytes = Buffer.from(text);
  const places = [0, ...at.map((part) => Math.floor(part * bytes.length)), bytes.length].sort(
    (a, b) => a - b,
  );
  for (let i = 1; i < places.length; i++) reader.push(bytes.subarray(places[i - 1], places[i]));
  reader.end();
}

/** Puts together again what the scanner takes apart. */
class Assembled implements ScanHandler {
  readonly top: unknown[] = [];
  readonly faults: string[] = [];
  #list: unknown[] | undefined;
  #steps: unknown[] | undefined;
  #isInside = false;

  openList(insideObject: boolean): void {
    this.#list = [];
    this.#isInside = insideObject;
  }

  element(text: string): void {
    (this.#list ?? this.top).push(JSON.parse(text));
  }

  closeList(): void {
    if (this.#isInside) this.#steps = this.#list;
    else this.top.push(this.#list);
    this.#list = undefined;
  }

  object(members: ReadonlyMap<string, string>): void {
    const steps = this.#steps;
    this.#steps = undefined;
    this.top.push(
      Object.fromEntries(
        [...members].map(([name, text]) => [
          name,
          name === 'intermediate_steps' && steps !== undefined ? steps : JSON.parse(text),
        ]),
      ),
    );
  }

  closeTop(): void {}

  fault(line: number, reason: string): void {
    this.faults.push(`${line}: ${reason}`);
  }
}

describe('the scanner', () => {
  test('takes apart what JSON.parse reads, wherever the bytes are cut', () => {
    const property = fc.property(fc.array(json, { maxLength: 4 }), style, cuts, (values, how, at) => {
      const text = written(values, how);
      const handler = new Assembled();
      feed(new JsonScanner(handler), text, at);
      expect(handler.faults).toEqual([]);
      expect(JSON.stringify(handler.top)).toBe(JSON.stringify(JSON.parse(text)));
    });
    fc.assert(property, { numRuns: 1000 });
  });

  test('takes apart values that follow each other', () => {
    const one = fc.oneof(
      fc.dictionary(key, json, { maxKeys: 3 }),
      fc.constantFrom(12, -3.5, true, null, 'a b'),
    );
    const between = fc.constantFrom(' ', '\n', '\r\n\r\n');
    const property = fc.property(
      fc.array(one, { maxLength: 4 }),
      between,
      style,
      cuts,
      (values, space, how, at) => {
        const handler = new Assembled();
        feed(new JsonScanner(handler), values.map((value) => written(value, how)).join(space), at);
        expect(handler.faults).toEqual([]);
        expect(JSON.stringify(handler.top)).toBe(JSON.stringify(values));
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  /** JSON with some of what holds it together replaced, or such characters alone. */
  const mark = fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\n', '\\', 'x', ' ');
  const damages = fc.array(fc.tuple(share, mark), { minLength: 1, maxLength: 3 });
  const element = fc.oneof(json, fc.dictionary(key, json, { minKeys: 1, maxKeys: 2 }));
  const lists = fc.array(fc.array(element, { maxLength: 3 }), { maxLength: 3 });
  const damaged = fc.tuple(lists, style, damages).map(([values, how, drawn]) =>
    drawn.reduce(
      (text, [where, character]) => {
        const marks = [...text.matchAll(/[[\]{}",:]/g)].map(({ index }) => index);
        const place = marks[Math.floor(where * marks.length)] ?? 0;
        return text.slice(0, place) + character + text.slice(place + 1);
      },
      written(values, how),
    ),
  );
  const soup = fc.array(mark, { maxLength: 30 }).map((marks) => marks.join(''));

  function callsFor(text: string, places: readonly number[]): readonly unknown[] {
    const calls: unknown[] = [];
    const note = (...call: unknown[]) => {
      // A scanner that does not get on would fill the memory.
      if (calls.push(call) > 1000) throw new Error('the scanner turns in circles');
    };
    const handler: ScanHandler = {
      openList: (...more) => note('open', ...more),
      element: (...more) => note('element', ...more),
      closeList: () => note('close'),
      object: (members, line) => note('object', [...members], line),
      closeTop: () => note('top'),
      fault: (...more) => note('fault', ...more),
    };
    feed(new JsonScanner(handler), text, places);
    return calls;
  }

  test('makes the same of broken text, wherever the bytes are cut', () => {
    const text = fc
      .tuple(fc.constantFrom('', '\ufeff'), fc.oneof(damaged, soup))
      .map(([before, rest]) => before + rest);
    const property = fc.property(text, cuts, (broken, at) => {
      const whole = callsFor(broken, []);
      expect(callsFor(broken, at)).toEqual(whole);
      expect(
        callsFor(
          broken,
          Array.from(broken, (_, i) => i / broken.length),
        ),
      ).toEqual(whole);
    });
    fc.assert(property, { numRuns: 1500 });
  });
});

describe('the trace reader', () => {
  const event = fc
    .record({
      timeS: fc.nat(9),
      type: fc.constantFrom('LLM_START', 'TOOL_END', 'SPAN_CHUNK'),
      input: json,
      extra: fc.dictionary(key, json, { maxKeys: 2 }),
    })
    .map(({ timeS, type, input, extra }): object => ({
      ...extra,
      ...rawRow([type, timeS, '日', { input }]),
    }));
  const steps = fc.array(event, { maxLength: 3 });
  const otherKey = key.filter((name) => name !== 'intermediate_steps');
  /** Other members of an item stand before and after its steps. */
  const item = fc
    .tuple(
      fc.dictionary(otherKey, json, { maxKeys: 2 }),
      steps,
      fc.dictionary(otherKey, json, { maxKeys: 2 }),
    )
    .map(([before, list, after]) => ({
      ...before,
      intermediate_steps: list,
      ...after,
      intermediate_steps2: 1,
    }));

  test('has of each request the events that JSON.parse finds, wherever the bytes are cut', () => {
    const requests = fc.oneof(fc.array(steps, { maxLength: 3 }), fc.array(item, { maxLength: 3 }));
    const property = fc.property(requests, style, cuts, (drawn, how, at) => {
      const text = written(drawn, how);
      const reader = new TraceReader((fault) => expect.fail(`line ${fault.line}: ${fault.reason}`));
      feed(reader, text, at);
      const read = reader.take().map(({ events }) => events.map(({ raw }) => raw));
      const parsed = JSON.parse(text) as ({ intermediate_steps: unknown } | unknown[])[];
      const expected = parsed.map((one) => {
        const list = Array.isArray(one) ? one : one.intermediate_steps;
        return Array.isArray(list) ? list : [];
      });
      expect(JSON.stringify(read)).toBe(JSON.stringify(expected));
    });
    fc.assert(property, { numRuns: 500 });
  });
});

test('a member of a text is found where JSON.parse finds it', () => {
  // By place among the members at each level, so that most paths lead somewhere.
  const places = fc.array(fc.nat(3), { maxLength: 3 });
  const object = fc.dictionary(key, json, { minKeys: 1, maxKeys: 3 });
  const property = fc.property(object, places, style, (value, picks, how) => {
    const text = written(value, how);
    const path: string[] = [];
    let expected: unknown = JSON.parse(text);
    for (const pick of picks) {
      const members = typeof expected === 'object' && !Array.isArray(expected) ? (expected ?? {}) : {};
      const [name, member] = Object.entries(members)[pick] ?? ['nowhere', undefined];
      path.push(name);
      expected = member;
    }
    const found = rawMember(text, path);
    expect(found && JSON.stringify(JSON.parse(found))).toBe(
      expected === undefined ? undefined : JSON.stringify(expected),
    );
  });
  fc.assert(property, { numRuns: 1000 });
  expect(rawMember('{"a": 1, "a": 2}', ['a'])).toBe('2');
});
