import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  DEPLOYMENT,
  journalKeys,
  profileFolder,
  profileSla,
  statusOf,
} from '../../test/support/profile-sla.ts';
import { Workers } from '../../test/support/workers.ts';
import { fail } from '../base/errors.ts';
import { fixedTiming } from '../engine/timing.ts';
import { markChild } from '../transport/child-mark.ts';
import { freePort } from '../transport/free-port.ts';

const file = (name: string, content: string): string => {
  const path = join(mkdtempSync(join(tmpdir(), 'kvasir-profile-')), name);
  writeFileSync(path, content);
  return path;
};

describe('profile sla with simulated engines', () => {
  test('follows the efficiencies of the model that is given', async () => {
    const prefill = { baseMs: 0, perTokenMs: 0.1, perTokenSquaredMs: 0 };
    const model = (efficiency: number): string =>
      file('model.json', JSON.stringify({ efficiencyByGpus: { 1: 1, 2: efficiency }, prefill }));
    // At ISL 200 one GPU takes 20 ms. Two that scale badly cost throughput per GPU, two that scale beyond pay off.
    const badly = await profileSla({ ttft: 25, itl: 100, simModel: model(1.5) });
    const well = await profileSla({ ttft: 25, itl: 100, simModel: model(2.5) });
    expect([badly.summary.prefill.mapping, well.summary.prefill.mapping]).toEqual(['tp1', 'tp2']);
    expect([badly.summary.decode.mapping, well.summary.decode.mapping]).toEqual(['tp1', 'tp2']);
    expect(well.summary.prefill.ttft_ms).toBeCloseTo(8, 6);
    // And a tight target forces the wide engine even so.
    const tight = await profileSla({ ttft: 15, itl: 100, simModel: model(1.5) });
    expect(tight.summary.prefill.mapping).toBe('tp2');
    expect(tight.summary.sla_met).toBe(true);
  });

  test('says that a target cannot be met, and ends well', async () => {
    const { exitCode, summary, outputDir, logged } = await profileSla({ ttft: 0.1, itl: 100 });
    expect(exitCode).toBe(0);
    expect(summary.sla_met).toBe(false);
    expect([summary.prefill.met, summary.decode.met]).toEqual([false, true]);
    expect(logged).toContain('No TP size satisfies the TTFT requirement');
    expect(logged).not.toContain('the ITL requirement');
    expect(statusOf(outputDir)).toContain('status: success');
  });

  test('logs the recommendation before the curves are measured', async () => {
    const { logged } = await profileSla({});
    const at = (text: string): number => logged.split('\n').findIndex((line) => line.includes(text));
    expect(at('Suggested decode TP:')).toBeGreaterThan(at('Analyzing results'));
    expect(at('Suggested decode TP:')).toBeLessThan(at('Profiling prefill under best'));
    expect(logged.split('\n')[0]).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - __main__ - INFO - Standard dense/,
    );
  });

  test('probes no more than once a point when its budget is spent, also when it goes on', async () => {
    const whole = await profileSla({ maxProbes: 5 });
    const { measured, probes } = whole.summary.points;
    // Two widths are asked for their capacity without a probe; the first five probes make two points with two
    // probes each and one with one.
    expect(probes).toBe(measured - 2 + 2);
    const again = await profileSla({ maxProbes: 5, outputDir: whole.outputDir });
    expect(again.summary.points).toEqual({ measured: 0, reused: measured, failed: 0, probes: 0 });
  });

  test('spends simulated seconds where they are its budget, also when it goes on', async () => {
    const free = await profileSla({});
    const spent = (run: { outputDir: string }): number =>
      readFileSync(join(run.outputDir, 'journal.jsonl'), 'utf8')
        .split('\n')
        .slice(0, -1)
        .reduce((sum, line) => sum + (JSON.parse(line).virtualMs ?? 0), 0);
    const half = spent(free) / 2000;
    const whole = await profileSla({ maxVirtualSeconds: half });
    // Every point is measured, those after the half only once.
    expect(whole.summary.points.measured).toBe(free.summary.points.measured);
    expect(whole.summary.points.probes).toBeLessThan(free.summary.points.probes);
    expect(spent(whole) / 1000).toBeGreaterThan(half);
    expect(spent(whole)).toBeLessThan(spent(free));
    const again = await profileSla({ maxVirtualSeconds: half, outputDir: whole.outputDir });
    expect(again.summary.points).toMatchObject({ measured: 0, probes: 0 });
    await expect(profileSla({ maxVirtualSeconds: 1, target: 'local' })).rejects.toThrow('needs --target sim');
  });

  test('starts over when told to', async () => {
    const first = await profileSla({});
    const again = await profileSla({ outputDir: first.outputDir, forceRerun: true });
    expect(again.summary.points).toEqual(first.summary.points);
  });

  test('keeps what it measured when it is stopped, and goes on from there', async () => {
    const whole = await profileSla({});
    const { dir } = profileFolder();
    const outputDir = join(dir, 'results');
    const stop = new AbortController();
    const run = profileSla({ outputDir }, stop.signal);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      try {
        if (journalKeys(outputDir).length >= 3) break;
      } catch {
        // Not opened yet.
      }
    }
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    const { exitCode, logged } = await run;
    expect(exitCode).toBe(1);
    expect(logged).toContain('Stopped by SIGINT. What was measured is kept: run the same command again');
    expect(statusOf(outputDir)).toContain('error: interrupted by SIGINT');
    const kept = journalKeys(outputDir).length;
    const { summary, logged: resumed } = await profileSla({ outputDir });
    expect(resumed).toContain(`Found ${kept} measured points`);
    expect(summary.points.reused).toBe(kept);
    expect(summary.points.measured).toBe(whole.summary.points.measured - kept);
  });

  test('fails with a reason when no width holds a single request', async () => {
    const simModel = file('small.json', '{"kvTokensPerGpu": 48}');
    await expect(profileSla({ simModel })).rejects.toThrow(
      /only 0 prefill points could be measured, 1 are needed/,
    );
  });

  test('leaves out the widths that are too small', async () => {
    const simModel = file('small.json', '{"kvTokensPerGpu": 416}');
    const { summary } = await profileSla({ simModel, isl: 500, maxNumGpusPerEngine: 4 });
    expect(summary.lost).toEqual([
      {
        role: 'prefill',
        mapping: 'tp1',
        reason: expect.stringContaining('holds 416 KV tokens, does not take 1 requests of 505'),
      },
      {
        role: 'decode',
        mapping: 'tp1',
        reason:
          'the engine holds 416 KV tokens, too few for one request of 500 + 20 tokens on each of 1 ranks',
      },
    ]);
    expect(summary.prefill.mapping).not.toBe('tp1');
  });
});

describe('profile sla refuses', () => {
  test.each([
    [{ plannerLoadPredictor: 'oracle' }, '--planner-load-predictor'],
    [{ minNumGpusPerEngine: 4 }, '--min-num-gpus-per-engine: 4 is above --max-num-gpus-per-engine 2'],
    [{ minNumGpusPerEngine: 3, maxNumGpusPerEngine: 3 }, '3..3 holds no power of two'],
    [{ maxContextLength: 300 }, '--max-context-length: 300 leaves no room for the probes'],
    [{ target: 'endpoint' }, '--endpoint:  is needed with --target endpoint'],
    [{ target: 'endpoint', endpoint: ['tp=x'] }, '--endpoint: tp=x is not MAPPING=URL'],
    [{ deployAfterProfile: true }, 'needs --target kubernetes'],
    [{ backend: 'trtllm', isMoeModel: true }, 'is not supported for trtllm'],
    [{ simModel: '/nowhere/model.json' }, 'cannot read /nowhere/model.json'],
    [{ simModel: file('x.json', '{') }, 'not JSON'],
    [{ simModel: file('y.json', '{"speed": 2}') }, 'unknown field speed'],
    [{ deployment: '/nowhere/disagg.yaml' }, 'cannot read /nowhere/disagg.yaml'],
    [{ deployment: file('a.yaml', 'kind: [') }, /a\.yaml/],
    [{ deployment: file('b.yaml', 'kind: Pod\n') }, 'no document of kind DynamoGraphDeployment'],
    [
      { deployment: file('c.yaml', 'kind: DynamoGraphDeployment\nspec: {services: {Frontend: {}}}\n') },
      'no decode worker',
    ],
    [
      {
        target: 'local',
        deployment: file('d.yaml', DEPLOYMENT.replaceAll('--model, acme/tiny-8b,', '')),
      },
      '--model:  is needed: the arguments of the decode worker name no model',
    ],
    [{ outputDir: `${file('occupied', '')}/results` }, '--output-dir'],
  ])('%j', async (flags, message) => {
    await expect(profileSla(flags)).rejects.toThrow(message);
  });

  test('what it cannot begin, and says so in the status file', async () => {
    const outputDir = join(mkdtempSync(join(tmpdir(), 'kvasir-profile-')), 'results');
    await expect(profileSla({ maxContextLength: 300, outputDir })).rejects.toThrow();
    expect(statusOf(outputDir)).toMatch(
      /^status: failed\ntimestamp: .*\nerror: "?--max-context-length[\s\S]*phase: Initializing\n$/,
    );
  });
});

describe('profile sla with engines over HTTP', () => {
  const workers = new Workers();
  const servers: ReturnType<typeof createServer>[] = [];
  afterEach(async () => {
    await workers.stopAll();
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });
  const serve = async (listener: RequestListener): Promise<string> => {
    const server = createServer(listener).listen(0, '127.0.0.1');
    servers.push(server);
    await new Promise((resolve) => server.once('listening', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const overHttp = {
    target: 'endpoint',
    maxNumGpusPerEngine: 1,
    maxRepeats: 1,
    decodeInterpolationGranularity: 1,
    ttft: 1000,
    itl: 100,
  } as const;

  // Real time: a busy machine may need a quiet moment.
  test('measures the times that the engine takes', { retry: 3 }, async () => {
    const { url } = await workers.start({ engine: { timing: fixedTiming(200, 5) } });
    const { summary, outputDir } = await profileSla({ ...overHttp, endpoint: [`tp1=${url}`] });
    expect(summary.points.failed).toBe(0);
    expect(summary.decode.max_kv_tokens).toBe(512 * 16);
    const read = (name: string) => JSON.parse(readFileSync(join(outputDir, name), 'utf8'));
    const ttft: number[] = [summary.prefill.ttft_ms, ...read('prefill_raw_data.json').prefill_ttft];
    const [itl] = read('decode_raw_data.json').z_itl;
    // A busy machine holds single probes up, but none comes back early.
    expect(Math.min(...ttft)).toBeGreaterThan(200 * 0.99);
    expect(Math.min(...ttft)).toBeLessThan(200 * 1.1);
    // Over 500 tokens what delays one of them evens out.
    expect(Math.abs(itl - 5)).toBeLessThan(5 * 0.03);
  });

  test('serves what it recommends under load, and journals that too', async () => {
    const { url } = await workers.start({ engine: { timing: fixedTiming(4, 1) } });
    const flags = {
      ...overHttp,
      endpoint: [`tp1=${url}`],
      ttft: 5000,
      itl: 1000,
      validate: true,
      loadRequests: 30,
    };
    const { summary, logged, outputDir } = await profileSla(flags);
    const { rates } = summary.goodput;
    expect(rates.map((rate: { load_share: number }) => rate.load_share)).toEqual([0.4, 0.6, 0.8, 1]);
    expect(rates.map((rate: { good_share: number }) => rate.good_share)).toEqual([1, 1, 1, 1]);
    expect(rates[0].itl_ms.p50).toBeGreaterThan(0.9);
    expect(logged).toContain('(100 % of what the sweep promises)');
    const again = await profileSla({ ...flags, outputDir });
    expect(again.summary.points.measured).toBe(0);
    expect(again.summary.goodput).toEqual(summary.goodput);
  });

  test('says which endpoint cannot be reached', async () => {
    const endpoint = [`tp1=http://127.0.0.1:${await freePort()}`];
    await expect(profileSla({ ...overHttp, endpoint })).rejects.toThrow(
      /only 0 prefill points could be measured.*tp1: engine http:\/\/127\.0\.0\.1:\d+\/v1\/models cannot be reached: connection refused/,
    );
  });

  test('goes on without the widths that no endpoint was named for', async () => {
    const { url } = await workers.start();
    const { summary } = await profileSla({ ...overHttp, maxNumGpusPerEngine: 2, endpoint: [`tp1=${url}`] });
    expect(summary.lost.map(({ reason }: { reason: string }) => reason)).toEqual([
      'no endpoint was given for prefill tp2',
      'no endpoint was given for decode tp2',
    ]);
  });

  test('asks for the capacity of an endpoint that does not tell it', async () => {
    const url = await serve((request, response) => {
      request.resume();
      if (request.url === '/v1/models') {
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model', owned_by: 'x' }] }));
        return;
      }
      const chunk = { id: '1', object: 'text_completion', created: 1, model: 'm' };
      const choice = { index: 0, text: 'a', finish_reason: null };
      const usage = { prompt_tokens: 200, completion_tokens: 5, total_tokens: 205 };
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify({ ...chunk, choices: [choice] })}\n\n`);
      response.end(`data: ${JSON.stringify({ ...chunk, choices: [], usage })}\n\ndata: [DONE]\n\n`);
    });
    await expect(profileSla({ ...overHttp, endpoint: [`tp1=${url}`] })).rejects.toThrow(
      /only 0 decode points could be measured.*the KV capacity of http.* is not known/,
    );
  });

  const isPrefill = (body: readonly Buffer[]): boolean =>
    JSON.parse(Buffer.concat(body).toString()).min_tokens === 5;

  test('keeps the good points when every other request fails', async () => {
    const { url } = await workers.start();
    let seen = 0;
    // A point takes four requests: three warm-ups and the probe. Every other point meets an error.
    const flaky = await serve(async (request, response) => {
      const body: Buffer[] = [];
      for await (const chunk of request) body.push(chunk as Buffer);
      if (request.method === 'POST' && isPrefill(body) && seen++ % 5 === 4) {
        response
          .writeHead(500, { 'content-type': 'application/json' })
          .end('{"error":{"message":"worn out"}}');
        return;
      }
      const answer = await fetch(url + request.url, {
        method: request.method!,
        headers: { 'content-type': 'application/json' },
        ...(request.method === 'POST' && { body: Buffer.concat(body) }),
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type')! });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
    const { summary, outputDir, logged } = await profileSla({
      ...overHttp,
      prefillInterpolationGranularity: 8,
      endpoint: [`tp1=${flaky}`],
    });
    const { prefill_isl: isl } = JSON.parse(readFileSync(join(outputDir, 'prefill_raw_data.json'), 'utf8'));
    expect(summary.points.failed).toBeGreaterThan(0);
    expect(logged).toMatch(/Failed: prefill tp1, ISL \d+: .*worn out/);
    expect(isl.length).toBeGreaterThanOrEqual(3);
    expect(isl.length).toBeLessThan(9);
    // What failed is tried again, what was measured is not.
    const again = await profileSla({
      ...overHttp,
      prefillInterpolationGranularity: 8,
      endpoint: [`tp1=${flaky}`],
      outputDir,
    });
    expect(again.summary.points.measured + again.summary.points.failed).toBe(summary.points.failed);
  });

  test('ends the engine that a killed run left behind, but no process of its number', async () => {
    const outputDir = join(mkdtempSync(join(tmpdir(), 'kvasir-profile-')), 'results');
    const child = spawn(process.execPath, ['-e', 'setInterval(()=>{},1000)'], { detached: true });
    const other = spawn(process.execPath, ['-e', 'setInterval(()=>{},1000)'], { detached: true });
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    await markChild(join(outputDir, 'decode_tp1'), child.pid!);
    mkdirSync(join(outputDir, 'prefill_tp1'));
    writeFileSync(join(outputDir, 'prefill_tp1/engine.pid'), JSON.stringify({ pid: other.pid, born: '1' }));
    const flags = { ...overHttp, target: 'local', engineCommand: '/nowhere/engine', outputDir };
    await expect(profileSla(flags)).rejects.toThrow(/there is no program/);
    expect(await ended).toBe('SIGTERM');
    expect(other.exitCode).toBeNull();
    other.kill('SIGKILL');
    expect(readdirSync(join(outputDir, 'decode_tp1'))).not.toContain('engine.pid');
  });

  test.each([
    [`${process.execPath} -e process.exit(3)`, /it ended with exit code 3/],
    [
      `${process.execPath} -e "console.error('no GPU here'); process.exit(1)"`,
      /its log ends with: no GPU here/,
    ],
    [`${process.execPath} -e setInterval(()=>{},1000)`, /was not ready after [1-9]\d*(\.\d)? s: engine http/],
    ['/nowhere/engine', /there is no program \/nowhere\/engine; install it/],
  ])('tells why a local engine is not ready: %s', async (engineCommand, reason) => {
    const readyTimeout = engineCommand.includes('setInterval') ? 1 : 60;
    const run = profileSla({ ...overHttp, target: 'local', engineCommand, readyTimeout });
    await expect(run).rejects.toThrow(reason);
  });
});
