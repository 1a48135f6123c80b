import { fail } from '../base/errors.ts';
import { choice, flag, int, number, type SettingsOf, text } from '../base/settings.ts';
import { parseEngineArgs } from '../engine/engine-args.ts';
import { DEFAULT_OFFLOAD, type EngineOptions } from '../engine/engine-settings.ts';
import { fixedTiming, POLYNOMIAL_TIMING, type Timing } from '../engine/timing.ts';
import { DIALECTS, type DialectName } from '../formats/kv-events/dialects.ts';
import { METRICS_VERSIONS } from '../metrics/registry.ts';
import { REGISTRATION_SETTINGS } from '../transport/discovery-settings.ts';
import type { WorkerOptions } from './start-worker.ts';
import type { UpstreamWorkerOptions } from './upstream-worker.ts';

const PORT = { min: 0, max: 65_535, placeholder: 'PORT' };

function speed(way: string, gigabytesPerS: number) {
  return number({
    default: gigabytesPerS,
    min: 0,
    placeholder: 'GB/S',
    help: `speed of KV copies from ${way}, decimal; 0 takes no time`,
  });
}

/** What the simulated engine is like; `up` has the same rows for all its workers. */
export const ENGINE_SETTINGS = {
  model: text({
    default: 'kvasir-sim',
    aliases: ['--model-name', '--served-model-name'],
    placeholder: 'NAME',
    help: 'name of the model that is served',
  }),
  engineType: choice({
    choices: ['vllm', 'sglang', 'trtllm'],
    default: 'vllm',
    help: 'which engine’s scheduler is simulated',
  }),
  numGpuBlocks: int({ default: 16_384, min: 1, help: 'KV blocks of each rank' }),
  blockSize: int({ default: 64, min: 1, help: 'tokens of a KV block' }),
  maxNumSeqs: int({ default: 256, min: 1, help: 'requests that run at once on a rank' }),
  maxNumBatchedTokens: int({ default: 8192, min: 1, help: 'tokens of one pass' }),
  maxModelLen: int({
    min: 2,
    help: 'tokens of a prompt and its answer together; 131072 or what the blocks hold unless given',
  }),
  enablePrefixCaching: flag({ default: true, help: 'reuse KV blocks of equal prefixes' }),
  enableChunkedPrefill: flag({ default: true, help: 'split prompts that exceed the tokens of a pass' }),
  preemptionMode: choice({
    choices: ['lifo', 'fifo'],
    default: 'lifo',
    help: 'who gives way when blocks run out: the newest or the oldest request',
  }),
  dataParallelSize: int({
    default: 1,
    min: 1,
    max: 1024,
    aliases: ['--dp-size'],
    help: 'data-parallel ranks, each with its own blocks',
  }),
  speedup: number({
    default: 1,
    min: 0,
    aliases: ['--speedup-ratio'],
    placeholder: 'X',
    help: 'divides every duration of the engine; 0 leaves them as they are',
  }),
  decodeSpeedup: number({
    default: 1,
    min: 0,
    aliases: ['--decode-speedup-ratio'],
    placeholder: 'X',
    help: 'divides the duration of decode steps once more',
  }),
  timing: text({
    default: 'polynomial',
    placeholder: 'MODEL',
    help: 'how long passes take: polynomial, or fixed:PREFILL_MS,DECODE_MS',
  }),
  kvBytesPerToken: int({
    min: 1,
    help: 'size of a token’s KV, which makes hand-overs between engines take time; copies to and from --num-g2-blocks take 131072 unless given',
  }),
  kvTransferBandwidth: number({
    default: 64,
    min: 0,
    placeholder: 'GB/S',
    help: 'speed of hand-overs between engines, decimal',
  }),
  numG2Blocks: int({
    default: 0,
    min: 0,
    aliases: ['--num-cpu-blocks'],
    help: 'KV blocks of host memory of each rank, for what the GPU has no room for; 0: evicted blocks are lost',
  }),
  numG3Blocks: int({
    default: 0,
    min: 0,
    help: 'KV blocks on disk of each rank, for what the host has no room for',
  }),
  bandwidthG1ToG2Gbps: speed('GPU to host', DEFAULT_OFFLOAD.deviceToHostGBps),
  bandwidthG2ToG1Gbps: speed('host to GPU', DEFAULT_OFFLOAD.hostToDeviceGBps),
  bandwidthG2ToG3Gbps: speed('host to disk', DEFAULT_OFFLOAD.hostToDiskGBps),
  bandwidthG3ToG2Gbps: speed('disk to host', DEFAULT_OFFLOAD.diskToHostGBps),
  kvLoadFailurePolicy: choice({
    choices: ['fail', 'recompute'],
    default: 'fail',
    help: 'what becomes of a request whose KV cannot be fetched from another engine',
  }),
  extraEngineArgs: text({
    placeholder: 'JSON',
    help: 'further arguments of the engine, as one JSON object with names like aic_nextn; they win',
  }),
  startupTime: number({ default: 0, min: 0, placeholder: 'SECONDS', help: 'pretended loading of the model' }),
  answerTokens: int({
    default: 256,
    min: 1,
    help: 'average length of answers to requests that do not bound them',
  }),
  maxRequests: int({ default: 8192, min: 1, help: 'requests in flight beyond which more are refused' }),
  seed: int({ default: 0, help: 'makes the answers of the model different' }),
};

/** Where a worker listens and what it is called. */
export const WORKER_SETTINGS = {
  engine: text({
    default: 'sim',
    placeholder: 'ENGINE',
    help: 'the engine to serve: sim, a simulated one, or http://HOST:PORT of one that runs already, which gets the metrics and health of a worker',
  }),
  host: text({ default: '127.0.0.1', help: 'address to listen on' }),
  httpPort: int({ ...PORT, default: 9001, help: 'port of the OpenAI API, 0 for a free one' }),
  systemPort: int({
    ...PORT,
    min: -1,
    default: -1,
    env: 'DYN_SYSTEM_PORT',
    help: 'port of the system status (health, metrics), 0 for a free one, -1 for none',
  }),
  systemHost: text({
    default: '127.0.0.1',
    env: 'DYN_SYSTEM_HOST',
    help: 'address that the system status listens on',
  }),
  systemHealthPath: text({
    default: '/health',
    env: 'DYN_SYSTEM_HEALTH_PATH',
    help: 'path of the readiness',
  }),
  systemLivePath: text({ default: '/live', env: 'DYN_SYSTEM_LIVE_PATH', help: 'path of the liveness' }),
  kvEvents: text({
    placeholder: 'tcp://HOST:PORT',
    help: 'where KV events are published; rank r uses the port plus r. Of a running engine: where it publishes them; of one with kv-events=pull behind its address, where the worker does',
  }),
  kvEventsTopic: text({ default: '', help: 'topic of KV events' }),
  kvEventsFormat: choice({
    choices: Object.keys(DIALECTS) as DialectName[],
    default: 'kvasir',
    help: 'engine version whose event format is written',
  }),
  replay: text({
    placeholder: 'tcp://HOST:PORT',
    help: 'where consumers ask for KV events that they missed',
  }),
  namespace: text({
    default: 'dynamo',
    env: 'DYN_NAMESPACE',
    help: 'label dynamo_namespace of metrics; workers and frontends of one namespace find each other',
  }),
  component: text({ default: 'backend', help: 'label dynamo_component of metrics' }),
  endpoint: text({ default: 'generate', help: 'label dynamo_endpoint of metrics' }),
  tokenizer: text({
    default: 'byte',
    placeholder: 'PATH',
    help: 'the model’s tokenizer: a tokenizer.json or the folder that holds it, or byte, where each byte is a token',
  }),
  role: choice({
    choices: ['both', 'prefill', 'decode'],
    default: 'both',
    help: 'what the worker does for disaggregated serving',
  }),
  metricsCompat: choice({
    choices: METRICS_VERSIONS,
    default: 'current',
    help: 'version whose metric names and buckets are shown',
  }),
  ...REGISTRATION_SETTINGS,
  ...ENGINE_SETTINGS,
};

/** The engine that the settings describe. */
export function engineOptions(settings: SettingsOf<typeof ENGINE_SETTINGS>): Partial<EngineOptions> {
  const extra = parseExtra(settings.extraEngineArgs);
  const parsed: Partial<EngineOptions> = extra === undefined ? {} : parseEngineArgs(extra);
  const { timing: extraTiming, transfer, offload, ...rest } = parsed;
  const hasTiming = extra?.timing_model != null;
  return {
    backend: settings.engineType,
    numGpuBlocks: settings.numGpuBlocks,
    blockSize: settings.blockSize,
    maxNumSeqs: settings.maxNumSeqs,
    maxNumBatchedTokens: settings.maxNumBatchedTokens,
    enablePrefixCaching: settings.enablePrefixCaching,
    enableChunkedPrefill: settings.enableChunkedPrefill,
    preemptionMode: settings.preemptionMode,
    dpSize: settings.dataParallelSize,
    speedupRatio: settings.speedup,
    decodeSpeedupRatio: settings.decodeSpeedup,
    ...rest,
    transfer: {
      kvBytesPerToken: settings.kvBytesPerToken,
      bandwidthGBps: settings.kvTransferBandwidth,
      ...transfer,
    },
    offload: {
      hostBlocks: settings.numG2Blocks,
      diskBlocks: settings.numG3Blocks,
      deviceToHostGBps: settings.bandwidthG1ToG2Gbps,
      hostToDeviceGBps: settings.bandwidthG2ToG1Gbps,
      hostToDiskGBps: settings.bandwidthG2ToG3Gbps,
      diskToHostGBps: settings.bandwidthG3ToG2Gbps,
      ...offload,
    },
    timing: hasTiming && extraTiming !== undefined ? extraTiming : parseTiming(settings.timing),
  };
}

/** The simulated worker that the settings describe; whoever reads files adds the tokenizer they name. */
export function workerOptions(settings: SettingsOf<typeof WORKER_SETTINGS>): WorkerOptions {
  const role = settings.role;
  return {
    host: settings.host,
    httpPort: settings.httpPort,
    model: settings.model,
    engine: { ...engineOptions(settings), workerType: role === 'both' ? 'aggregated' : role },
    maxModelLen: settings.maxModelLen,
    role,
    kvEvents: settings.kvEvents,
    kvEventsTopic: settings.kvEventsTopic,
    kvEventsDialect: settings.kvEventsFormat,
    replay: settings.replay,
    systemPort: settings.systemPort < 0 ? undefined : settings.systemPort,
    systemHost: settings.systemHost,
    systemHealthPath: settings.systemHealthPath,
    systemLivePath: settings.systemLivePath,
    namespace: settings.namespace,
    component: settings.component,
    endpoint: settings.endpoint,
    tokenizerName: settings.tokenizer,
    startupMs: settings.startupTime * 1000,
    meanAnswerTokens: settings.answerTokens,
    maxRequests: settings.maxRequests,
    seed: settings.seed,
    kvLoadFailurePolicy: settings.kvLoadFailurePolicy,
    advertiseHost: settings.advertiseHost,
    metricsVersion: settings.metricsCompat,
  };
}

/** The worker in front of a running engine that the settings describe; undefined if the engine is simulated. */
export function upstreamOptions(
  settings: SettingsOf<typeof WORKER_SETTINGS>,
): UpstreamWorkerOptions | undefined {
  const { engine, systemPort } = settings;
  if (engine === 'sim') return undefined;
  if (!/^https?:/.test(engine))
    throw fail('KV_SETTING_INVALID', {
      setting: '--engine',
      value: engine,
      reason: 'is not an engine',
      mend: 'Use sim, or the http://HOST:PORT of a running engine.',
    });
  return {
    engine,
    host: settings.host,
    httpPort: settings.httpPort,
    systemPort: systemPort < 0 ? undefined : systemPort,
    systemHost: settings.systemHost,
    systemHealthPath: settings.systemHealthPath,
    systemLivePath: settings.systemLivePath,
    namespace: settings.namespace,
    component: settings.component,
    endpoint: settings.endpoint,
    role: settings.role,
    advertiseHost: settings.advertiseHost,
    kvEvents: settings.kvEvents,
    replay: settings.replay,
    metricsVersion: settings.metricsCompat,
  };
}

function parseTiming(value: string): Timing {
  if (value === 'polynomial') return POLYNOMIAL_TIMING;
  const match = /^fixed:([\d.]+),([\d.]+)$/.exec(value);
  const [prefillMs, decodeMs] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && Number.isFinite(prefillMs) && Number.isFinite(decodeMs))
    return fixedTiming(prefillMs, decodeMs);
  throw fail('KV_SETTING_INVALID', {
    setting: '--timing',
    value,
    reason: 'is not a timing model',
    mend: 'Use polynomial, or fixed:PREFILL_MS,DECODE_MS such as fixed:20,5.',
  });
}

function parseExtra(value: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (value === undefined) return undefined;
  const invalid = (cause?: unknown): Error =>
    fail(
      'KV_SETTING_INVALID',
      {
        setting: '--extra-engine-args',
        value,
        reason: 'is not a JSON object',
        mend: 'Write it as {"aic_nextn":2}.',
      },
      cause,
    );
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return parsed as Record<string, unknown>;
  } catch (cause) {
    throw invalid(cause);
  }
  throw invalid();
}
