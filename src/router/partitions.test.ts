import { describe, expect, test } from 'vitest';
import { keyOf, nameOf, type PartitionKey, Partitions } from './partitions.ts';

const key = (modelName: string, routingGroup = 'default'): PartitionKey => ({ modelName, routingGroup });

describe('partitions', () => {
  test('are made once, with the block size of the first', () => {
    const made: string[] = [];
    const partitions = new Partitions((each) => made.push(nameOf(each)));
    expect(partitions.open(key('m'), 16)).toBe(partitions.open(key('m'), 16));
    partitions.open(key('m', 'g'), 32);
    expect(made).toEqual(['m:default', 'm:g']);
    expect(() => partitions.open(key('m'), 32)).toThrow(/16 tokens, not 32/);
    expect(() => partitions.require(key('x'))).toThrow(/model x/);
    partitions.close(key('m'));
    expect(partitions.open(key('m'), 32).blockSize).toBe(32);
  });

  test('are found by what is known of their key, in the order of names', () => {
    const partitions = new Partitions(() => 0);
    for (const [model, group] of [
      ['b', 'x'],
      ['a', 'y'],
      ['a', 'x'],
    ] as const)
      partitions.open(key(model, group), 1);
    const names = (filter: Partial<PartitionKey>) =>
      partitions.matching(filter).map((entry) => nameOf(entry.key));
    expect(names({})).toEqual(['a:x', 'a:y', 'b:x']);
    expect(names({ modelName: 'a' })).toEqual(['a:x', 'a:y']);
    expect(names({ routingGroup: 'x' })).toEqual(['a:x', 'b:x']);
    expect(names({ modelName: 'b', routingGroup: 'y' })).toEqual([]);
  });

  test('are 1024 at the most', () => {
    const partitions = new Partitions(() => 0);
    for (let i = 0; i < 1024; i++) partitions.open(key(`m${i}`), 1);
    expect(() => partitions.open(key('one more'), 1)).toThrow(/1024/);
    expect(partitions.open(key('m7'), 1).key.modelName).toBe('m7');
    partitions.close(key('m7'));
    partitions.open(key('one more'), 1);
    expect(partitions.size).toBe(1024);
  });

  test('keep their names through dumps, colons in models and all', () => {
    for (const each of [key('m'), key('org/model:q4', 'g'), key('a:b:c', 'default')])
      expect(keyOf(nameOf(each))).toEqual(each);
    expect(keyOf('bare')).toEqual(key('bare'));
  });
});
