import { describe, expect, test } from 'vitest';
import { RealClock, sleepUntil, VirtualClock } from './clock.ts';

describe('VirtualClock', () => {
  test('fires timers by deadline, then in the order they were set', () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    clock.at(20, () => fired.push(`late at ${clock.nowMs()}`));
    clock.at(10, () => fired.push(`first at ${clock.nowMs()}`));
    clock.at(10, () => fired.push(`second at ${clock.nowMs()}`));
    clock.advanceTo(15);
    expect(fired).toEqual(['first at 10', 'second at 10']);
    expect(clock.nowMs()).toBe(15);
    clock.runUntilIdle();
    expect(fired.at(-1)).toBe('late at 20');
  });

  test('fires timers that timers set, within the same advance', () => {
    const clock = new VirtualClock();
    const fired: number[] = [];
    const tick = (): void => {
      fired.push(clock.nowMs());
      if (fired.length < 3) clock.at(clock.nowMs() + 5, tick);
    };
    clock.at(5, tick);
    clock.advanceTo(12);
    expect(fired).toEqual([5, 10]);
  });

  test('drops a cancelled timer', () => {
    const clock = new VirtualClock();
    let fired = false;
    const cancel = clock.at(1, () => {
      fired = true;
    });
    cancel();
    cancel();
    clock.runUntilIdle();
    expect(fired).toBe(false);
  });

  test('treats a deadline in the past as now', () => {
    const clock = new VirtualClock({ wallOriginMs: 1_000 });
    clock.advanceTo(50);
    let firedAt = -1;
    clock.at(10, () => {
      firedAt = clock.nowMs();
    });
    clock.runUntilIdle();
    expect(firedAt).toBe(50);
    expect(clock.wallMs()).toBe(1_050);
  });
});

describe('sleepUntil', () => {
  test('rejects with the reason of the signal and leaves no timer behind', async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    const sleeping = sleepUntil(clock, 100, stop.signal);
    stop.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await expect(sleepUntil(clock, 100, stop.signal)).rejects.toThrow('enough');
  });

  test('does not wake before its deadline in real time', async () => {
    const clock = new RealClock();
    const deadline = clock.nowMs() + 20;
    await sleepUntil(clock, deadline);
    // Node cuts the fraction off a delay, and may fire a timer up to a millisecond early besides.
    expect(clock.nowMs()).toBeGreaterThan(deadline - 2);
  });
});
