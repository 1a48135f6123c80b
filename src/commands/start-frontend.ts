import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { type Clock, RealClock } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type Random, SeededRandom } from '../base/random.ts';
import type { SettingsOf } from '../base/settings.ts';
import { DASHBOARD_PAGE } from '../dashboard/page.generated.ts';
import { type ApiKey, parseApiKeys } from '../frontend/api-key-file.ts';
import { CircuitBreakers, type CircuitLimits } from '../frontend/circuit-breakers.ts';
import { Frontend, type FrontendParts } from '../frontend/frontend.ts';
import { RouterInstruments } from '../frontend/router-instruments.ts';
import type { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import type { Hop, PoolParts } from '../frontend/worker-pool.ts';
import type { RouterConfig } from '../kv/config.ts';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { joinObservers } from '../kv/observer.ts';
import { KVASIR_THOMPSON } from '../kv/policies/thompson-parameters.ts';
import { ThompsonWatch } from '../kv/policies/thompson-watch.ts';
import { makeLoadModel } from '../kv/sequences/prefill-load-model.ts';
import { bucketOverrides } from '../metrics/buckets.ts';
import { CircuitMetrics } from '../metrics/circuit-metrics.ts';
import { EventLoopMetrics, watchEventLoop } from '../metrics/event-loop-metrics.ts';
import { FrontendMetrics } from '../metrics/frontend-metrics.ts';
import { DISCOVERY } from '../metrics/names/scale-out.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { ThompsonRouterMetrics } from '../metrics/thompson-router-metrics.ts';
import type { Discovery } from '../transport/discovery.ts';
import { HttpClient } from '../transport/http-client.ts';
import type { RemoteIndexer } from '../transport/remote-indexer.ts';
import type { RouteRecorder } from '../transport/route-recorder.ts';
import { readPredictions } from './hint-predictions.ts';
import { followJoiningLoad } from './join-loads.ts';
import { openPolicyFiles } from './policy-files.ts';
import { PromptEncoders } from './prompt-encoders.ts';
import type { GroupMember } from './share-bookings.ts';

export type FrontendSettings = SettingsOf<Omit<typeof FRONTEND_SETTINGS, 'engine'>>;

export interface StartFrontendOptions {
  readonly settings: FrontendSettings;
  /** Of the routers of a model, one for each hop. */
  readonly router: (model: string, hop: Hop) => RouterConfig;
  /** Not ready before so many workers are. */
  readonly minInitialWorkers?: number;
  readonly discovery: Discovery;
  readonly log: Log;
  readonly clock?: Clock;
  /** For the policies that draw. */
  readonly random?: Random;
  /** Connections to the engines; made and closed here unless given. */
  readonly client?: HttpClient;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Routers ask peers for the bookings of their former life. */
  readonly restoreBookings?: boolean | undefined;
  /** Joins a router to the others of its group; what it books is its own business unless given. */
  readonly shareBookings?: ((router: KvRouter, member: GroupMember) => void) | undefined;
  /** Feeds an instance's KV events to a router's index; nothing unless given. */
  readonly feedEvents?: PoolParts['feedEvents'] | undefined;
  /** Asks elsewhere what workers hold, in place of indexes of the routers' own. */
  readonly remoteIndexer?: ((onFailure: () => void) => RemoteIndexer) | undefined;
  /** Tells the same place where prompts went. */
  readonly routeRecorder?: ((onLost: (count: number) => void) => RouteRecorder) | undefined;
  /** Routes beside the OpenAI API, and which of their paths ask for a key; `thompson` shows what such a policy does. */
  readonly addRoutes?: (app: FastifyInstance, frontend: Frontend, thompson: () => ThompsonWatch) => void;
  readonly keyedPaths?: FrontendParts['keyedPaths'];
}

export interface RunningFrontend {
  readonly url: string;
  readonly frontend: Frontend;
  readonly metrics: ProcessMetrics;
  /** Drains, then closes. Discovery stays with its owner. */
  stop(): Promise<void>;
}

/** Share of time from which the event loop is watched without a rest. */
const BUSY_LOOP = 0.3;
/** Tokens per block of engines that do not tell, vLLM's own default. */
const DEFAULT_BLOCK_SIZE = 16;

/** Puts a frontend together and starts it; `kvasir frontend` and `kvasir up` share it. */
export async function startFrontend(options: StartFrontendOptions): Promise<RunningFrontend> {
  const { settings, log, discovery } = options;
  const clock = options.clock ?? new RealClock();
  const client = options.client ?? new HttpClient();
  const process = makeMetrics(options, clock);
  const encoders = new PromptEncoders(client, log, settings.tokenizer);
  await encoders.start();
  const metrics = new FrontendMetrics(process, {
    prefix: settings.metricsPrefix,
    overloadStatus: settings.overloadStatus,
  });
  const instruments = new RouterInstruments(process, metrics, settings.namespace);
  const files = await openPolicyFiles(settings, { process, clock, log });
  let thompsonWatch: ThompsonWatch | undefined;
  const thompson = (): ThompsonWatch => {
    if (thompsonWatch !== undefined) return thompsonWatch;
    const { feedbackTimeoutS } = KVASIR_THOMPSON;
    const watch = new ThompsonWatch(new ThompsonRouterMetrics(process), clock, 1000 * feedbackTimeoutS);
    process.onScrape(() => watch.refresh());
    thompsonWatch = watch;
    return watch;
  };
  const random = options.random ?? new SeededRandom(Math.trunc(clock.wallMs()));
  const recorder = options.routeRecorder?.((count) =>
    instruments.requestsOf('decode').remoteWritesFailed(count),
  );
  const makeRouter: PoolParts['makeRouter'] = (pool, hop) => {
    const { model, blockSize } = pool;
    const config = options.router(model, hop);
    const ownIndex = config.useKvEvents && !config.remoteIndex;
    const index = ownIndex ? new WasmIndex({ limitBytes: config.indexLimitBytes }) : undefined;
    const policyClasses = config.queue.classes.map(({ name }) => name);
    const repeats = () => hop === 'decode' && pool.router('prefill') !== undefined;
    const policyName = `${model}/${hop}`;
    let unwatch = (): void => {};
    const observer = joinObservers(
      { stopped: () => unwatch() },
      recorder === undefined
        ? {}
        : { routeRemembered: (worker, sequence, ttlMs) => recorder.record(model, worker, sequence, ttlMs) },
      instruments.observe({ model, blockSize, hop, policyClasses, repeats }),
      files.observe(policyName, blockSize),
      config.mode.startsWith('thompson') ? thompson().observer : {},
    );
    const loadModel = makeLoadModel(config);
    const router = new KvRouter({ blockSize, clock, random, config, index, observer, loadModel });
    unwatch = instruments.watch(router, hop, index);
    const group = `${model}/${hop}/${blockSize}`;
    const name = settings.routerId ?? process.instanceId.toString(16);
    options.shareBookings?.(router, {
      group,
      name,
      series: instruments.replica(model, hop),
      restore: options.restoreBookings,
    });
    files.remember(policyName, router);
    return router;
  };
  const remote = options.remoteIndexer?.(() => instruments.requestsOf('decode').remoteQueryFailed());
  const circuits = new CircuitMetrics(process);
  const feed: PoolParts['feedEvents'] = options.feedEvents ?? (() => () => {});
  const frontend = new Frontend(
    {
      host: settings.host,
      port: settings.httpPort,
      portFlag: '--http-port',
      maxBodyBytes: settings.maxBodyBytes,
      maxRequests: settings.maxRequests,
      apiKeys: readKeys(settings.apiKeyFile),
      admin: !settings.disableAdminApi,
      overloadStatus: settings.overloadStatus,
      metricsPath: settings.metricsPath,
      drainMs: 1000 * settings.drainSecs,
    },
    {
      log,
      clock,
      client,
      discovery,
      process,
      metrics,
      requestsOf: (hop) => instruments.requestsOf(hop),
      random,
      makeRouter,
      askHeld: remote && askRemotely(remote),
      makeCircuits: () =>
        new CircuitBreakers(clock, circuitLimits(settings), (worker, state) =>
          circuits.changed(worker, state),
        ),
      feedEvents: (instance, router) => {
        // Events of other tokens than the prompts' would match nothing; without them the router guesses.
        const fed = encoders.isExactFor(instance) ? instance : { ...instance, kvEvents: undefined };
        const stops = [feed(fed, router), followJoiningLoad(instance, router, { client, clock })];
        return () => {
          for (const stop of stops) stop();
        };
      },
      encoderFor: (instance, workers) => encoders.encoderFor(instance, workers),
      defaultBlockSize: settings.kvCacheBlockSize ?? DEFAULT_BLOCK_SIZE,
      headersTimeoutMs: 1000 * settings.engineTimeoutSecs,
      idleTimeoutMs: 2 * 1000 * settings.streamTimeoutSecs,
      retryLimit: settings.retryLimit,
      retryBackOffMs: settings.retryBackOffMs,
      migrationLimit: settings.migrationLimit,
      migrationMaxSeqLen: settings.migrationMaxSeqLen,
      nvext: settings.nvext,
      hints: {
        strict: settings.strictAgentHints,
        lowIsUrgent: settings.agentPriority === 'low-is-urgent',
        maxSensitivity: settings.maxSensitivity,
        ...(settings.predictionTrie !== undefined && {
          predict: await readPredictions(settings.predictionTrie),
        }),
      },
      prefillBypass: {
        rule: settings.conditionalPrefill,
        busyTokens: settings.conditionalPrefillTokens,
        decodeBlocksThreshold: settings.conditionalDecodeBlocks,
      },
      forwarding: { nvext: settings.forwardNvext, priority: settings.forwardPriority },
      minInitialWorkers: options.minInitialWorkers ?? 0,
      keyedPaths: options.keyedPaths ?? [],
      addRoutes: (app, frontend) => {
        app.get('/', (_, reply) => reply.type('text/html; charset=utf-8').send(DASHBOARD_PAGE));
        options.addRoutes?.(app, frontend, thompson);
      },
    },
  );
  const url = await frontend.start().catch(async (thrown: unknown) => {
    await files.stop();
    throw thrown;
  });
  const stopWatching = watchThread(process, clock);
  const stopShowing = showDiscovery(process, discovery);
  const stop = async (): Promise<void> => {
    await frontend.stop();
    recorder?.stop();
    await files.stop();
    stopWatching();
    stopShowing();
    metrics.stop();
    await encoders.stop();
    if (options.client === undefined) await client.stop();
  };
  return { url, frontend, metrics: process, stop };
}

function askRemotely(remote: RemoteIndexer): NonNullable<PoolParts['askHeld']> {
  const hasher = new BlockHasher();
  return ({ model, blockSize }, { tokens, namespace }) => {
    const { local: blockHashes } = hasher.hashPrompt(tokens, blockSize, namespace);
    return remote.lookUp({ model, blockSize, blockHashes: blockHashes.slice() });
  };
}

function circuitLimits(settings: FrontendSettings): CircuitLimits {
  return {
    failures: settings.circuitFailures,
    windowMs: 1000 * settings.circuitWindowSecs,
    openMs: 1000 * settings.circuitOpenSecs,
    successes: settings.circuitSuccesses,
  };
}

/** Whether changes of the fleet would be noticed, at every scrape; nothing for discoveries that cannot fail. */
function showDiscovery(process: ProcessMetrics, discovery: Discovery): () => void {
  const family = process.service.gauge(DISCOVERY.up);
  return process.onScrape(() => {
    const status = discovery.status?.();
    if (status !== undefined) family.with({ kind: status.kind }).set(status.ok ? 1 : 0);
  });
}

function watchThread(process: ProcessMetrics, clock: Clock): () => void {
  const metrics = new EventLoopMetrics(process);
  let last = performance.eventLoopUtilization();
  const stopRefreshing = process.onScrape(() => {
    const now = performance.eventLoopUtilization();
    metrics.setBusy(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  });
  let slept = performance.eventLoopUtilization();
  const stopSleeping = watchEventLoop(metrics, clock, () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, slept);
    slept = now;
    return utilization > BUSY_LOOP;
  });
  return () => {
    stopRefreshing();
    stopSleeping();
  };
}

function makeMetrics({ settings, log, env }: StartFrontendOptions, clock: Clock): ProcessMetrics {
  const identity = `${settings.host}:${settings.httpPort}/${clock.wallMs()}`;
  return new ProcessMetrics({
    clock,
    log,
    version: settings.metricsCompat,
    instanceId: new BlockHasher().hashText(identity, 0n),
    openMetrics: settings.openMetrics,
    bucketOverrides: bucketOverrides(env),
  });
}

function readKeys(path: string | undefined): ApiKey[] {
  if (path === undefined) return [];
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  const keys = parseApiKeys(source, path);
  if (keys.length > 0) return keys;
  throw fail('KV_FILE_MALFORMED', { path, reason: 'holds no key', mend: 'Write one key a line.' });
}
