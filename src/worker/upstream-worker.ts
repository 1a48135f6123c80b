import { type Clock, RealClock, sleepUntil } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { type Log, SILENT_LOG } from '../base/log.ts';
import type { EngineFacts, EngineRole } from '../formats/openai/model-card.ts';
import { BlockHasher } from '../kv/hash.ts';
import type { MetricsVersion } from '../metrics/registry.ts';
import { advertisedUrl } from '../transport/advertised-url.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { type EngineMetrics, readEngineMetrics } from '../transport/engine-metrics.ts';
import { parseEngineSpec, workerIdOf } from '../transport/engine-spec.ts';
import type { EventSource } from '../transport/event-source.ts';
import { HttpClient } from '../transport/http-client.ts';
import { HttpServer } from '../transport/http-server.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { PULLED_EVENTS, pulledEventSources } from '../transport/pulled-event-source.ts';
import { zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import type { ZmqPublisher } from '../transport/zmq/zmq-publisher.ts';
import { DynamoMetrics } from './dynamo-metrics.ts';
import { EngineCache } from './engine-cache.ts';
import { startKvPublishers } from './kv-publishers.ts';
import { RepublishedSource } from './republished-source.ts';
import { createSystemServer } from './system-server.ts';
import { UpstreamMetrics } from './upstream-metrics.ts';
import { addUpstreamRoutes } from './upstream-routes.ts';

/** A worker in front of an engine that runs already: it adds the metrics and the health of a Dynamo worker. */
export interface UpstreamWorkerOptions {
  /** As `kvasir frontend --engine` takes it. */
  readonly engine: string;
  readonly host: string;
  readonly httpPort: number;
  readonly systemPort: number | undefined;
  readonly systemHost: string;
  readonly systemHealthPath?: string | undefined;
  readonly systemLivePath?: string | undefined;
  readonly namespace: string;
  readonly component: string;
  readonly endpoint: string;
  readonly role: EngineRole;
  /** The engine's API key. */
  readonly engineKey?: string | undefined;
  /** Host by which others reach it; this machine's name if it listens on all addresses. */
  readonly advertiseHost?: string | undefined;
  /** Where the engine itself publishes, only passed on to who asks; of one whose events are pulled, where the worker does. */
  readonly kvEvents?: string | undefined;
  readonly replay?: string | undefined;
  readonly metricsVersion?: MetricsVersion | undefined;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly signal?: AbortSignal | undefined;
}

const LOOK_INTERVAL_MS = 2000;
const LOOK_TIMEOUT_MS = 5000;
const SCRAPE_TIMEOUT_MS = 2000;
const ANSWER_TIMEOUT_MS = 600_000;
const GRACE_MS = 30_000;

/** Waits until the engine is ready, then serves; resolves when it does. */
export async function startUpstreamWorker(options: UpstreamWorkerOptions): Promise<UpstreamWorker> {
  const worker = new UpstreamWorker(options);
  try {
    await worker.start();
    return worker;
  } catch (thrown) {
    await worker.stop(0);
    throw thrown;
  }
}

export class UpstreamWorker {
  readonly #options: UpstreamWorkerOptions;
  readonly #upstream: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #client = new HttpClient();
  readonly #server: HttpServer;
  readonly #ending = new AbortController();
  #system: HttpServer | undefined;
  #systemUrl: string | undefined;
  #instance: WorkerInstance | undefined;
  #metrics: DynamoMetrics | undefined;
  #cache: EngineCache | undefined;
  /** Of an engine that publishes nothing itself. */
  #publishers: readonly ZmqPublisher[] = [];
  #ready = false;
  #watching: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(options: UpstreamWorkerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new RealClock();
    this.#log = options.log ?? SILENT_LOG;
    this.#upstream = parseEngineSpec(options.engine).url;
    if (options.engineKey !== undefined) this.#client.authorize(this.#upstream, options.engineKey);
    const { host, httpPort: port } = options;
    this.#server = new HttpServer({ host, port, portFlag: '--http-port', log: this.#log });
  }

  get url(): string {
    return this.#server.url;
  }

  get systemUrl(): string | undefined {
    return this.#systemUrl;
  }

  get kvEvents(): string | undefined {
    return this.#instance?.kvEvents;
  }

  get replay(): string | undefined {
    return this.#instance?.replay;
  }

  get workerId(): string {
    const url = advertisedUrl(this.url, this.#options.advertiseHost);
    const hasher = new BlockHasher();
    return workerIdOf(url, (bytes, seed) => hasher.hashBytes(bytes, seed));
  }

  /** The engine, as it was when the worker began to serve. */
  get upstream(): WorkerInstance {
    return this.#instance!;
  }

  /** KV blocks in use by rank, as far as the engine tells. */
  async usedBlocks(): Promise<readonly number[]> {
    const used: number[] = [];
    for (const { rank, usedBlocks, kvUsage, totalBlocks } of (await this.#scrapeEngine()).loads) {
      const share = kvUsage === undefined || totalBlocks === undefined ? undefined : kvUsage * totalBlocks;
      const blocks = usedBlocks ?? share;
      if (blocks !== undefined) used[rank] = Math.round(blocks);
    }
    return used;
  }

  get model(): string {
    return this.#instance?.models[0] ?? '';
  }

  async start(): Promise<void> {
    const startMs = this.#clock.nowMs();
    const found = await this.#untilReady();
    const instance = found.kvEvents === PULLED_EVENTS ? await this.#publishPulled(found) : found;
    this.#instance = instance;
    this.#cache ??= this.#followCache(instance);
    this.#addRoutes();
    await this.#server.start();
    this.#metrics = this.#makeMetrics(instance);
    this.#metrics.gauges.loaded(Math.max(1, this.#clock.nowMs() - startMs));
    await this.#startSystem();
    this.#ready = true;
    this.#watching = this.#watch();
  }

  stop(graceMs = GRACE_MS): Promise<void> {
    this.#stopping ??= this.#stopAll(graceMs);
    return this.#stopping;
  }

  async #stopAll(graceMs: number): Promise<void> {
    this.#ending.abort();
    await this.#watching;
    await this.#server.stop(graceMs);
    await this.#cache?.stop();
    for (const publisher of this.#publishers) await publisher.stop();
    await this.#system?.stop(0);
    await this.#client.stop();
  }

  #addRoutes(): void {
    const { app } = this.#server;
    app.get('/live', (_request, reply) => reply.code(this.#stopping === undefined ? 200 : 503).send());
    app.get('/health', (_request, reply) => reply.code(this.#isReady() ? 200 : 503).send());
    serveMetrics(app, '/metrics', (accept) => this.#metrics!.process.scrape(accept));
    addUpstreamRoutes(app, {
      upstream: this.#upstream,
      client: this.#client,
      clock: this.#clock,
      work: () => this.#metrics!.work,
      facts: () => this.#facts(),
      cache: this.#cache,
      timeoutMs: ANSWER_TIMEOUT_MS,
    });
  }

  /** For an engine that publishes its events and cannot tell what it holds. */
  #followCache(instance: WorkerInstance): EngineCache | undefined {
    if (instance.kvEvents === undefined || instance.snapshot !== undefined) return undefined;
    const log = this.#log;
    const sources = zmqEventSources(instance, { client: this.#client, log, flag: '--kv-events' });
    return this.#follow(sources);
  }

  #follow(sources: readonly EventSource[]): EngineCache {
    const cache = new EngineCache({ sources, clock: this.#clock, log: this.#log });
    cache.start();
    return cache;
  }

  /** Publishes the events of an engine that hands each out once; the instance is then one that publishes. */
  async #publishPulled(instance: WorkerInstance): Promise<WorkerInstance> {
    const { host, kvEvents = `tcp://${host}:0`, replay } = this.#options;
    const [client, clock, log] = [this.#client, this.#clock, this.#log];
    const ranks = instance.dpSize;
    this.#publishers = await startKvPublishers({ kvEvents, replay, topic: '', ranks, log });
    const sources = pulledEventSources(instance, { client, clock, log });
    const republished = sources.map(
      (source, i) => new RepublishedSource(source, this.#publishers[i]!, clock),
    );
    this.#cache = this.#follow(republished);
    const [first] = this.#publishers;
    return { ...instance, kvEvents: first?.endpoint, replay: first?.replayEndpoint };
  }

  #makeMetrics(instance: WorkerInstance): DynamoMetrics {
    const { namespace, component, endpoint, metricsVersion: version } = this.#options;
    const metrics = new DynamoMetrics({
      clock: this.#clock,
      log: this.#log,
      workerId: this.workerId,
      namespace,
      component,
      endpoint,
      model: this.model,
      dpSize: instance.dpSize,
      version,
    });
    new UpstreamMetrics({
      metrics,
      clock: this.#clock,
      model: this.model,
      totalBlocks: instance.totalKvBlocks,
      fetch: () => this.#scrapeEngine(),
    });
    return metrics;
  }

  async #startSystem(): Promise<void> {
    const { systemPort, systemHost, systemHealthPath, systemLivePath, endpoint } = this.#options;
    if (systemPort === undefined) return;
    this.#system = createSystemServer({
      host: systemHost,
      port: systemPort,
      clock: this.#clock,
      log: this.#log,
      healthPath: systemHealthPath,
      livePath: systemLivePath,
      endpoints: () => new Map([[endpoint, this.#isReady()]]),
      live: () => this.#stopping === undefined,
      scrape: (accept) => this.#metrics!.process.scrape(accept),
      metadata: () => ({ role: 'worker', model: this.model, url: this.url, upstream: this.#upstream }),
    });
    this.#systemUrl = await this.#system.start();
  }

  #isReady(): boolean {
    return this.#ready && this.#stopping === undefined;
  }

  async #untilReady(): Promise<WorkerInstance> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#look();
      } catch (thrown) {
        if (this.#options.signal?.aborted) throw this.#options.signal.reason;
        const reason = toError(thrown).message;
        if (attempt === 0) this.#log.info({ engine: this.#upstream, reason }, 'waiting for the engine');
        await sleepUntil(this.#clock, this.#clock.nowMs() + LOOK_INTERVAL_MS, this.#options.signal);
      }
    }
  }

  #look(): Promise<WorkerInstance> {
    const spec = parseEngineSpec(this.#options.engine);
    const { kvEvents, replay } = this.#options;
    const publishes = spec.kvEvents !== PULLED_EVENTS;
    const given = {
      ...spec,
      ...(publishes && kvEvents && { kvEvents }),
      ...(publishes && replay && { replay }),
    };
    return describeEngine(this.#client, given, '0', { timeoutMs: LOOK_TIMEOUT_MS });
  }

  /** Follows the engine's health until the worker stops. */
  async #watch(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await sleepUntil(this.#clock, this.#clock.nowMs() + LOOK_INTERVAL_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const ready = await this.#look().then(
        () => true,
        () => false,
      );
      if (ready !== this.#ready)
        this.#log.warn({ engine: this.#upstream, ready }, 'the engine’s readiness changed');
      this.#ready = ready;
    }
  }

  #scrapeEngine(): Promise<EngineMetrics> {
    return readEngineMetrics(this.#client, this.#upstream, { timeoutMs: SCRAPE_TIMEOUT_MS });
  }

  #facts(): EngineFacts {
    const { blockSize, dpSize, role, kvEvents, replay, snapshot, totalKvBlocks, tokenizer } = this.#instance!;
    return {
      dpSize,
      role: this.#options.role === 'both' ? role : this.#options.role,
      ...(blockSize !== undefined && { blockSize }),
      ...(kvEvents !== undefined && { kvEvents }),
      ...(replay !== undefined && { replay }),
      ...(snapshot !== undefined && { snapshot }),
      ...(this.#cache !== undefined && { snapshot: '/kv/snapshot' }),
      ...(totalKvBlocks !== undefined && { totalKvBlocks }),
      ...(tokenizer !== undefined && { tokenizer }),
    };
  }
}
