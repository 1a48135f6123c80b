import { fail } from '../base/errors.ts';
import { closest } from '../base/settings.ts';
import type { EngineOptions, EngineSettings, OffloadSettings, SglangSettings } from './engine-settings.ts';
import { fixedTiming, POLYNOMIAL_TIMING, type Timing } from './timing.ts';

const DEFAULT_ACCEPT_RATES = '0.85,0.3,0,0,0';
const DEFAULT_SPECULATIVE_SEED = 42;

/** Engine arguments of a rank under the reference's snake_case names, as in JSON files. Unknown names are errors. */
export function parseEngineArgs(args: Readonly<Record<string, unknown>>, timing?: Timing): EngineOptions {
  const options: Record<string, unknown> = { timing: timing ?? parseTiming(args.timing_model) };
  const transfer: Record<string, unknown> = {};
  const offload: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(args)) {
    if (value === null || SEPARATE.has(name)) continue;
    const target = PLAIN[name];
    if (target !== undefined) options[target] = value;
    else if (TRANSFER[name] !== undefined) transfer[TRANSFER[name]] = value;
    else if (OFFLOAD[name] !== undefined) offload[OFFLOAD[name]] = value;
    else throw unknownArgument(name);
  }
  const speculative = parseSpeculative(args);
  if (speculative !== undefined) options.speculative = speculative;
  if (args.sglang != null) options.sglang = parseSglang(args.sglang as Record<string, unknown>);
  return { ...(options as unknown as EngineOptions), transfer, offload };
}

const PLAIN: Readonly<Record<string, keyof EngineSettings>> = {
  backend: 'backend',
  num_gpu_blocks: 'numGpuBlocks',
  block_size: 'blockSize',
  max_num_seqs: 'maxNumSeqs',
  max_num_batched_tokens: 'maxNumBatchedTokens',
  max_model_len: 'maxModelLen',
  enable_prefix_caching: 'enablePrefixCaching',
  enable_chunked_prefill: 'enableChunkedPrefill',
  preemption_mode: 'preemptionMode',
  worker_type: 'workerType',
  speedup_ratio: 'speedupRatio',
  decode_speedup_ratio: 'decodeSpeedupRatio',
  emit_kv_events: 'emitKvEvents',
  emit_kv_token_ids: 'emitKvTokenIds',
  dp_size: 'dpSize',
  tensor_parallel_size: 'tensorParallelSize',
};

const TRANSFER: Readonly<Record<string, keyof EngineSettings['transfer']>> = {
  kv_bytes_per_token: 'kvBytesPerToken',
  kv_transfer_bandwidth: 'bandwidthGBps',
  kv_transfer_timing_mode: 'timingMode',
};

/** G1 is the device, G2 the host, G3 the disk. */
const OFFLOAD: Readonly<Record<string, keyof OffloadSettings>> = {
  num_g2_blocks: 'hostBlocks',
  num_g3_blocks: 'diskBlocks',
  bandwidth_g1_to_g2_gbps: 'deviceToHostGBps',
  bandwidth_g2_to_g1_gbps: 'hostToDeviceGBps',
  bandwidth_g2_to_g3_gbps: 'hostToDiskGBps',
  bandwidth_g3_to_g2_gbps: 'diskToHostGBps',
};

const SGLANG: Readonly<Record<string, keyof SglangSettings>> = {
  schedule_policy: 'schedulePolicy',
  max_prefill_tokens: 'maxPrefillTokens',
  chunked_prefill_size: 'chunkedPrefillSize',
  clip_max_new_tokens: 'clipMaxNewTokens',
  schedule_conservativeness: 'scheduleConservativeness',
};

const SPECULATIVE = ['aic_nextn', 'aic_nextn_accept_rates', 'aic_mtp_seed'] as const;
const SEPARATE = new Set<string>([...SPECULATIVE, 'timing_model', 'sglang', 'trtllm']);

function parseTiming(model: unknown): Timing {
  if (model == null || model === 'polynomial') return POLYNOMIAL_TIMING;
  const { type, prefill_ms, decode_ms } = model as Record<string, unknown>;
  if (type === 'polynomial') return POLYNOMIAL_TIMING;
  if (type === 'fixed' && typeof prefill_ms === 'number' && typeof decode_ms === 'number')
    return fixedTiming(prefill_ms, decode_ms);
  throw fail('KV_SETTING_INVALID', {
    setting: 'timing_model',
    value: JSON.stringify(model),
    reason: 'is not a timing model',
    mend: 'Use polynomial, or fixed with prefill_ms and decode_ms.',
  });
}

function parseSpeculative(args: Readonly<Record<string, unknown>>): EngineSettings['speculative'] {
  const draftTokens = args.aic_nextn as number | null | undefined;
  if (draftTokens == null) {
    if (args.aic_nextn_accept_rates == null) return undefined;
    throw fail('KV_SETTING_INVALID', {
      setting: 'aic_nextn_accept_rates',
      value: String(args.aic_nextn_accept_rates),
      reason: 'has no meaning without aic_nextn',
      mend: 'Set aic_nextn too.',
    });
  }
  return {
    draftTokens,
    acceptRates: parseAcceptRates(String(args.aic_nextn_accept_rates ?? DEFAULT_ACCEPT_RATES), draftTokens),
    seed: (args.aic_mtp_seed as number | undefined) ?? DEFAULT_SPECULATIVE_SEED,
  };
}

/** A comma list of conditional rates, cut or filled with zeros to the number of draft tokens. */
export function parseAcceptRates(list: string, draftTokens: number): readonly number[] {
  const rates = list.split(',').map((rate) => (rate.trim() === '' ? Number.NaN : Number(rate)));
  if (rates.some((rate) => !(rate >= 0 && rate <= 1))) {
    throw fail('KV_SETTING_INVALID', {
      setting: 'aic_nextn_accept_rates',
      value: list,
      reason: 'is not a comma list of rates between 0 and 1',
      mend: 'Write it as 0.85,0.3.',
    });
  }
  return Array.from({ length: draftTokens }, (_, i) => rates[i] ?? 0);
}

function parseSglang(args: Readonly<Record<string, unknown>>): Partial<SglangSettings> {
  const entries = Object.entries(args).map(([name, value]) => {
    if (SGLANG[name] === undefined) throw unknownArgument(`sglang.${name}`);
    return [SGLANG[name], value];
  });
  return Object.fromEntries(entries) as Partial<SglangSettings>;
}

function unknownArgument(name: string): Error {
  const known = [PLAIN, TRANSFER, OFFLOAD].flatMap((names) => Object.keys(names)).concat(...SEPARATE);
  const near = closest(name, known);
  const mend = near === undefined ? `Known arguments: ${known.join(', ')}.` : `Did you mean ${near}?`;
  return fail('KV_SETTING_UNKNOWN', { setting: `engine argument ${name}`, mend });
}
