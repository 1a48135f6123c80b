import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import {
  type PeerRequest,
  type SsePeer,
  startSsePeer,
  streamAnswer,
} from '../../../test/support/sse-peer.ts';
import { RealClock } from '../../base/clock.ts';
import { KvasirError } from '../../base/errors.ts';
import { SILENT_LOG } from '../../base/log.ts';
import { resolveSettings } from '../../base/settings.ts';
import { parseTrace } from '../../formats/traces/parse-trace.ts';
import { parseRecordLines } from '../export/record-lines.ts';
import { reportOf } from '../measure/report.ts';
import { consoleTable } from './console-table.ts';
import { writeReports, writeVllmFile } from './files.ts';
import { benchPlan } from './plan.ts';
import { runBench } from './run-bench.ts';
import { reviveFacts, vllmHeader } from './run-facts.ts';
import { BENCH_SETTINGS, type BenchSettings } from './settings.ts';
import { shardOf } from './shard.ts';
import { summaryJson } from './summary-json.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvasir-bench-'));
const peers: SsePeer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.stop();
});
afterAll(() => rmSync(folder, { recursive: true }));

const settingsOf = (flags: Record<string, unknown>): BenchSettings =>
  resolveSettings(BENCH_SETTINGS, { flags, env: {} });

const models = (response: ServerResponse, data: object[]): void => {
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ object: 'list', data }));
};

async function server(
  options: { readonly cards?: object[]; readonly notReadyFor?: number } = {},
): Promise<SsePeer> {
  const { cards = [{ id: 'org/sim', owned_by: 'kvasir' }], notReadyFor = 0 } = options;
  let probes = 0;
  const peer = await startSsePeer((request, response) => {
    if (request.path.endsWith('/v1/models')) {
      if (++probes <= notReadyFor) return void response.writeHead(503).end();
      return models(response, cards);
    }
    const { prompt, messages } = request.body as {
      prompt?: number[] | string;
      messages?: { content: string }[];
    };
    const promptTokens = prompt?.length ?? messages![0]!.content.length;
    const chunks = new Array<number>(Number(request.body.max_tokens)).fill(1);
    return streamAnswer(response, { chunks, promptTokens, cachedTokens: 32, chat: messages !== undefined });
  });
  peers.push(peer);
  return peer;
}

const context = () => ({ clock: new RealClock(), log: SILENT_LOG, signal: new AbortController().signal });
const generations = (peer: SsePeer): readonly PeerRequest[] =>
  peer.requests.filter((request) => request.path !== '/v1/models');

const failureOf = async (run: () => unknown): Promise<string> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof KvasirError) return `${error.message} | ${error.hint}`;
    throw error;
  }
  return 'no error';
};

describe('plans of a bench', () => {
  const plan = (flags: Record<string, unknown>) =>
    benchPlan(settingsOf({ requests: 4, ...flags }), { idPrefix: '' }).main;
  const times = (flags: Record<string, unknown>) => plan(flags).sessions.map((session) => session.atMs);

  test('are a closed loop unless a rate is given', () => {
    expect(plan({ concurrency: 3 })).toMatchObject({ loop: 'closed', concurrency: 3 });
    expect(plan({})).toMatchObject({ loop: 'closed', concurrency: 1 });
    // vLLM: all at once, behind a semaphore.
    expect(plan({ concurrency: 3, rate: 'inf' })).toMatchObject({ loop: 'closed', concurrency: 3 });
    expect(plan({ rate: 'inf' })).toMatchObject({ loop: 'open' });
    expect(plan({ rate: '2', concurrency: 9 })).toMatchObject({ loop: 'open', concurrency: 9 });
  });

  test('take the arrival process from rate, arrival and burstiness', () => {
    expect(times({ rate: '4', arrival: 'constant' })).toEqual([0, 250, 500, 750]);
    expect(times({ arrival: 'burst' })).toEqual([0, 0, 0, 0]);
    expect(times({ rate: '4', seed: 1 })).toEqual(times({ rate: '4', arrival: 'poisson', seed: 1 }));
    expect(times({ rate: '4', burstiness: 2 })).toEqual(
      times({ rate: '4', burstiness: 2, arrival: 'gamma' }),
    );
    const ramp = { rampUpStrategy: 'linear', rampUpStartRps: 1, rampUpEndRps: 100, requests: 200 };
    const gaps = times(ramp).map((time, i, all) => time - (all[i - 1] ?? 0));
    expect(gaps.slice(1, 40).reduce((a, b) => a + b)).toBeGreaterThan(
      5 * gaps.slice(-39).reduce((a, b) => a + b),
    );
  });

  test('may take the prompts of a trace at a rate of their own', () => {
    const rows = [0, 10, 20].map((timestamp, id) =>
      JSON.stringify({ timestamp, input_length: 16, output_length: 1, hash_ids: [id] }),
    );
    const trace = parseTrace(rows, { blockSize: 16 });
    const settings = settingsOf({ rate: '2', arrival: 'constant', concurrency: 5 });
    const { main, requestRate } = benchPlan(settings, { idPrefix: '', trace });
    expect(requestRate).toBe(2);
    expect(main).toMatchObject({ loop: 'open', concurrency: 5 });
    expect(main.sessions.map((session) => session.atMs)).toEqual([0, 500, 1000]);
  });

  test('have vLLM’s ten prefixes of 256 tokens by the name of its data set', () => {
    const { sessions } = plan({ requests: 200, isl: 10, datasetName: 'prefix_repetition' });
    const requests = sessions.map((session) => session.turns[0]!.request);
    expect(requests[0]?.inputLength).toBe(266);
    expect(new Set(requests.map(({ prompt }) => prompt.kind === 'parts' && prompt.parts[0]!.id)).size).toBe(
      10,
    );
  });

  test('have lengths, prefixes and cancellations as asked', () => {
    const { sessions } = plan({
      requests: 300,
      isl: 100,
      osl: 10,
      rangeRatio: 0.5,
      prefixLen: 64,
      prefixes: 2,
      cancelRate: 50,
    });
    const requests = sessions.map((session) => session.turns[0]!.request);
    const inputs = requests.map((request) => request.inputLength);
    expect([Math.min(...inputs), Math.max(...inputs)]).toEqual([114, 214]);
    expect(new Set(requests.map(({ prompt }) => prompt.kind === 'parts' && prompt.parts[0]!.id)).size).toBe(
      2,
    );
    const cancelled = requests.filter((request) => request.cancelAfterMs === 1000).length;
    expect(cancelled).toBeGreaterThan(110);
    expect(cancelled).toBeLessThan(190);
  });

  test('part into shards that add up to the whole', () => {
    const whole = plan({ requests: 10, rate: '5', concurrency: 5 });
    const shards = ['0/3', '1/3', '2/3'].map((shard) => shardOf(whole, shard));
    expect(shards.map((shard) => shard.sessions.length)).toEqual([4, 3, 3]);
    expect(shards.map((shard) => shard.concurrency)).toEqual([2, 2, 1]);
    const sessions = shards.flatMap((shard) => shard.sessions).sort((a, b) => a.atMs - b.atMs);
    expect(sessions).toEqual(whole.sessions);
    expect(() => shardOf(whole, '3/3')).toThrow('--shard: 3/3 is not a shard');
  });

  test.each([
    [{ rate: 'fast' }, '--rate: fast is not a rate'],
    [{ rate: '0' }, '--rate: 0 is not a rate'],
    [{ arrival: 'poisson' }, '--arrival poisson needs a rate'],
    [{ datasetName: 'custom' }, '--dataset-name custom needs a file'],
    [{ rampUpStrategy: 'linear' }, '--ramp-up-strategy needs both ends of the ramp'],
  ])('refuse %j', async (flags, message) => {
    expect(await failureOf(() => plan(flags))).toContain(message);
  });
});

describe('a bench run', () => {
  test('finds the model, warms up, measures and writes every report', async () => {
    const peer = await server({ notReadyFor: 1 });
    const settings = settingsOf({
      url: `${peer.url}/v1`,
      requests: 6,
      isl: 40,
      osl: 4,
      concurrency: 2,
      numWarmups: 2,
      goodput: ['ttft:5000', 'tpot:5000'],
      requestIdPrefix: 'r-',
      extraBody: '{"top_p":0.5}',
      header: ['X-Team: a'],
      apiKey: 'secret-key',
      cacheState: 'cold',
    });
    const result = await runBench(settings, context());
    const { run, report } = result;
    expect(result.facts).toMatchObject({ model: 'org/sim', prompt: 'token-ids', maxConcurrency: 2 });
    expect(report.counts).toMatchObject({ planned: 6, completed: 6, failed: 0 });
    expect(report.cache.kve).toBeCloseTo(32 / 40, 12);
    expect(report.promptError).toEqual({ meanTokens: 0, exactShare: 1 });
    expect(report.goodput?.share).toBe(1);
    const sent = generations(peer);
    expect(sent).toHaveLength(8);
    expect(sent[0]).toMatchObject({
      path: '/v1/completions',
      body: { top_p: 0.5, max_tokens: 4, model: 'org/sim' },
    });
    expect(sent[0]?.headers).toMatchObject({ authorization: 'Bearer secret-key', 'x-team': 'a' });
    expect(
      sent.map((request) => request.headers['x-request-id']).filter((id) => id === 'r-request-0'),
    ).toHaveLength(1);

    const facts = { ...result.facts, startedAt: new Date(2026, 0, 2, 3, 4, 5) };
    const summary = summaryJson(report, facts);
    const files = {
      run,
      report,
      facts,
      summary,
      header: vllmHeader(facts),
      vllm: {},
      config: { url: peer.url },
    };
    const written = await writeReports(join(folder, 'all'), files);
    expect(readdirSync(join(folder, 'all')).sort()).toEqual([
      'benchmarks.json',
      'openai-infqps-concurrency2-sim-20260102-030405.json',
      'profile_export.jsonl',
      'profile_export_aiperf.csv',
      'profile_export_aiperf.json',
      'records.jsonl',
      'report.html',
      'summary.json',
    ]);
    expect(written).toHaveLength(8);
    const read = (name: string): string => readFileSync(join(folder, 'all', name), 'utf8');
    const back = parseRecordLines(read('records.jsonl'));
    expect(back.run.records).toHaveLength(6);
    expect(summaryJson(reportOf(back.run), reviveFacts(back.facts))).toMatchObject({
      completed: 6,
      kve: 0.8,
      max_concurrency: 2,
      request_rate: 'inf',
      date: facts.startedAt.toISOString(),
    });
    expect(JSON.parse(read('summary.json'))).toMatchObject({
      completed: 6,
      kve: 0.8,
      cache_state: 'cold',
      valid: true,
    });
    const html = read('report.html');
    expect(html).toContain('Load test of org/sim');
    expect(html).not.toMatch(/(src|href)=|url\(|@import|<script/);

    const appended = join(folder, 'deep/log.jsonl');
    await writeVllmFile(appended, files, true);
    await writeVllmFile(appended, files, true);
    expect(
      readFileSync(appended, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).completed),
    ).toEqual([6, 6]);
  });

  test('replays a trace whose prompts share exactly what its ids share', async () => {
    const peer = await server();
    const path = join(folder, 'trace.jsonl');
    const row = (timestamp: number, input_length: number, hash_ids: number[]) =>
      JSON.stringify({ timestamp, input_length, output_length: 2, hash_ids });
    writeFileSync(path, [row(1000, 20, [1, 2]), row(1040, 32, [1, 3]), row(1080, 10, [4])].join('\n'));
    const settings = settingsOf({ url: peer.url, trace: path, traceBlockSize: 16, speedup: 2 });
    const { report, facts } = await runBench(settings, context());
    expect(facts.speedup).toBe(2);
    expect(report.records.map((record) => record.intendedMs)).toEqual([0, 20, 40]);
    expect(report.cache.theoreticalKve).toBeCloseTo(16 / 62, 12);
    const [a, b, c] = generations(peer).map((request) => request.body.prompt as number[]) as [
      number[],
      number[],
      number[],
    ];
    expect([a.length, b.length, c.length]).toEqual([20, 32, 10]);
    expect(a.slice(0, 16)).toEqual(b.slice(0, 16));
    expect(a.slice(16)).not.toEqual(b.slice(16, 20));
    expect(c).not.toEqual(a.slice(0, 10));
    for (const id of [...a, ...b, ...c]) expect(id >= 32 && id < 127).toBe(true);
  });

  test('speaks chat with texts of one character a token', async () => {
    const peer = await server({ cards: [] });
    const settings = settingsOf({
      url: peer.url,
      model: 'm',
      backend: 'openai-chat',
      requests: 2,
      isl: 50,
      osl: 2,
    });
    const { report } = await runBench(settings, context());
    expect(report.counts.completed).toBe(2);
    const request = generations(peer)[0]!;
    expect(request.path).toBe('/v1/chat/completions');
    expect((request.body.messages as { content: string }[])[0]?.content).toHaveLength(50);
  });

  test.each([
    [{ model: 'other' }, 'The model `other` does not exist. | Served models: org/sim.'],
    [{ tokenIds: '9-3' }, '--token-ids: 9-3 is not a range'],
    [{ extraBody: '[1]' }, '--extra-body: [1] is not a JSON object'],
    [{ header: ['oops'] }, '--header: oops has no name'],
    [{ trace: '/nowhere.jsonl' }, 'cannot read /nowhere.jsonl'],
    [{ trace: '/nowhere.jsonl', goodput: ['x:1'] }, '--goodput: x:1 names no known goal'],
  ])('refuses %j before any load is sent', async (flags, message) => {
    const peer = await server();
    const settings = settingsOf({ url: peer.url, requests: 1, ...flags });
    expect(await failureOf(() => runBench(settings, context()))).toContain(message);
    expect(generations(peer)).toEqual([]);
  });

  test('gives up a server that never becomes ready, naming it', async () => {
    const peer = await server({ notReadyFor: 1000 });
    const settings = settingsOf({ url: peer.url, readyCheckTimeoutSec: 0.3 });
    expect(await failureOf(() => runBench(settings, context()))).toContain('it lists no model (HTTP 503)');
    await peer.stop();
    peers.splice(0);
    expect(await failureOf(() => runBench(settings, context()))).toContain('connection refused');
  });

  test('prints vLLM’s table, 50 wide, and its own rows below', async () => {
    const peer = await server();
    const settings = settingsOf({
      url: peer.url,
      requests: 3,
      isl: 10,
      osl: 3,
      rate: '50',
      goodput: ['ttft:5000'],
    });
    const { report, facts } = await runBench(settings, context());
    const lines = consoleTable(report, facts).split('\n');
    expect(lines[0]).toBe('============ Serving Benchmark Result ============');
    expect(lines[1]).toBe('Successful requests:                     3         ');
    expect(lines).toContain('Request rate configured (RPS):           50.00     ');
    expect(lines).toContain('---------------Time to First Token----------------');
    expect(lines).toContain('-----Time per Output Token (excl. 1st token)------');
    expect(lines).toContain('KVE, cached / prompt tokens (%):         320.00    ');
    expect(lines.filter((line) => /^[A-Z].*\(ms\): +\d+\.\d\d/.test(line)).length).toBeGreaterThan(14);
  });
});
