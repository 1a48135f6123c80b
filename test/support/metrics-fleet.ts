import type { Clock } from '../../src/base/clock.ts';
import { injectLabels } from '../../src/formats/prometheus-text/inject-labels.ts';
import { EngineGauges } from '../../src/metrics/engine-gauges.ts';
import { EventLoopMetrics } from '../../src/metrics/event-loop-metrics.ts';
import { FrontendMetrics } from '../../src/metrics/frontend-metrics.ts';
import { IndexMetrics } from '../../src/metrics/index-metrics.ts';
import { KvPublisherMetrics } from '../../src/metrics/kv-publisher-metrics.ts';
import { KvStatsMetrics } from '../../src/metrics/kv-stats-metrics.ts';
import { KvbmMetrics } from '../../src/metrics/kvbm-metrics.ts';
import { PlannerMetrics } from '../../src/metrics/planner-metrics.ts';
import { ProcessMetrics, type ProcessMetricsOptions } from '../../src/metrics/process-metrics.ts';
import { RankMetrics } from '../../src/metrics/rank-metrics.ts';
import { Registry } from '../../src/metrics/registry.ts';
import { RouterOverheadMetrics } from '../../src/metrics/router-overhead-metrics.ts';
import { RouterQueueMetrics } from '../../src/metrics/router-queue-metrics.ts';
import { RouterRequestMetrics } from '../../src/metrics/router-request-metrics.ts';
import { ThompsonMetrics } from '../../src/metrics/thompson-metrics.ts';
import { VllmMetrics } from '../../src/metrics/vllm-metrics.ts';
import { WorkHandlerMetrics } from '../../src/metrics/work-handler-metrics.ts';
import { WorkQueueMetrics } from '../../src/metrics/work-queue-metrics.ts';

const MODEL = 'test-model';

interface FleetProcess {
  readonly metrics: ProcessMetrics;
  /** One more round of traffic, the same each time. */
  drive(): void;
}

export interface FleetOptions extends Partial<ProcessMetricsOptions> {
  readonly clock: Clock;
  /** Text of an engine that is not ours, shown by the worker of the namespace `workers`. */
  readonly engineText?: () => string;
}

/** Every kind of process that exposes metrics, each driven through its bundles as the parts drive them. */
export function metricsFleet(options: FleetOptions): ReadonlyMap<string, FleetProcess> {
  return new Map<string, FleetProcess>([
    ['frontend', frontendProcess(options)],
    ['worker', workerProcess(options, 2n, 'dynamo', 'backend')],
    ['prefill', workerProcess(options, 3n, 'dynamo', 'prefill')],
    ['engine', engineProcess(options)],
    ['router', routerProcess(options)],
    ['processor', processorProcess(options)],
    ['planner', plannerProcess(options)],
    ['kvbm', kvbmProcess(options)],
  ]);
}

function frontendProcess(options: FleetOptions): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId: 1n, ...options });
  const frontend = new FrontendMetrics(metrics);
  const overhead = new RouterOverheadMetrics(metrics);
  const routed = new RouterRequestMetrics(metrics, 'dynamo', 'backend');
  const queue = new RouterQueueMetrics(metrics).queue(MODEL, 'decode', 'fcfs');
  const index = new IndexMetrics(metrics, 'dynamo', 'backend');
  const ranks = new RankMetrics(metrics, 'dynamo', 'backend');
  const loop = new EventLoopMetrics(metrics);
  index.watch(() => ({ memoryBytes: 4096, blocks: 10, residents: 12, evicted: 0 }));
  const cache = frontend.tokenizerCache(MODEL);
  const worker = { workerId: '17868415983866978093', dpRank: 0, workerType: 'decode' } as const;
  frontend.addModel(MODEL, {
    totalKvBlocks: 1000,
    contextLength: 8192,
    kvCacheBlockSize: 64,
    migrationLimit: 1,
  });
  frontend.workers.add(worker.workerId);
  ranks.add(worker);
  ranks.setState(worker, 'exact');
  const drive = (): void => {
    const guard = frontend.begin(MODEL, 'chat_completions', 'stream');
    const collector = guard.collect();
    const preprocess = frontend.stages.enter('preprocess');
    frontend.tokenized(1.5);
    cache.encoded(64, 36);
    frontend.stages.templated(0.1);
    collector.setInputTokens(100);
    preprocess.end();
    const route = frontend.stages.enter('route', 'aggregated');
    overhead.observe(0.02, 0.05, 0.06, 0.09);
    routed.routed(100, 64, 1);
    routed.started();
    route.end();
    queue.set(1, 100, 64);
    const sent = frontend.stages.send(0.2);
    frontend.workers.worker(worker).setLoad(4, 100);
    collector.attribute(worker, worker);
    sent.sent();
    sent.firstItem();
    const startMs = options.clock.nowMs();
    collector.chunk(1, startMs + 50);
    routed.firstToken(50);
    for (let tokens = 1; tokens < 129; tokens += 4) collector.chunk(4, startMs + 50 + 10 * tokens);
    routed.outputBlock(startMs + 50, startMs + 700, 65);
    collector.cachedTokens(64);
    collector.detokenized(0.5);
    frontend.stages.detokenized(0.5, 129);
    routed.predicted(100, 64, 64);
    routed.ended(129, startMs + 40, startMs + 50);
    sent.end();
    guard.succeed();
    guard.end();
    const left = frontend.begin(MODEL, 'completions', 'unary');
    left.disconnected();
    left.end();
    for (const errorType of ['validation', 'not_found', 'not_implemented', 'overload', 'internal'] as const) {
      const failed = frontend.begin(MODEL, 'chat_completions', 'unary');
      failed.fail(errorType);
      failed.end();
    }
    frontend.migrated(MODEL, 'ongoing_request');
    frontend.migrationEnded(MODEL, 'ongoing_request', 'success', 120);
    index.applied('stored', 'ok', 2);
    index.applied('stored', 'parent_block_not_found');
    index.applied('stored', 'invalid_block');
    index.applied('removed', 'ok');
    index.applied('removed', 'block_not_found');
    index.applied('cleared', 'ok');
    index.warned('duplicate_store');
    ranks.seen(worker);
    ranks.missed(worker, 1);
    ranks.rejected(worker, 'block_size');
    queue.rejected('request_limit');
    loop.slept(17);
    loop.setBusy(0.25);
  };
  return { metrics, drive };
}

function workerProcess(
  options: FleetOptions,
  instanceId: bigint,
  namespace: string,
  component: string,
): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId, ...options });
  const node = metrics.root.namespace(namespace).component(component);
  const endpoint = node.endpoint('generate', { model: MODEL, model_name: MODEL });
  const handler = new WorkHandlerMetrics(metrics, endpoint);
  const stats = new KvStatsMetrics(node);
  const gauges = new EngineGauges(endpoint);
  const publisher = new KvPublisherMetrics(node);
  const door = new WorkQueueMetrics(metrics.service);
  const raw = { dynamo_namespace: namespace, dynamo_component: component, dynamo_endpoint: 'generate' };
  const native = new Registry({}, { ...raw, worker_id: instanceId.toString(16), model: MODEL });
  metrics.attach(native);
  const engine = new VllmMetrics(native, 8192).engine({
    modelName: MODEL,
    engine: 0,
    blockSize: 64,
    numGpuBlocks: 1000,
  });
  gauges.loaded(1500);
  let round = 0;
  const drive = (): void => {
    const request = handler.arrived(400);
    door.responded(12);
    request.sending(200);
    request.failed('publish_response');
    request.cancelled();
    request.end();
    stats.publish(0, {
      activeBlocks: 250,
      totalBlocks: 1000,
      gpuCacheUsage: 0.25,
      gpuPrefixCacheHitRate: 0.5,
    });
    gauges.setRank(0, 1000, 0.25, 0.5);
    publisher.eventId(0, 3 * round++);
    publisher.received('BlockStored');
    publisher.accepted('BlockStored');
    engine.setLoad(2, 1, 0.5);
    engine.prefixLookup(100, 64);
    engine.firstToken(0.05, 100, 64);
    engine.laterTokens(0.01, 128);
    engine.speculated(10, 30, 20);
    engine.finished({
      reason: 'stop',
      promptTokens: 100,
      cachedTokens: 64,
      generationTokens: 129,
      arrivalMs: 0,
      scheduledMs: 5,
      firstTokenMs: 50,
      endMs: 1330,
    });
  };
  return { metrics, drive };
}

function engineProcess(options: FleetOptions): FleetProcess {
  const { metrics, drive } = workerProcess(options, 4n, 'workers', 'backend');
  const labels = { dynamo_namespace: 'dynamo', dynamo_component: 'backend', dynamo_endpoint: 'generate' };
  const { engineText } = options;
  if (engineText !== undefined)
    metrics.appendText(
      () => injectLabels(engineText(), { ...labels, worker_id: '4', model: MODEL, model_name: MODEL }).text,
    );
  return { metrics, drive };
}

function routerProcess(options: FleetOptions): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId: 5n, ...options });
  const endpoint = metrics.root.namespace('dynamo').component('router').endpoint('find_worker');
  const handler = new WorkHandlerMetrics(metrics, endpoint);
  return { metrics, drive: () => handler.arrived(64).end() };
}

function processorProcess(options: FleetOptions): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId: 6n, ...options });
  const thompson = new ThompsonMetrics(metrics);
  const drive = (): void => {
    const request = thompson.begin();
    thompson.decided('12');
    const blocks = { deviceBlocks: 4, hostBlocks: 2, diskBlocks: 1 };
    request.succeeded(100, 129, { promptTokens: 100, cachedTokens: 64, ...blocks });
    request.end();
  };
  return { metrics, drive };
}

function plannerProcess(options: FleetOptions): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId: 7n, ...options });
  const planner = new PlannerMetrics(metrics.service);
  const drive = (): void => {
    planner.set({ numPrefillReplicas: 1, numDecodeReplicas: 2, observedTtftMs: 50, slaTargetTtftMs: 200 });
    planner.addGpuHours(0.01);
    planner.setLoadDecision('no_change');
    planner.setEngineLoads([
      {
        workerId: '2',
        dpRank: 0,
        queuedPrefillTokens: 100,
        queuedDecodeKvTokens: 0,
        inflightDecodeKvTokens: 229,
      },
    ]);
  };
  return { metrics, drive };
}

function kvbmProcess(options: FleetOptions): FleetProcess {
  const metrics = new ProcessMetrics({ instanceId: 8n, ...options });
  const kvbm = new KvbmMetrics(metrics.service);
  const drive = (): void => {
    kvbm.add('offloadDeviceToHost', 4);
    kvbm.add('matchedTokens', 64);
    kvbm.lookedUp('host', 1, 4);
  };
  return { metrics, drive };
}
