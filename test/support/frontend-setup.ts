import { afterEach } from 'vitest';
import { RealClock } from '../../src/base/clock.ts';
import { SILENT_LOG } from '../../src/base/log.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { CircuitBreakers, type CircuitLimits } from '../../src/frontend/circuit-breakers.ts';
import { Frontend, type FrontendOptions, type FrontendParts } from '../../src/frontend/frontend.ts';
import { RouterInstruments } from '../../src/frontend/router-instruments.ts';
import { routerConfig } from '../../src/kv/config.ts';
import { KvRouter } from '../../src/kv/kv-router.ts';
import { FrontendMetrics } from '../../src/metrics/frontend-metrics.ts';
import { ProcessMetrics } from '../../src/metrics/process-metrics.ts';
import { ByteTokenizer } from '../../src/tokenizer/byte-tokenizer.ts';
import { bareInstance, type WorkerInstance } from '../../src/transport/discovery.ts';
import { MemoryDiscovery } from '../../src/transport/discovery-memory.ts';
import { HttpClient } from '../../src/transport/http-client.ts';
import { OpenAiEngine } from './openai-engine.ts';
import { until } from './until.ts';

const cleanups: (() => Promise<unknown>)[] = [];

/** Stops after each test what it started here; call it once per test file. */
export function cleanUp(): void {
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
}

export async function startEngine(): Promise<OpenAiEngine> {
  const engine = await new OpenAiEngine().start();
  cleanups.push(() => engine.stop());
  return engine;
}

interface Setup {
  readonly engines?: readonly OpenAiEngine[];
  readonly facts?: Partial<WorkerInstance>;
  /** Of each engine, in order; `both` unless given. */
  readonly roles?: readonly WorkerInstance['role'][];
  readonly router?: Parameters<typeof routerConfig>[0];
  readonly options?: Partial<FrontendOptions>;
  readonly parts?: Partial<FrontendParts>;
  readonly circuits?: Partial<CircuitLimits>;
}

/** A frontend before engines that serve the model `m`, block size 4, context of 200 tokens. */
export async function startFrontend({
  engines = [],
  facts = {},
  roles = [],
  router = {},
  options = {},
  parts = {},
  circuits = {},
}: Setup = {}) {
  const clock = new RealClock();
  const client = new HttpClient({ connectTimeoutMs: 1000 });
  const discovery = new MemoryDiscovery();
  const process = new ProcessMetrics({ clock, instanceId: 7n });
  const metrics = new FrontendMetrics(process);
  const instruments = new RouterInstruments(process, metrics, 'dynamo');
  const tokenizer = new ByteTokenizer();
  const instances = engines.map((engine, i) => ({
    ...bareInstance(String(i + 1), engine.url),
    models: ['m'],
    contextLength: 200,
    blockSize: 4,
    role: roles[i] ?? 'both',
    ...facts,
  }));
  for (const instance of instances) discovery.put(instance);
  const routers: KvRouter[] = [];
  const config = routerConfig(router);
  const frontend = new Frontend(
    {
      host: '127.0.0.1',
      port: 0,
      portFlag: '--http-port',
      maxBodyBytes: 100_000,
      maxRequests: 1000,
      apiKeys: [],
      admin: true,
      overloadStatus: 529,
      metricsPath: '/metrics',
      drainMs: 2000,
      ...options,
    },
    {
      log: SILENT_LOG,
      clock,
      client,
      discovery,
      process,
      metrics,
      requestsOf: (hop) => instruments.requestsOf(hop),
      random: new SeededRandom(1),
      makeRouter: ({ model, blockSize }, hop) => {
        const observer = instruments.observe({
          model,
          blockSize,
          hop,
          policyClasses: ['default'],
          repeats: () => false,
        });
        const made = new KvRouter({ blockSize, clock, random: new SeededRandom(1), config, observer });
        routers.push(made);
        return made;
      },
      makeCircuits: () =>
        new CircuitBreakers(clock, {
          failures: 10,
          windowMs: 120_000,
          openMs: 60_000,
          successes: 3,
          ...circuits,
        }),
      feedEvents: () => () => {},
      encoderFor: async () => ({
        exact: true,
        encode: (text) => tokenizer.encode(text),
        encodeMore: (text) => tokenizer.encode(text),
        encodeChat: (messages, chat) => tokenizer.encodeChat(messages, chat),
      }),
      defaultBlockSize: 16,
      hints: { strict: false, lowIsUrgent: false, maxSensitivity: 1000 },
      forwarding: { nvext: 'auto', priority: false },
      headersTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      retryLimit: 2,
      retryBackOffMs: 5,
      prefillBypass: { rule: 'off', busyTokens: 8192, decodeBlocksThreshold: 0.8 },
      migrationLimit: 0,
      migrationMaxSeqLen: undefined,
      nvext: true,
      minInitialWorkers: 0,
      ...parts,
    },
  );
  const url = await frontend.start();
  cleanups.push(
    () => client.stop(),
    () => frontend.stop(),
  );
  await until(
    () => engines.length === 0 || frontend.directory.pools().every(({ encoder }) => encoder !== undefined),
  );
  /** Value of one series; 0 when it does not exist. */
  const value = async (series: string): Promise<number> => {
    const body = String((await process.scrape()).body);
    const line = body.split('\n').find((each) => each.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  };
  return { url, frontend, discovery, instances, routers, value };
}

export const JSON_TYPE = { 'content-type': 'application/json' };
export const CHAT = { model: 'm', messages: [{ role: 'user', content: 'Hello there' }] };

export function post(url: string, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { ...JSON_TYPE, ...(init.headers as Record<string, string>) };
  return fetch(url + path, { method: 'POST', body: JSON.stringify(body), ...init, headers });
}

export const payloads = (text: string): string[] =>
  text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice(6));

export const requestsTotal = (stream: boolean, errorType = ''): string =>
  `dynamo_frontend_requests_total{endpoint="chat_completions",error_type="${errorType}",model="m",request_type="${stream ? 'stream' : 'unary'}",status="${errorType === '' ? 'success' : 'error'}"}`;
