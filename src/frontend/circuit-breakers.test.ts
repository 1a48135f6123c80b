import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { type AttemptEnd, CircuitBreakers } from './circuit-breakers.ts';

const LIMITS = { failures: 3, windowMs: 120_000, openMs: 60_000, successes: 2 };

function setUp(limits = LIMITS) {
  const clock = new VirtualClock();
  const states: string[] = [];
  const circuits = new CircuitBreakers(clock, limits, (worker, state) => states.push(`${worker} ${state}`));
  const send = (worker: string, ...ends: AttemptEnd[]): void => {
    for (const end of ends) {
      circuits.began(worker);
      circuits.ended(worker, end);
    }
  };
  return { clock, circuits, states, send };
}

describe('circuit breakers', () => {
  test('open after failures in a row, each worker on its own', () => {
    const { circuits, states, send } = setUp();
    send('a', 'failed', 'failed');
    send('b', 'failed');
    expect(circuits.leftOut()).toEqual([]);
    send('a', 'failed');
    expect(circuits.leftOut()).toEqual(['a']);
    expect(circuits.of('a')).toEqual({ state: 'open', failuresInRow: 3, retryInMs: 60_000 });
    expect(circuits.of('b')).toMatchObject({ state: 'closed', failuresInRow: 1 });
    expect(states).toEqual(['a open']);
  });

  test('count neither busy workers nor clients that leave, and forget failures at a success', () => {
    const { circuits, send } = setUp();
    send('a', 'failed', 'failed', 'refused', 'cancelled', 'refused', 'done', 'failed', 'failed');
    expect(circuits.of('a').state).toBe('closed');
  });

  test('forget failures that lie further apart than the window', () => {
    const { clock, circuits, send } = setUp();
    send('a', 'failed', 'failed');
    clock.advanceTo(clock.nowMs() + 120_001);
    send('a', 'failed', 'failed');
    expect(circuits.of('a').state).toBe('closed');
    send('a', 'failed');
    expect(circuits.of('a').state).toBe('open');
  });

  test('try a worker again with one request at a time, and close after enough successes', () => {
    const { clock, circuits, states, send } = setUp();
    send('a', 'failed', 'failed', 'failed');
    clock.advanceTo(clock.nowMs() + 59_999);
    expect(circuits.leftOut()).toEqual(['a']);
    clock.advanceTo(clock.nowMs() + 1);
    expect(circuits.leftOut()).toEqual([]);
    circuits.began('a');
    expect(circuits.leftOut()).toEqual(['a']);
    circuits.ended('a', 'done');
    expect(circuits.leftOut()).toEqual([]);
    send('a', 'done');
    expect(states).toEqual(['a open', 'a half_open', 'a closed']);
    expect(circuits.of('a')).toEqual({ state: 'closed', failuresInRow: 0, retryInMs: 0 });
  });

  test('open again at the first failure on trial', () => {
    const { clock, circuits, states, send } = setUp();
    send('a', 'failed', 'failed', 'failed');
    clock.advanceTo(clock.nowMs() + 60_000);
    send('a', 'done', 'failed');
    expect(states).toEqual(['a open', 'a half_open', 'a open']);
    clock.advanceTo(clock.nowMs() + 60_000);
    send('a', 'done');
    expect(circuits.of('a').state).toBe('half_open');
  });

  test('do not wait for ever for a trial that never ends, nor close for answers begun before', () => {
    const { clock, circuits, send } = setUp();
    send('a', 'failed', 'failed', 'failed');
    send('a', 'done');
    expect(circuits.of('a').state).toBe('open');
    clock.advanceTo(clock.nowMs() + 60_000);
    circuits.began('a');
    clock.advanceTo(clock.nowMs() + 60_000);
    expect(circuits.leftOut()).toEqual([]);
  });

  test('start anew with a worker that comes back, and stay closed when switched off', () => {
    const { circuits, send } = setUp();
    send('a', 'failed', 'failed', 'failed');
    circuits.remove('a');
    expect(circuits.leftOut()).toEqual([]);
    expect(circuits.of('a').failuresInRow).toBe(0);
    const off = setUp({ ...LIMITS, failures: 0 });
    off.send('a', 'failed', 'failed', 'failed', 'failed');
    expect(off.circuits.leftOut()).toEqual([]);
  });
});
