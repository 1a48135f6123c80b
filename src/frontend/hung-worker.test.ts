import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  payloads,
  post,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';
import type { Behaviour } from '../../test/support/openai-engine.ts';
import { eventually } from '../../test/support/until.ts';

cleanUp();

/** Two engines of which the first that is asked behaves as told, once. */
async function startFleet(behave: Behaviour, migrationLimit = 0) {
  const engines = [await startEngine(), await startEngine()] as const;
  const next = [behave];
  for (const engine of engines) engine.next = next;
  const { url, discovery, instances } = await startFrontend({ engines, parts: { migrationLimit } });
  const asked = () => engines.findIndex(({ seen }) => seen.length > 0);
  /** Waits for the request to arrive, and tells that the engine that has it is gone. */
  const lose = async (hangs: boolean): Promise<number> => {
    await eventually('an engine is asked', () => asked() >= 0);
    const first = asked();
    engines[first]!.hangs = hangs;
    discovery.remove(instances[first]!.workerId);
    return first;
  };
  return { url, engines, lose };
}

describe('a request whose worker hangs', () => {
  test('is answered by another once the worker is known to be gone', async () => {
    const { url, engines, lose } = await startFleet('never answer');
    const answer = post(url, '/v1/chat/completions', CHAT);
    const first = await lose(true);
    expect((await answer).status).toBe(200);
    expect(engines[1 - first]!.seen).toHaveLength(1);
  });

  test('is gone on with by another in the middle of its answer', async () => {
    const { url, lose } = await startFleet('never end', 1);
    const answer = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 5 });
    await lose(true);
    const events = payloads(await answer.text());
    const text = events.slice(0, -1).map((event) => JSON.parse(event).choices[0]?.delta.content ?? '');
    expect(text.join('')).toBe('w0 w1 w0 w1 w2 ');
    expect(events.at(-1)).toBe('[DONE]');
  });

  test('stays with a worker that only drains', async () => {
    const { url, engines, lose } = await startFleet('answer');
    for (const engine of engines) engine.delayMs = 100;
    const answer = post(url, '/v1/chat/completions', CHAT);
    const first = await lose(false);
    expect((await answer).status).toBe(200);
    expect(engines.map(({ seen }) => seen.length)).toEqual(first === 0 ? [1, 0] : [0, 1]);
  });

  test('is left to the time limits where no other could go on with it', async () => {
    const { url, engines, lose } = await startFleet('never end');
    const answer = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 5 });
    const first = await lose(true);
    const text = await answer.text();
    expect(text).toContain('the next part of its answer');
    expect(engines[1 - first]!.seen).toHaveLength(0);
  });
});
