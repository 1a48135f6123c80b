import { describe, expect, test } from 'vitest';
import { CHAT, cleanUp, post, startEngine, startFrontend } from '../../test/support/frontend-setup.ts';
import { VirtualClock } from '../base/clock.ts';
import { readSession } from '../formats/openai/session.ts';
import type { HintSource } from '../metrics/frontend-metrics.ts';
import { type AgentHintOptions, AgentHintReader } from './agent-hints.ts';

cleanUp();

const NO_SESSION = { id: undefined, final: false };
const none = (): undefined => undefined;

function readerOf(options: Partial<AgentHintOptions> = {}) {
  const sources: HintSource[] = [];
  const reader = new AgentHintReader(
    { strict: false, lowIsUrgent: false, maxSensitivity: 1000, ...options },
    new VirtualClock(),
    (source) => sources.push(source),
  );
  return { reader, sources };
}

describe('the hints of a request', () => {
  test('turn a total of calls into calls left', () => {
    const { reader } = readerOf();
    const nvext = { annotations: ['prefix_id:run', 'total_requests:3', 'iat:HIGH'] };
    const calls = [1, 2, 3].map(() => reader.read(nvext, none, NO_SESSION).conversation);
    expect(calls.map((call) => call?.remainingCalls)).toEqual([2, 1, 0]);
    expect(calls[0]).toEqual({ prefixId: 'run', remainingCalls: 2, interarrivalMs: 750 });
  });

  test('have the polarity of priority that was set', () => {
    const nvext = { agent_hints: { priority: 998, latency_sensitivity: 2 } };
    expect(readerOf().reader.read(nvext, none, NO_SESSION).priority).toBe(998);
    expect(readerOf({ lowIsUrgent: true }).reader.read(nvext, none, NO_SESSION).priority).toBe(2);
    const only = { agent_hints: { latency_sensitivity: 5 } };
    expect(readerOf({ lowIsUrgent: true }).reader.read(only, none, NO_SESSION).priority).toBe(5);
  });

  test('are filled in from a prediction where they say nothing themselves', () => {
    const asked: unknown[] = [];
    const { reader, sources } = readerOf({
      predict: (path, callIndex) => {
        asked.push([path, callIndex]);
        return { remainingCalls: 4, interarrivalMs: 120, outputTokens: 77, latencySensitivity: 5 };
      },
    });
    const nvext = { annotations: ['prefix_id:p', 'function_path:a/b', 'osl:9'] };
    expect(reader.read(nvext, none, NO_SESSION)).toEqual({
      priority: 5,
      expectedOutputTokens: 9,
      conversation: { prefixId: 'p', remainingCalls: 4, interarrivalMs: 120 },
    });
    reader.read(nvext, none, NO_SESSION);
    reader.read({ annotations: ['prefix_id:p', 'call_index:9'] }, none, NO_SESSION);
    reader.read(undefined, none, NO_SESSION);
    expect(asked).toEqual([
      [['a', 'b'], 1],
      [['a', 'b'], 2],
      [[], 9],
    ]);
    expect(sources.filter((source) => source === 'prediction')).toHaveLength(3);
  });

  test('make a session a conversation that goes on until it says that it ends', () => {
    const { reader } = readerOf();
    const left = (final: boolean) =>
      reader.read(undefined, none, { id: 's', final }).conversation?.remainingCalls;
    expect([left(false), left(false), left(true)]).toEqual([1, 1, 0]);
  });

  test('are refused where they are beyond their bounds, or strange to Dynamo in strict mode', () => {
    const { reader } = readerOf({ strict: true, maxSensitivity: 5 });
    const read = (agent_hints: Record<string, unknown>) => () =>
      reader.read({ agent_hints }, none, NO_SESSION);
    expect(read({ latency_sensitivity: 6 })).toThrow('6 is above 5');
    expect(read({ prefix_id: 'x' })).toThrow('nvext.agent_hints.prefix_id: is none of priority');
    expect(read({ osl: 3 })().expectedOutputTokens).toBe(3);
  });
});

describe('a session', () => {
  test('is the first that the headers name', () => {
    const read = (headers: Record<string, string>) => readSession((name) => headers[name]);
    expect(read({ 'x-session-id': 'x', 'thread-id': 't' })).toEqual({ id: 't', final: false });
    expect(read({ 'x-claude-code-session-id': 'c', 'thread-id': 't' }).id).toBe('c');
    expect(read({ 'x-claude-code-session-id': 'c', 'x-claude-code-agent-id': 'a' }).id).toBe('c/a');
    expect(
      read({ 'x-dynamo-session-id': 'd', 'x-session-id': 'x', 'x-dynamo-session-final': 'TRUE' }),
    ).toEqual({ id: 'd', final: true });
    expect(read({})).toEqual({ id: undefined, final: false });
  });
});

describe('engines', () => {
  const hinted = { ...CHAT, nvext: { agent_hints: { priority: 3, prefix_id: 'p' }, annotations: ['a:b'] } };

  test.each([
    ['kvasir', 'auto', hinted.nvext],
    ['vllm', 'auto', undefined],
    ['trtllm', 'auto', undefined],
    ['vllm', 'always', hinted.nvext],
    ['kvasir', 'never', undefined],
  ] as const)('%s with nvext forwarded %s', async (kind, nvext, expected) => {
    const engine = await startEngine();
    const { url } = await startFrontend({
      engines: [engine],
      facts: { kind },
      parts: { forwarding: { nvext, priority: false } },
    });
    expect((await post(url, '/v1/chat/completions', hinted)).status).toBe(200);
    expect(engine.seen[0]?.body.nvext).toEqual(expected);
    expect(engine.seen[0]?.body.messages).toEqual(CHAT.messages);
    expect(engine.seen[0]?.body.priority).toBeUndefined();
  });

  test.each([
    ['vllm', -3],
    ['sglang', 3],
    ['openai', undefined],
  ] as const)('%s gets the priority in its own polarity', async (kind, expected) => {
    const engine = await startEngine();
    const { url } = await startFrontend({
      engines: [engine],
      facts: { kind },
      parts: { forwarding: { nvext: 'auto', priority: true } },
    });
    for (const body of [hinted, { ...hinted, priority: 7 }])
      expect((await post(url, '/v1/chat/completions', body)).status).toBe(200);
    expect(engine.seen.map((seen) => seen.body.priority)).toEqual([expected, 7]);
  });

  test('count where hints come from', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine] });
    await post(url, '/v1/chat/completions', hinted);
    await post(url, '/v1/chat/completions', CHAT, { headers: { 'x-prefix-id': 'p' } });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('kvasir_frontend_agent_hints_total{source="agent_hints"} 1');
    expect(metrics).toContain('kvasir_frontend_agent_hints_total{source="headers"} 1');
  });
});
