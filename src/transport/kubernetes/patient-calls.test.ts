import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { PatientCalls } from './patient-calls.ts';

const AWAY = Object.assign(new Error('connect ECONNREFUSED'), { name: 'FetchError' });
const FORBIDDEN = { code: 403, body: { kind: 'Status', message: 'forbidden', reason: 'Forbidden' } };

/** Calls with time that runs as fast as they wait. */
function patience() {
  const clock = new VirtualClock();
  const logged: string[] = [];
  const calls = new PatientCalls({ clock, log: (line) => logged.push(line) });
  /** What each try gives, in turn, the last one for ever; how often it was tried, and for how long. */
  const make = async (action: string, outcomes: readonly unknown[], signal?: AbortSignal) => {
    let tries = 0;
    let settled = false;
    const sinceMs = clock.nowMs();
    const call = async () => {
      const outcome = outcomes[Math.min(tries++, outcomes.length - 1)];
      if (outcome !== 'done') throw outcome;
      return outcome;
    };
    const running = calls
      .make(action, call, signal)
      .catch((thrown: unknown) => thrown)
      .finally(() => {
        settled = true;
      });
    for (let i = 0; i < 10_000 && !settled; i++) {
      clock.advanceTo(clock.nowMs() + 100);
      await new Promise(setImmediate);
    }
    return { outcome: await running, tries, seconds: (clock.nowMs() - sinceMs) / 1000 };
  };
  return { make, logged };
}

describe('calls to an API server', () => {
  test('fail at once while none has been answered', async () => {
    expect(await patience().make('get', [AWAY])).toMatchObject({ outcome: AWAY, tries: 1 });
    expect(await patience().make('get', [FORBIDDEN])).toMatchObject({ outcome: FORBIDDEN, tries: 1 });
  });

  test('wait for one that has answered, minutes long but not for ever', async () => {
    const { make, logged } = patience();
    await make('get', ['done']);
    const back = await make('list', [AWAY, AWAY, { code: 503, body: 'starting' }, 'done']);
    expect(back).toMatchObject({ outcome: 'done', tries: 4 });
    expect(logged).toEqual(['Waiting for the Kubernetes API: connect ECONNREFUSED']);
    const gone = await make('list', [AWAY]);
    expect(gone.outcome).toBe(AWAY);
    expect(gone.seconds).toBeGreaterThanOrEqual(300);
    expect(gone.seconds).toBeLessThan(320);
  });

  test('believe a refusal, unless it was allowed before or the server has just come back', async () => {
    const { make } = patience();
    await make('get', ['done']);
    expect(await make('delete', [FORBIDDEN])).toMatchObject({ outcome: FORBIDDEN, tries: 1 });
    expect(await make('get', [FORBIDDEN, 'done'])).toMatchObject({ outcome: 'done' });
    expect(await make('delete', [AWAY, FORBIDDEN, 'done'])).toMatchObject({ outcome: 'done', tries: 3 });
    const refused = await make('get', [FORBIDDEN]);
    expect(refused.outcome).toBe(FORBIDDEN);
    expect(refused.seconds).toBeLessThan(70);
  });

  test('stop waiting when they are told to', async () => {
    const { make } = patience();
    await make('get', ['done']);
    const reason = new Error('stopped');
    const { outcome } = await make('get', [AWAY], AbortSignal.abort(reason));
    expect(outcome).toBe(reason);
  });
});
