import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { Conversations } from './conversations.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/thompson/processor.json', import.meta.url), 'utf8'),
);

describe('conversations', () => {
  test('have the budgets of the reference’s processor', () => {
    const { calls, out, left } = golden.reuse_budget;
    const conversations = new Conversations(new VirtualClock());
    expect(
      (calls as [string, number][]).map(([id, total]) => conversations.next(id, total).remainingCalls),
    ).toEqual(out);
    expect(conversations.size).toBe(Object.keys(left).length);
  });

  test('number calls whose total nobody tells', () => {
    const conversations = new Conversations(new VirtualClock());
    expect([1, 2].map(() => conversations.next('a'))).toEqual([
      { callIndex: 1, remainingCalls: 0 },
      { callIndex: 2, remainingCalls: 0 },
    ]);
    expect(conversations.next('a', 5)).toEqual({ callIndex: 3, remainingCalls: 2 });
  });

  test('are forgotten when silent for twice their length, or when too many are newer', () => {
    const clock = new VirtualClock();
    const conversations = new Conversations(clock, 2);
    conversations.next('slow', 3, 100_000);
    conversations.next('fast', 3, 10);
    clock.advanceTo(60_000);
    expect(conversations.next('fast', 3, 10).callIndex).toBe(1);
    expect(conversations.next('slow', 3, 100_000).callIndex).toBe(2);
    conversations.next('third', 2);
    expect(conversations.size).toBe(2);
    expect(conversations.next('fast', 3).callIndex).toBe(1);
  });
});
