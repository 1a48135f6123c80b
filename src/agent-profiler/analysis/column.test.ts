import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byCodePoint, Column, cutCodePoints, Names } from './column.ts';

// Units below, among and above the surrogates, so that an order by units shows.
const character = fc.constantFrom(
  '',
  'a',
  'b',
  'é',
  '日',
  '\ud7ff',
  '\ue000',
  '～',
  '😀',
  '😁',
  '\u{10ffff}',
);
const text = fc.array(character, { maxLength: 8 }).map((characters) => characters.join(''));

test('a column is a list, and in ascending order each value has all smaller ones before it', () => {
  const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 300 });
  const property = fc.property(values, (list) => {
    const column = new Column();
    for (const value of list) column.push(value);
    expect([column.length, ...column.view()]).toEqual([list.length, ...list]);
    for (const [i, value] of list.entries()) expect(column.at(i)).toBe(value);
    const ascending = [...column.ascending()];
    for (const [i, value] of ascending.entries()) {
      const smaller = list.filter((other) => other < value).length;
      const notLarger = list.filter((other) => other <= value).length;
      expect(i >= smaller && i < notLarger).toBe(true);
    }
    expect(ascending).toHaveLength(list.length);
    expect([...column.view()]).toEqual(list);
  });
  fc.assert(property, { numRuns: 100 });
});

test('names have one number each, counted from 0 as they come', () => {
  const property = fc.property(fc.array(text, { maxLength: 20 }), (list) => {
    const names = new Names();
    const distinct = [...new Set(list)];
    expect(list.map((name) => names.id(name))).toEqual(list.map((name) => distinct.indexOf(name)));
    expect(distinct.map((_, id) => names.name(id))).toEqual(distinct);
    expect(names.size).toBe(distinct.length);
  });
  fc.assert(property, { numRuns: 100 });
});

test('texts stand in the order of their code points, which UTF-8 keeps', () => {
  const property = fc.property(text, text, (a, b) => {
    expect(Math.sign(byCodePoint(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
  });
  fc.assert(property, { numRuns: 1000 });
});

test('a text is cut between code points', () => {
  const property = fc.property(text, fc.nat(10), (whole, limit) => {
    expect(cutCodePoints(whole, limit)).toBe([...whole].slice(0, limit).join(''));
  });
  fc.assert(property, { numRuns: 500 });
});
