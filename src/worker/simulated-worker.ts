import { fail } from '../base/errors.ts';
import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { SimulatedEngine } from '../engine/simulated-engine.ts';
import type { RankBlocks } from '../formats/kv-events/snapshot.ts';
import type { EngineFacts } from '../formats/openai/model-card.ts';
import { BlockHasher } from '../kv/hash.ts';
import { advertisedUrl } from '../transport/advertised-url.ts';
import { workerIdOf } from '../transport/engine-spec.ts';
import { HttpClient } from '../transport/http-client.ts';
import { HttpServer } from '../transport/http-server.ts';
import type { ZmqPublisher } from '../transport/zmq/zmq-publisher.ts';
import { addEmbeddingsRoute } from './embeddings-route.ts';
import { addEngineRoutes } from './engine-routes.ts';
import { Handoffs } from './handoffs.ts';
import { type BatchListener, type EncodedListener, KvEventStream } from './kv-event-stream.ts';
import { startKvPublishers } from './kv-publishers.ts';
import { addOpenaiRoutes, type Service } from './openai-routes.ts';
import type { RunningWorker, WorkerSettings } from './start-worker.ts';
import { createSystemServer } from './system-server.ts';
import { TransferMeter } from './transfer-meter.ts';
import { WorkerMetrics } from './worker-metrics.ts';

/** Unless the settings say otherwise; never more than the pool holds. */
const CONTEXT_LENGTH = 131_072;
const GRACE_MS = 30_000;
/** What answers that are cut off by the end of the grace time get to reach their clients. */
const CLOSE_MS = 1000;

/** One simulated engine with its servers and publishers; owns and stops all of them. */
export class SimulatedWorker implements RunningWorker {
  readonly #settings: WorkerSettings;
  readonly #engineSettings: EngineSettings;
  readonly #contextLength: number;
  readonly #server: HttpServer;
  readonly #hasher = new BlockHasher();
  readonly #startedMs: number;
  readonly #client = new HttpClient();
  readonly #handoffs: Handoffs;
  #publishers: readonly ZmqPublisher[] = [];
  #streams: readonly KvEventStream[] = [];
  #system: HttpServer | undefined;
  #service: Service | undefined;
  #transfers: TransferMeter | undefined;
  #ready = false;
  #stopping: Promise<void> | undefined;
  #workerId = '';
  #systemUrl: string | undefined;
  #requests = 0;
  #nextRank = 0;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    const { host, httpPort: port, log, clock, model, maxModelLen } = settings;
    this.#startedMs = clock.nowMs();
    const checked = engineSettings(settings.engine);
    this.#contextLength = maxModelLen ?? Math.min(CONTEXT_LENGTH, checked.numGpuBlocks * checked.blockSize);
    this.#engineSettings = engineSettings({ ...settings.engine, maxModelLen: this.#contextLength });
    this.#server = new HttpServer({ host, port, portFlag: '--http-port', log });
    this.#handoffs = this.#makeHandoffs();
    addOpenaiRoutes(this.#server.app, () => this.#whenReady());
    addEmbeddingsRoute(this.#server.app, () => this.#whenReady());
    this.#handoffs.addRoutes(this.#server.app);
    addEngineRoutes(this.#server.app, {
      model,
      contextLength: this.#contextLength,
      createdS: Math.floor(clock.wallMs() / 1000),
      version: '0.1.0',
      facts: () => this.#facts(),
      service: () => this.#whenReady(),
      ready: () => this.#isReady(),
      live: () => this.#stopping === undefined,
      streams: () => this.#streams,
      resetCache: () => this.#whenReady().engine.resetPrefixCache(),
      scrape: (accept) => this.#loaded().metrics.dynamo.process.scrape(accept),
    });
  }

  get url(): string {
    return this.#server.url;
  }

  get workerId(): string {
    return this.#workerId;
  }

  get systemUrl(): string | undefined {
    return this.#systemUrl;
  }

  get kvEvents(): string | undefined {
    return this.#publishers[0]?.endpoint;
  }

  get replay(): string | undefined {
    return this.#publishers[0]?.replayEndpoint;
  }

  /** When the pretended loading of the model is over. */
  get readyAtMs(): number {
    return this.#startedMs + this.#settings.startupMs;
  }

  /** Binds every port and makes the engine; requests are refused until {@link becomeReady}. */
  async start(): Promise<void> {
    const { systemPort, clock, log } = this.#settings;
    this.#publishers = await this.#startPublishers();
    const url = await this.#server.start();
    const reachedAt = advertisedUrl(url, this.#settings.advertiseHost);
    this.#workerId =
      this.#settings.workerId ?? workerIdOf(reachedAt, (bytes, seed) => this.#hasher.hashBytes(bytes, seed));
    this.#service = this.#makeService();
    if (systemPort === undefined) return;
    this.#system = createSystemServer({
      host: this.#settings.systemHost,
      port: systemPort,
      clock,
      log,
      healthPath: this.#settings.systemHealthPath,
      livePath: this.#settings.systemLivePath,
      endpoints: () => new Map([[this.#settings.endpoint, this.#isReady()]]),
      live: () => this.#stopping === undefined,
      scrape: (accept) => this.#loaded().metrics.dynamo.process.scrape(accept),
      metadata: () => ({ role: 'worker', model: this.#settings.model, url, workerId: this.#workerId }),
    });
    this.#systemUrl = await this.#system.start();
  }

  becomeReady(): void {
    this.#ready = true;
    // The gauge must tell a positive time, as the reference's acceptance demands.
    this.#loaded().metrics.dynamo.gauges.loaded(Math.max(1, this.#settings.clock.nowMs() - this.#startedMs));
  }

  engineEvents(listener: BatchListener): () => void {
    const ends = this.#streams.map((stream) => stream.listen(listener));
    return () => {
      for (const end of ends) end();
    };
  }

  encodedEvents(dpRank: number, listener: EncodedListener): () => void {
    return this.#streams[dpRank]!.listenEncoded(listener);
  }

  get dpSize(): number {
    return this.#streams.length;
  }

  async usedBlocks(): Promise<readonly number[]> {
    const { engine } = this.#loaded();
    return this.#streams.map((_, rank) => engine.metrics(rank).usedBlocks);
  }

  heldBlocks(dpRank: number): Promise<RankBlocks> {
    return this.#streams[dpRank]!.heldBlocks();
  }

  stop(graceMs = GRACE_MS): Promise<void> {
    this.#stopping ??= this.#stopAll(graceMs);
    return this.#stopping;
  }

  async #stopAll(graceMs: number): Promise<void> {
    const startMs = this.#settings.clock.nowMs();
    // New connections are refused at once, while the engine finishes what it has.
    const closed = this.#server.stop(graceMs + CLOSE_MS);
    await this.#service?.engine.stop(graceMs);
    this.#handoffs.stop();
    this.#transfers?.stop();
    this.#service?.metrics.dynamo.gauges.drained(this.#settings.clock.nowMs() - startMs);
    for (const stream of this.#streams) stream.stop();
    await closed;
    await this.#system?.stop(CLOSE_MS);
    for (const publisher of this.#publishers) await publisher.stop();
    await this.#client.stop();
  }

  async #startPublishers(): Promise<readonly ZmqPublisher[]> {
    const { kvEvents, replay, kvEventsTopic: topic, log } = this.#settings;
    if (kvEvents === undefined) return [];
    return startKvPublishers({ kvEvents, replay, topic, log, ranks: this.#engineSettings.dpSize });
  }

  #makeService(): Service {
    const { clock, log, model, namespace, component, endpoint, metricsVersion } = this.#settings;
    const { backend, dpSize, blockSize, numGpuBlocks, offload } = this.#engineSettings;
    const metrics = new WorkerMetrics({
      clock,
      log,
      workerId: this.#workerId,
      namespace,
      component,
      endpoint,
      model,
      backend,
      dpSize,
      blockSize,
      numGpuBlocks,
      hostBlocks: this.#settings.role === 'decode' ? 0 : offload.hostBlocks,
      contextLength: this.#contextLength,
      version: metricsVersion,
    });
    const engine = this.#makeEngine(metrics);
    const transfers = this.#meterTransfers(metrics);
    this.#transfers = transfers;
    return {
      engine,
      clock,
      metrics,
      model,
      url: () => advertisedUrl(this.url, this.#settings.advertiseHost),
      dpSize,
      tokenizer: this.#settings.tokenizer,
      hasher: this.#hasher,
      contextLength: this.#contextLength,
      poolTokens: numGpuBlocks * blockSize,
      meanAnswerTokens: this.#settings.meanAnswerTokens,
      maxRequests: this.#settings.maxRequests,
      seed: this.#settings.seed,
      handoffs: this.#handoffs,
      nextId: () => `r${this.#requests++}`,
      nextRank: () => this.#nextRank++ % dpSize,
      observerOf: (rank) => metrics.engines[rank]!,
      onChoiceOver: (over) => metrics.choiceOver(over),
      onTransfer: (transfer) => transfers.take(transfer),
    };
  }

  #makeHandoffs(): Handoffs {
    const { clock, role, kvLoadFailurePolicy: policy } = this.#settings;
    return new Handoffs({
      clock,
      client: this.#client,
      role,
      backend: this.#engineSettings.backend,
      policy,
      engineId: () => this.#loaded().metrics.dynamo.process.instanceId.toString(16),
      onFailed: (tokens) => this.#transfers?.take({ dpRank: 0, tokens, durationMs: 0, arrived: false }),
      onExpired: () => this.#transfers?.expired(),
    });
  }

  #meterTransfers(metrics: WorkerMetrics): TransferMeter {
    const { clock, log, model, role } = this.#settings;
    const { dpSize, blockSize, transfer, offload } = this.#engineSettings;
    const { kvBytesPerToken } = transfer;
    const engineId = metrics.dynamo.process.instanceId.toString(16);
    const { native: registry } = metrics;
    const link = { dpSize, blockSize, kvBytesPerToken, engineId };
    const kinds = { handsOver: role !== 'both', offloads: offload.hostBlocks > 0 && role !== 'decode' };
    return new TransferMeter({ clock, log, registry, model, ...link, ...kinds });
  }

  #makeEngine(metrics: WorkerMetrics): SimulatedEngine {
    const { clock, kvEventsDialect: dialect } = this.#settings;
    const settings = this.#engineSettings;
    const counting = metrics.listener();
    const engine: SimulatedEngine = new SimulatedEngine({
      settings,
      clock,
      hasher: this.#hasher,
      listener: {
        ...counting,
        kvEvents: (rank, events, atMs) => {
          counting.kvEvents?.(rank, events, atMs);
          this.#streams[rank]!.publish(events, atMs);
        },
        transfers: (rank, transfers) => this.#transfers?.copied(rank, transfers),
      },
    });
    metrics.refreshOnScrape((rank) => engine.metrics(rank));
    this.#streams = Array.from(
      { length: settings.dpSize },
      (_, rank) =>
        new KvEventStream({
          rank,
          clock,
          dialect,
          blockSize: settings.blockSize,
          sink: this.#publishers[rank],
          snapshot: () => engine.snapshot(rank),
        }),
    );
    return engine;
  }

  #isReady(): boolean {
    return this.#ready && this.#stopping === undefined;
  }

  #whenReady(): Service {
    if (this.#isReady()) return this.#loaded();
    if (this.#stopping === undefined) throw fail('KV_ENGINE_STARTING', { model: this.#settings.model });
    throw fail('KV_ENGINE_STOPPING', { reason: 'the engine is shutting down' });
  }

  /** Scrapes may come between the binding of the port and the making of the engine. */
  #loaded(): Service {
    if (this.#service === undefined) throw fail('KV_ENGINE_STARTING', { model: this.#settings.model });
    return this.#service;
  }

  #facts(): EngineFacts {
    const { blockSize, dpSize, numGpuBlocks, maxNumSeqs, maxNumBatchedTokens } = this.#engineSettings;
    const { kvEvents, replay } = this;
    return {
      blockSize,
      dpSize,
      role: this.#settings.role,
      ...(kvEvents !== undefined && { kvEvents }),
      ...(replay !== undefined && { replay }),
      snapshot: '/kv/snapshot',
      totalKvBlocks: numGpuBlocks,
      maxNumSeqs,
      maxNumBatchedTokens,
      tokenizer: this.#settings.tokenizerName,
      ...(this.#handoffs.meets && { bootstrapPort: Number(new URL(this.url).port) }),
    };
  }
}
