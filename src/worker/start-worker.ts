import { type Clock, RealClock, sleepUntil } from '../base/clock.ts';
import { type Log, SILENT_LOG } from '../base/log.ts';
import type { EngineOptions } from '../engine/engine-settings.ts';
import { POLYNOMIAL_TIMING } from '../engine/timing.ts';
import type { DialectName } from '../formats/kv-events/dialects.ts';
import type { RankBlocks } from '../formats/kv-events/snapshot.ts';
import type { EngineRole } from '../formats/openai/model-card.ts';
import type { MetricsVersion } from '../metrics/registry.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { LoadFailurePolicy } from './fetch-handoff.ts';
import type { BatchListener, EncodedListener } from './kv-event-stream.ts';
import { SimulatedWorker } from './simulated-worker.ts';

/** What a worker is like; all but a few have defaults. */
export interface WorkerOptions {
  readonly host?: string;
  /** Of the OpenAI API; 0 picks a free one. */
  readonly httpPort?: number;
  readonly model?: string;
  /** 64-token blocks and the polynomial timing unless given. */
  readonly engine?: Partial<EngineOptions>;
  /** Longest prompt and answer together, in tokens; 131072 or what the pool holds unless given. */
  readonly maxModelLen?: number | undefined;
  readonly role?: EngineRole;
  /** ZMQ endpoint of KV events, rank 0; off unless given. */
  readonly kvEvents?: string | undefined;
  readonly kvEventsTopic?: string;
  readonly kvEventsDialect?: DialectName;
  /** ZMQ endpoint where missed KV events are asked for. */
  readonly replay?: string | undefined;
  /** Of the system status server; off unless given, 0 picks a free one. */
  readonly systemPort?: number | undefined;
  readonly systemHost?: string;
  readonly systemHealthPath?: string | undefined;
  readonly systemLivePath?: string | undefined;
  readonly namespace?: string;
  readonly component?: string;
  readonly endpoint?: string;
  /** u64 as decimal text; made from the URL by which others reach it unless given. */
  readonly workerId?: string | undefined;
  /** Host by which others reach it; this machine's name if it listens on all addresses. */
  readonly advertiseHost?: string | undefined;
  /** What becomes of a request whose KV cannot be fetched from another engine; `fail` unless given. */
  readonly kvLoadFailurePolicy?: LoadFailurePolicy;
  readonly tokenizer?: Tokenizer;
  /** How discovery names the tokenizer: `byte`, or a path. */
  readonly tokenizerName?: string;
  /** Pretended loading of the model. */
  readonly startupMs?: number;
  /** Of answers that no request bounds. */
  readonly meanAnswerTokens?: number;
  /** Requests in flight beyond which more are refused. */
  readonly maxRequests?: number;
  readonly seed?: number;
  readonly metricsVersion?: MetricsVersion | undefined;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Ends the wait for the pretended loading. */
  readonly signal?: AbortSignal | undefined;
}

/** A worker that serves. */
export interface RunningWorker {
  /** Base URL of its OpenAI API. */
  readonly url: string;
  readonly workerId: string;
  readonly systemUrl: string | undefined;
  /** Rank 0's endpoints, ports resolved. */
  readonly kvEvents: string | undefined;
  readonly replay: string | undefined;
  /** Hears the KV events of all ranks in this process, as they are published; returns how to stop. */
  engineEvents(listener: BatchListener): () => void;
  /** Hears the KV events of one rank as they go over the wire; returns how to stop. */
  encodedEvents(dpRank: number, listener: EncodedListener): () => void;
  /** Data-parallel ranks. */
  readonly dpSize: number;
  /** KV blocks in use, by rank. */
  usedBlocks(): Promise<readonly number[]>;
  /** All blocks that a rank holds now. */
  heldBlocks(dpRank: number): Promise<RankBlocks>;
  /** Takes no more requests, lets those in flight finish for up to `graceMs`, then stops everything. */
  stop(graceMs?: number): Promise<void>;
}

/** The options with their defaults. */
export type WorkerSettings = ReturnType<typeof withDefaults>;

export function withDefaults(options: WorkerOptions) {
  const engine: EngineOptions = {
    blockSize: 64,
    timing: POLYNOMIAL_TIMING,
    seed: options.seed ?? 0,
    emitKvEvents: true,
    emitKvTokenIds: true,
    ...options.engine,
  };
  return {
    ...options,
    engine,
    host: options.host ?? '127.0.0.1',
    httpPort: options.httpPort ?? 9001,
    model: options.model ?? 'kvasir-sim',
    role: options.role ?? 'both',
    kvEventsTopic: options.kvEventsTopic ?? '',
    kvEventsDialect: options.kvEventsDialect ?? 'kvasir',
    systemHost: options.systemHost ?? '127.0.0.1',
    namespace: options.namespace ?? 'dynamo',
    component: options.component ?? 'backend',
    endpoint: options.endpoint ?? 'generate',
    tokenizer: options.tokenizer ?? new ByteTokenizer(),
    tokenizerName: options.tokenizerName ?? 'byte',
    startupMs: options.startupMs ?? 0,
    meanAnswerTokens: options.meanAnswerTokens ?? 256,
    kvLoadFailurePolicy: options.kvLoadFailurePolicy ?? 'fail',
    maxRequests: options.maxRequests ?? 8192,
    seed: options.seed ?? 0,
    clock: options.clock ?? new RealClock(),
    log: options.log ?? SILENT_LOG,
  } as const;
}

/** Starts one simulated worker with all its listeners; resolves when it is ready for requests. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const settings = withDefaults(options);
  const worker = new SimulatedWorker(settings);
  try {
    await worker.start();
    const { clock, startupMs, signal } = settings;
    if (startupMs > 0) await sleepUntil(clock, worker.readyAtMs, signal);
    worker.becomeReady();
    return worker;
  } catch (thrown) {
    await worker.stop(0);
    throw thrown;
  }
}
