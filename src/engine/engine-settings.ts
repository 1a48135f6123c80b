import { fail } from '../base/errors.ts';
import type { Timing } from './timing.ts';

export type Backend = 'vllm' | 'sglang' | 'trtllm';
export type WorkerType = 'aggregated' | 'prefill' | 'decode';

/** What one simulated engine is like. All ranks of a worker share it. */
export interface EngineSettings {
  readonly backend: Backend;
  /** Usable blocks of one rank's pool. */
  readonly numGpuBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Most requests running at once on a rank. */
  readonly maxNumSeqs: number;
  /** Token budget of one pass (vllm, trtllm). */
  readonly maxNumBatchedTokens: number;
  /** Most tokens of prompt and answer together (vllm). */
  readonly maxModelLen: number | undefined;
  readonly enablePrefixCaching: boolean;
  readonly enableChunkedPrefill: boolean;
  /** Who is preempted when blocks run out: the newest running request (`lifo`) or the oldest. */
  readonly preemptionMode: 'lifo' | 'fifo';
  readonly workerType: WorkerType;
  /** Divides every duration; 0 leaves them as they are. */
  readonly speedupRatio: number;
  /** Divides decode durations on top of `speedupRatio`. */
  readonly decodeSpeedupRatio: number;
  readonly speculative: SpeculativeSettings | undefined;
  readonly emitKvEvents: boolean;
  /** Adds the token ids to stored events. */
  readonly emitKvTokenIds: boolean;
  readonly timing: Timing;
  readonly sglang: SglangSettings;
  readonly transfer: TransferSettings;
  readonly offload: OffloadSettings;
  /** Attention data-parallel ranks of one worker, each with its own pool; their passes start together. */
  readonly dpSize: number;
  readonly tensorParallelSize: number;
  /** Seed of generated tokens. */
  readonly seed: number;
}

export interface SpeculativeSettings {
  /** Draft tokens per pass, 1 to 5. */
  readonly draftTokens: number;
  /** Chance that draft i is accepted when all before it were; as long as `draftTokens`. */
  readonly acceptRates: readonly number[];
  readonly seed: number;
}

export interface SglangSettings {
  readonly schedulePolicy: 'fifo' | 'lpm';
  readonly maxPrefillTokens: number;
  readonly chunkedPrefillSize: number;
  readonly clipMaxNewTokens: number;
  readonly scheduleConservativeness: number;
}

/** How long KV takes from a prefill to a decode worker. */
export interface TransferSettings {
  readonly kvBytesPerToken: number | undefined;
  /** Decimal GB/s; undefined or 0: the fleet's fixed latency counts instead. */
  readonly bandwidthGBps: number | undefined;
  /** Which tokens travel: the whole prompt, or only blocks that the destination lacks. */
  readonly timingMode: 'full_prompt' | 'destination_missing';
}

/** Memory below the device’s, where blocks go that it has no room for. Speeds are decimal GB/s; 0 takes no time. */
export interface OffloadSettings {
  /** Blocks of host memory per rank; 0: evicted blocks are lost. */
  readonly hostBlocks: number;
  /** Blocks on disk per rank, which the host has no room for; 0: they are lost. */
  readonly diskBlocks: number;
  readonly deviceToHostGBps: number;
  readonly hostToDeviceGBps: number;
  readonly hostToDiskGBps: number;
  readonly diskToHostGBps: number;
}

export type EngineOptions = Partial<Omit<EngineSettings, 'sglang' | 'transfer' | 'offload'>> & {
  readonly timing: Timing;
  readonly sglang?: Partial<SglangSettings>;
  readonly transfer?: Partial<TransferSettings>;
  readonly offload?: Partial<OffloadSettings>;
};

/** PCIe 4.0 x16 and one NVMe disk, as the reference's mocker has them. */
export const DEFAULT_OFFLOAD: OffloadSettings = {
  hostBlocks: 0,
  diskBlocks: 0,
  deviceToHostGBps: 14,
  hostToDeviceGBps: 14,
  hostToDiskGBps: 7,
  diskToHostGBps: 7,
};

/** Of Llama 3.1 8B in 16 bits: what offloading counts with where the size of a token's KV is not told. */
const KV_BYTES_PER_TOKEN = 131_072;

/** Bytes that a block takes in any tier. */
export function blockBytes({ blockSize, transfer }: EngineSettings): number {
  return blockSize * (transfer.kvBytesPerToken ?? KV_BYTES_PER_TOKEN);
}

const DEFAULT_BLOCK_SIZE = { vllm: 64, sglang: 1, trtllm: 32 } as const;

/** Fills in defaults and checks that the settings make sense together. */
export function engineSettings(options: EngineOptions): EngineSettings {
  const backend = options.backend ?? 'vllm';
  const settings: EngineSettings = {
    backend,
    numGpuBlocks: 16384,
    blockSize: DEFAULT_BLOCK_SIZE[backend],
    maxNumSeqs: 256,
    maxNumBatchedTokens: 8192,
    maxModelLen: undefined,
    enablePrefixCaching: true,
    enableChunkedPrefill: true,
    preemptionMode: 'lifo',
    workerType: 'aggregated',
    speedupRatio: 1,
    decodeSpeedupRatio: 1,
    speculative: undefined,
    emitKvEvents: false,
    emitKvTokenIds: false,
    dpSize: 1,
    tensorParallelSize: 1,
    seed: 0,
    ...options,
    sglang: {
      schedulePolicy: 'fifo',
      maxPrefillTokens: 16384,
      chunkedPrefillSize: 8192,
      clipMaxNewTokens: 4096,
      scheduleConservativeness: 1,
      ...options.sglang,
    },
    transfer: {
      kvBytesPerToken: undefined,
      bandwidthGBps: undefined,
      timingMode: 'full_prompt',
      ...options.transfer,
    },
    offload: { ...DEFAULT_OFFLOAD, ...options.offload },
  };
  checkSettings(settings);
  return Object.freeze(settings);
}

function checkSettings(settings: EngineSettings): void {
  const { backend, blockSize, speculative } = settings;
  const counts = ['numGpuBlocks', 'blockSize', 'maxNumSeqs', 'maxNumBatchedTokens', 'dpSize'] as const;
  for (const name of counts) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1)
      throw invalid(name, settings[name], 'is not a whole number of at least 1', 'Give 1 or more.');
  }
  if (backend !== 'sglang' && blockSize < 2)
    throw invalid('blockSize', blockSize, `is too small for ${backend}`, 'Give 2 or more.');
  for (const name of ['speedupRatio', 'decodeSpeedupRatio'] as const) {
    if (!(settings[name] >= 0) || !Number.isFinite(settings[name]))
      throw invalid(name, settings[name], 'is not a number of at least 0', 'Give 0 or more.');
  }
  if (backend === 'sglang' && !settings.enableChunkedPrefill)
    throw invalid('enableChunkedPrefill', 'false', 'is not possible with sglang', 'Leave it on.');
  if (settings.emitKvTokenIds && !settings.emitKvEvents)
    throw invalid('emitKvTokenIds', 'true', 'needs emitKvEvents', 'Turn emitKvEvents on.');
  if (speculative !== undefined) checkSpeculative(settings, speculative);
  checkOffload(settings);
}

function checkOffload({ offload, enablePrefixCaching }: EngineSettings): void {
  const { hostBlocks, diskBlocks, ...speeds } = offload;
  for (const [name, blocks] of Object.entries({ hostBlocks, diskBlocks })) {
    if (!Number.isSafeInteger(blocks) || blocks < 0)
      throw invalid(name, blocks, 'is not a whole number of at least 0', 'Give 0 or more.');
  }
  for (const [name, speed] of Object.entries(speeds)) {
    if (!(speed >= 0) || !Number.isFinite(speed))
      throw invalid(name, speed, 'is not a number of at least 0', 'Give GB/s, or 0 for no delay.');
  }
  if (diskBlocks > 0 && hostBlocks === 0)
    throw invalid('diskBlocks', diskBlocks, 'needs blocks of host memory before it', 'Set hostBlocks too.');
  if (hostBlocks > 0 && !enablePrefixCaching)
    throw invalid('hostBlocks', hostBlocks, 'has no use without prefix caching', 'Turn caching on.');
}

function checkSpeculative(settings: EngineSettings, { draftTokens, acceptRates }: SpeculativeSettings): void {
  if (!Number.isInteger(draftTokens) || draftTokens < 1 || draftTokens > 5)
    throw invalid('draftTokens', draftTokens, 'is not between 1 and 5', 'Give 1 to 5.');
  if (acceptRates.length !== draftTokens || acceptRates.some((rate) => !(rate >= 0 && rate <= 1)))
    throw invalid(
      'acceptRates',
      acceptRates.join(','),
      'must be one rate of 0 to 1 per draft token',
      'Mend it.',
    );
  if (settings.decodeSpeedupRatio !== 1)
    throw invalid(
      'decodeSpeedupRatio',
      settings.decodeSpeedupRatio,
      'must be 1 with draft tokens',
      'Leave one of them out.',
    );
}

function invalid(setting: string, value: string | number, reason: string, mend: string): Error {
  return fail('KV_SETTING_INVALID', { setting, value, reason, mend });
}
