import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog } from '../base/log.ts';
import { measureWorkflowLevels } from './sizing-workflow.ts';

// What `nat serve` 1.9.0 answered to one question: two streamed model calls.
const LIVE = join(import.meta.dirname, '../../test/golden/agent-profiler/live');
const ANSWER = gunzipSync(readFileSync(join(LIVE, 'analyst.generate-full.txt.gz'))).toString('utf8');

let dir = '';
let server: Server | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sizing-workflow-'));
});
afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await rm(dir, { recursive: true });
});

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server!.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function measure(workflow: string, dataset: string, more: object = {}) {
  const path = join(dir, 'questions.json');
  writeFileSync(path, dataset);
  const load = {
    ...{ workflow, dataset: path, questionKey: 'question', inputKey: 'input_message', endpointTimeout: 10 },
    ...{ concurrencies: [1, 2], numPasses: 0, compat: 'kvasir' as const },
    ...more,
  };
  return measureWorkflowLevels(load, {
    log: createLog('silent'),
    logLevel: 'silent',
    signal: new AbortController().signal,
    interactive: false,
    print: () => {},
  });
}

test('a workflow server is asked each question at each concurrency, and timed by the events it tells', async () => {
  const asked: string[] = [];
  const url = await serve(async (request, reply) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    asked.push(`${request.url} ${body}`);
    // In pieces that end anywhere.
    for (let at = 0; at < ANSWER.length; at += 1000) reply.write(ANSWER.slice(at, at + 1000));
    reply.end();
  });
  const items = JSON.stringify([{ question: 'Which berth?' }, 'Who?', { question: 'Why?' }]);
  const levels = await measure(url, items);
  expect(asked.slice(0, 3)).toEqual([
    '/generate/full {"input_message":"Which berth?"}',
    '/generate/full {"input_message":"Who?"}',
    '/generate/full {"input_message":"Why?"}',
  ]);
  // Three questions, filled up to two for each place.
  expect(asked.length).toBe(3 + 4);
  const stamps = [...ANSWER.matchAll(/event_timestamp\\":([\d.]+)/g)].map(([, seconds]) => Number(seconds));
  const runtime = Math.max(...stamps) - Math.min(...stamps);
  for (const metrics of levels.values()) {
    expect(metrics.alerts).toEqual({ workflow_interrupted: false });
    expect(metrics.workflow_runtime_p95).toBeCloseTo(runtime, 9);
    expect(metrics.llm_latency_p95).toBeGreaterThan(0);
    expect(metrics.llm_latency_p95).toBeLessThan(runtime);
  }
});

test('a run that breaks off interrupts its level; where every run fails the reason is told', async () => {
  let runs = 0;
  const url = await serve((_, reply) => {
    runs++;
    if (runs === 2) reply.end(ANSWER.slice(0, ANSWER.length / 2));
    else if (runs === 3)
      reply.end(`${ANSWER}\n\ndata: {"code":"workflow_error","message":"the crane broke"}\n\n`);
    else reply.end(`data: {"value":"an error"}\n\n${ANSWER}`);
  });
  const jsonLines = '{"q": "one"}\n{"q": "two"}\n';
  const levels = await measure(`${url}/v1/workflow/full`, jsonLines, {
    questionKey: 'q',
    concurrencies: [1, 2, 4],
  });
  expect([...levels.values()].map(({ alerts }) => alerts.workflow_interrupted)).toEqual([true, true, false]);
  server!.removeAllListeners('request');
  server!.on('request', (_, reply) => {
    reply.statusCode = 422;
    reply.end('{"detail": "question: Field required"}');
  });
  await expect(measure(url, '["one"]')).rejects.toThrow('status 422: {"detail": "question: Field required"}');
});

test('a data set that cannot be used is an error that says why', async () => {
  await expect(measure('http://127.0.0.1:1', '[{"text": "one"}]')).rejects.toThrow(
    'item 0 has no "question"',
  );
  await expect(measure('http://127.0.0.1:1', '[]')).rejects.toThrow('holds no list of questions');
  await expect(measure('http://127.0.0.1:1', '[', {})).rejects.toThrow('JSON');
  await expect(measure('http://127.0.0.1:1', '[]', { dataset: undefined })).rejects.toThrow(
    'needs questions to run',
  );
});
