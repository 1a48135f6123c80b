import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type PeerRequest,
  type SsePeer,
  sendEvents,
  startSsePeer,
  streamAnswer,
  wait,
} from '../../test/support/sse-peer.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { OpenAiTarget, type OpenAiTargetOptions } from './openai-target.ts';
import { PromptWriter } from './prompt-words.ts';
import { runLoad } from './run-load.ts';
import { syntheticPlan } from './synthetic-plan.ts';
import { tracePlan } from './trace-plan.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function peer(
  answer: (request: PeerRequest, response: ServerResponse, index: number) => Promise<void> | void,
): Promise<SsePeer> {
  const started = await startSsePeer(answer);
  stops.push(() => started.stop());
  return started;
}

function targetOf(url: string, options: Partial<OpenAiTargetOptions> = {}): OpenAiTarget {
  const target = new OpenAiTarget({
    url,
    model: 'm',
    form: 'token-ids',
    ignoreEos: true,
    continuousUsage: false,
    extra: {},
    writer: new PromptWriter({ seed: 1 }),
    ...options,
  });
  stops.push(() => target.stop());
  return target;
}

const echo = (chunks: readonly number[]) => (request: PeerRequest, response: ServerResponse) => {
  const promptTokens = (request.body.prompt as unknown[]).length;
  return streamAnswer(response, { chunks, promptTokens, cachedTokens: 16, ttftMs: 5 });
};

const sessionsTrace = (rows: readonly object[]) =>
  parseTrace(
    rows.map((row) => JSON.stringify({ input_length: 20, output_length: 2, hash_ids: [1], ...row })),
    { blockSize: 32 },
  );

describe('a closed loop', () => {
  test('keeps exactly so many requests in flight and measures each', async () => {
    const server = await peer(echo([1, 1, 1]));
    const plan = syntheticPlan({ requests: 12, isl: 100, osl: 3, concurrency: 3 });
    const run = await runLoad(plan, targetOf(server.url));
    expect(server.peakOpen).toBe(3);
    expect(run).toMatchObject({ loop: 'closed', planned: 12, interrupted: false });
    expect(run.records.map((record) => record.index).sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
    for (const record of run.records) {
      expect(record).toMatchObject({
        outcome: 'completed',
        status: 200,
        finishReason: 'length',
        usage: { promptTokens: 100, completionTokens: 3, cachedTokens: 16 },
        chunkTokens: [1, 1, 1],
        tokenSource: 'one-each',
        intendedMs: undefined,
      });
      expect(record.chunkMs[0]! - record.sentMs).toBeGreaterThanOrEqual(4);
      expect(record.wroteMs).toBeGreaterThanOrEqual(record.sentMs);
      expect(record.endMs).toBeGreaterThanOrEqual(record.lastDataMs!);
    }
    expect(server.requests[0]).toMatchObject({
      path: '/v1/completions',
      body: {
        model: 'm',
        stream: true,
        stream_options: { include_usage: true },
        max_tokens: 3,
        ignore_eos: true,
      },
    });
    expect(server.requests[0]?.headers['x-request-id']).toBe('request-0');
  });

  test('lets a session keep its slot while it thinks', async () => {
    const server = await peer(echo([1]));
    const trace = sessionsTrace([
      { session_id: 'a', timestamp: 0 },
      { session_id: 'a', delay: 60 },
      { session_id: 'b', timestamp: 0 },
    ]);
    const run = await runLoad(tracePlan(trace, { concurrency: 1 }), targetOf(server.url));
    expect(run.records.map(({ sessionId, turn }) => `${sessionId}${turn}`)).toEqual(['a0', 'a1', 'b0']);
    const [first, second] = run.records;
    expect(second!.sentMs - first!.endMs).toBeGreaterThanOrEqual(60);
  });
});

describe('an open loop', () => {
  test('sends on absolute deadlines, whatever the answers take', async () => {
    const server = await peer(async (_, response) => {
      await wait(150);
      await streamAnswer(response, { chunks: [1] });
    });
    const trace = sessionsTrace([0, 100, 200, 300].map((timestamp) => ({ timestamp })));
    const run = await runLoad(tracePlan(trace, { speedup: 2 }), targetOf(server.url));
    const records = [...run.records].sort((a, b) => a.index - b.index);
    expect(records.map((record) => record.intendedMs)).toEqual([0, 50, 100, 150]);
    for (const record of records) expect(record.sentMs).toBeGreaterThanOrEqual(record.intendedMs!);
    expect(server.peakOpen).toBeGreaterThan(2);
  });

  test('starts a later turn its delay after the turn before, which counts as intended', async () => {
    const server = await peer(echo([1]));
    const trace = sessionsTrace([
      { session_id: 'a', timestamp: 0 },
      { session_id: 'a', delay: 40 },
    ]);
    const run = await runLoad(tracePlan(trace), targetOf(server.url));
    expect(run.records[1]?.intendedMs).toBe(run.records[0]!.endMs + 40);
  });

  test('drops what exceeds the cap and says so', async () => {
    const server = await peer(async (_, response) => {
      await wait(50);
      await streamAnswer(response, { chunks: [1] });
    });
    const arrival = { kind: 'burst' } as const;
    const plan = syntheticPlan({ requests: 500, isl: 8, osl: 1, arrival, maxInFlight: 4 });
    const run = await runLoad(plan, targetOf(server.url));
    const count = (outcome: string) => run.records.filter((record) => record.outcome === outcome).length;
    expect([count('completed'), count('dropped')]).toEqual([4, 496]);
    expect(run.records.find((record) => record.outcome === 'dropped')?.error).toBe(
      'dropped: 4 requests in flight',
    );
  });

  test('makes a semaphore behind the arrivals count as send lag', async () => {
    const server = await peer(async (_, response) => {
      await wait(40);
      await streamAnswer(response, { chunks: [1] });
    });
    const arrival = { kind: 'burst' } as const;
    const run = await runLoad(
      syntheticPlan({ requests: 3, isl: 8, osl: 1, arrival, concurrency: 1 }),
      targetOf(server.url),
    );
    expect(server.peakOpen).toBe(1);
    expect(run.records[2]!.sentMs - run.records[2]!.intendedMs!).toBeGreaterThanOrEqual(80);
  });
});

describe('what goes wrong', () => {
  test('is recorded request by request, and the run goes on', async () => {
    const answers: Record<number, (response: ServerResponse) => void> = {
      0: (response) =>
        response
          .writeHead(429, { 'content-type': 'application/json' })
          .end('{"error":{"message":"slow down"}}'),
      1: (response) => {
        sendEvents(
          response,
          { choices: [{ index: 0, text: 'a' }] },
          { error: { message: 'out of memory' } },
          '[DONE]',
        );
        response.end();
      },
      2: (response) => {
        sendEvents(response, { choices: [{ index: 0, text: 'a', finish_reason: null }] });
        setTimeout(() => response.destroy(), 20);
      },
      3: (response) => {
        sendEvents(response, { choices: [{ index: 0, text: 'a', finish_reason: null }] });
        response.end();
      },
      4: (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}'),
      5: (response) => void streamAnswer(response, { chunks: [1] }),
      6: (response) => {
        sendEvents(response, '{"usage":{oops');
        response.end();
      },
      7: () => {},
    };
    const server = await peer((_, response, index) => answers[index]?.(response));
    const plan = syntheticPlan({ requests: 8, isl: 8, osl: 1, concurrency: 1 });
    const run = await runLoad(plan, targetOf(server.url, { timeoutMs: 200 }));
    expect(
      run.records.map(({ outcome, status, error, chunkMs }) => [outcome, status, error, chunkMs.length]),
    ).toEqual([
      ['failed', 429, 'HTTP 429: slow down', 0],
      ['failed', 200, 'out of memory', 1],
      ['failed', 200, expect.stringMatching(/closed|terminated/), 1],
      ['failed', 200, 'the stream ended early, without a finish reason', 1],
      ['failed', 200, 'the answer is not an event stream: {"choices":[]}', 0],
      ['completed', 200, undefined, 1],
      ['failed', 200, 'malformed chunk: {"usage":{oops', 0],
      ['failed', undefined, 'no end within 200 ms', 0],
    ]);
  });

  test('a refused connection names its cause', async () => {
    const server = await startSsePeer(() => {});
    await server.stop();
    const run = await runLoad(syntheticPlan({ requests: 2, isl: 8, osl: 1 }), targetOf(server.url));
    expect(run.records.map(({ outcome, error }) => [outcome, error])).toEqual([
      ['failed', expect.stringContaining('ECONNREFUSED')],
      ['failed', expect.stringContaining('ECONNREFUSED')],
    ]);
  });

  test('a client that hangs up gets a cancelled record with what it had seen', async () => {
    const server = await peer(async (_, response) => {
      sendEvents(response, { choices: [{ index: 0, text: 'a', finish_reason: null }] });
    });
    const plan = syntheticPlan({ requests: 1, isl: 8, osl: 9, cancelShare: 1, cancelAfterMs: 60 });
    const [record] = (await runLoad(plan, targetOf(server.url))).records;
    expect(record).toMatchObject({ outcome: 'cancelled', status: 499, error: 'cancelled after 60 ms' });
    expect(record?.chunkMs).toHaveLength(1);
  });

  test('a signal ends the run and keeps what was seen', async () => {
    const stop = new AbortController();
    const server = await peer((_, response, index) => {
      if (index < 2) return streamAnswer(response, { chunks: [1] });
      stop.abort();
    });
    const plan = syntheticPlan({ requests: 50, isl: 8, osl: 1, concurrency: 1 });
    const run = await runLoad(plan, targetOf(server.url), { signal: stop.signal });
    expect(run.interrupted).toBe(true);
    expect(run.records.map((record) => record.outcome)).toEqual(['completed', 'completed', 'cancelled']);
    expect(run.planned).toBe(50);
  });

  test('a time limit stops sending but lets answers end', async () => {
    const server = await peer(echo([1]));
    const plan = syntheticPlan({ requests: 5000, isl: 8, osl: 1, concurrency: 2, maxDurationMs: 80 });
    const run = await runLoad(plan, targetOf(server.url));
    expect(run.interrupted).toBe(true);
    expect(run.records.length).toBeLessThan(5000);
    expect(run.records.every((record) => record.outcome === 'completed')).toBe(true);
    const lastSentMs = Math.max(...run.records.map((record) => record.sentMs));
    expect(lastSentMs).toBeLessThanOrEqual(100 + run.health.loopDelayMaxMs);
  });
});

describe('tokens per chunk', () => {
  test('are as told chunk by chunk, spread when only the total is told, and one each otherwise', async () => {
    const choice = (text: string) => [{ index: 0, text, finish_reason: text === 'c' ? 'stop' : null }];
    const usage = (completion_tokens: number) => ({ prompt_tokens: 8, completion_tokens });
    const streams = [
      [
        { choices: choice('a'), usage: usage(1) },
        { choices: choice('bbb'), usage: usage(4) },
        { choices: choice('c'), usage: usage(6) },
      ],
      [
        { choices: choice('a') },
        { choices: choice('b') },
        { choices: choice('c') },
        { choices: [], usage: usage(7) },
      ],
      // Usage on the first chunk only, as some engines send it.
      [{ choices: choice('a'), usage: usage(1) }, { choices: choice('b') }, { choices: choice('c') }],
    ];
    const server = await peer((_, response, index) => {
      sendEvents(response, ...streams[index]!, '[DONE]');
      response.end();
    });
    const run = await runLoad(syntheticPlan({ requests: 3, isl: 8, osl: 3 }), targetOf(server.url));
    expect(
      run.records.map(({ chunkTokens, tokenSource, usage: told }) => [
        chunkTokens,
        tokenSource,
        told?.completionTokens,
      ]),
    ).toEqual([
      [[1, 3, 2], 'reported', 6],
      [[2, 2, 3], 'spread', 7],
      [[1, 1, 1], 'one-each', 3],
    ]);
  });

  test('role-only chunks are chunks without tokens, and the worker is named', async () => {
    const server = await peer((_, response) => {
      sendEvents(
        response,
        { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
        { choices: [{ index: 0, delta: { content: 'grün' }, finish_reason: 'stop' }] },
        {
          choices: [],
          usage: { prompt_tokens: 8, completion_tokens: 1 },
          nvext: { worker_id: { decode_worker_id: 7 } },
        },
        '[DONE]',
      );
      response.end();
    });
    const target = targetOf(`${server.url}/v1/`, { form: 'chat', keepText: true });
    const [record] = (await runLoad(syntheticPlan({ requests: 1, isl: 8, osl: 1 }), target)).records;
    expect(record).toMatchObject({ chunkTokens: [0, 1], text: 'grün', worker: '7', outcome: 'completed' });
    expect(server.requests[0]?.path).toBe('/v1/chat/completions');
    expect(server.requests[0]?.body.messages).toEqual([
      { role: 'user', content: expect.stringMatching(/^[\w .]{8}$/) },
    ]);
  });
});
