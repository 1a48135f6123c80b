import type { ParallelMapping } from '../formats/deployment/backend.ts';
import type { Deployment, WorkerRole } from '../formats/deployment/deployment.ts';
import type { DrawnRequest } from './drawn-load.ts';

/** What one prefill probe saw: requests sent one at a time to an idle engine. */
export interface PrefillSample {
  /** Time to first token of each request. */
  readonly ttftMs: readonly number[];
  /** Simulated time that the probe took; absent on engines that run. */
  readonly virtualMs?: number;
}

/** What one decode probe saw: `concurrency` requests whose prompts were cached, decoding together. */
export interface DecodeSample {
  /** Mean inter-token latency of each request while all were decoding. */
  readonly itlMs: readonly number[];
  /** Output tokens per second of the whole engine. */
  readonly tokensPerS: number;
  /** The engine did not tell whether the prompts were cached. */
  readonly onTrust?: boolean;
  /** As of {@link PrefillSample}. */
  readonly virtualMs?: number;
}

/** What the KV cache of a whole engine holds, all ranks together. */
export interface KvCapacity {
  readonly tokens: number;
  /** Tokens of a block, where it is known: requests take whole blocks. */
  readonly blockSize?: number | undefined;
}

export interface DecodeProbe {
  readonly islTokens: number;
  readonly oslTokens: number;
  readonly concurrency: number;
  readonly seed: number;
}

/** One engine of one width, running, to be probed. A probe that failed throws; the engine stays usable. */
export interface EngineUnderTest {
  kvCapacity(): Promise<KvCapacity>;
  prefill(probe: { readonly islTokens: number; readonly seed: number }): Promise<PrefillSample>;
  decode(probe: DecodeProbe): Promise<DecodeSample>;
  /**
   * Open loop: latency of each request in ms, by the role the engine was started for. TTFT from when it was due,
   * so with its wait; or mean ITL, the prompt being cached. Null where none came. Only of targets that take load.
   */
  load?(requests: readonly DrawnRequest[], seed: number): Promise<(number | null)[]>;
  stop(): Promise<void>;
}

/** What a target is to start: one role at one width, and how it is deployed. */
export interface EngineOrder {
  readonly role: WorkerRole;
  readonly mapping: ParallelMapping;
  /** The deployment converted to this role and width. */
  readonly deployment: Deployment;
  /** Folder for logs and artefacts of this engine. */
  readonly workDir: string;
}

/** Where engines come from. Targets own what they start: `stop()` of the engine ends it. */
export interface ProfileTarget {
  readonly name: string;
  /** All that decides its measurements, for the journal's key: equal identities give comparable points. */
  readonly identity: unknown;
  /** Its engines have {@link EngineUnderTest.load}. */
  readonly takesLoad: boolean;
  /** Resolves when the engine is ready; throws KV_ENGINE_NOT_READY and the like. */
  start(order: EngineOrder, signal: AbortSignal): Promise<EngineUnderTest>;
}
