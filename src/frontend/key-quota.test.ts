import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { parseApiKeys } from './api-key-file.ts';
import { KeyQuota } from './key-quota.ts';

function setUp(options: string) {
  const clock = new VirtualClock();
  const limited: string[] = [];
  const [key] = parseApiKeys(`secret name=team ${options}`, 'keys');
  const quota = new KeyQuota(key!, clock, (name, limit) => limited.push(`${name} ${limit}`));
  return { clock, quota, limited, pass: (ms: number) => clock.advanceTo(clock.nowMs() + ms) };
}

describe('a key file', () => {
  test('is read line by line', () => {
    expect(
      parseApiKeys('# ours\n\n sk-1 \nsk-2 name=b concurrency=3 tokens-per-minute=900\r\n', 'keys'),
    ).toEqual([
      { secret: 'sk-1', name: 'line-3', limits: {} },
      { secret: 'sk-2', name: 'b', limits: { concurrency: 3, tokensPerMinute: 900 } },
    ]);
  });

  test.each([
    ['sk-1 sk-2', /line 1: a word after the key/],
    ['sk-1 concurrency=0', /line 1: concurrency= must be a whole number above 0/],
    ['sk-1 name=a"b', /line 1: name= may hold/],
    ['sk-1 name=a\nsk-2 name=a', /line 2: the name a is taken/],
    ['sk-1\nsk-1', /line 2: the key was listed before/],
  ])('is refused, its secrets untold: %j', (text, reason) => {
    const read = () => parseApiKeys(text, 'keys');
    expect(read).toThrow(reason);
    expect(read).not.toThrow(/sk-/);
  });
});

describe('a quota', () => {
  test('bounds requests at once, however often a claim is ended', () => {
    const { quota, limited } = setUp('concurrency=2');
    const [first] = [quota.claim(), quota.claim()];
    expect(() => quota.claim()).toThrow(/2 requests at once of API key team/);
    first!.end(0);
    first!.end(0);
    quota.claim();
    expect(() => quota.claim()).toThrow();
    expect(limited).toEqual(['team concurrency', 'team concurrency']);
  });

  test('gives requests back evenly, never more than a minute of them', () => {
    const { quota, pass } = setUp('requests-per-minute=4');
    for (let i = 0; i < 4; i++) quota.claim();
    expect(() => quota.claim()).toThrow(
      expect.objectContaining({ facts: expect.objectContaining({ retryAfterS: 15 }) }),
    );
    pass(15_000);
    quota.claim();
    expect(() => quota.claim()).toThrow();
    pass(3_600_000);
    for (let i = 0; i < 4; i++) quota.claim();
    expect(() => quota.claim()).toThrow();
  });

  test('charges prompts at once and answers at the end, so that the next request waits', () => {
    const { quota, pass } = setUp('tokens-per-minute=600');
    const first = quota.claim();
    first.prompt(500);
    first.end(700);
    const next = quota.claim();
    expect(() => next.prompt(100)).toThrow(
      expect.objectContaining({ facts: expect.objectContaining({ retryAfterS: 70 }) }),
    );
    pass(70_000);
    next.prompt(100);
  });

  test('lets a prompt of more than a minute through when nothing was used', () => {
    const { quota, pass } = setUp('tokens-per-minute=600');
    quota.claim().prompt(1000);
    expect(() => quota.claim().prompt(1000)).toThrow();
    pass(100_000);
    quota.claim().prompt(1000);
  });
});
