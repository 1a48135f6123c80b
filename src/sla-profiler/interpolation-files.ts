import { join } from 'node:path';
import { encodeNpz, floats, integers } from '../formats/npz/npz.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { prefillTokensPerSPerGpu } from './measurements.ts';
import type { DecodeCurve, PrefillCurve, SlaProfile } from './result.ts';
import { kvUsage } from './selection.ts';

/** Columns of the prefill curve, in file order; ascending ISL. */
export interface PrefillArrays {
  /** Prompt tokens. */
  readonly prefill_isl: number[];
  /** ms. */
  readonly prefill_ttft: number[];
  /** Tokens/s/GPU. */
  readonly prefill_thpt_per_gpu: number[];
}

/** Columns of the decode curve, in file order; grouped by context length, then by requests in flight. */
export interface DecodeArrays {
  /** Share of the KV cache in use, 0..1. */
  readonly x_kv_usage: number[];
  /** Tokens, halfway through the answer. */
  readonly y_context_length: number[];
  /** ms. */
  readonly z_itl: number[];
  /** Tokens/s/GPU. */
  readonly z_thpt_per_gpu: number[];
  /** Tokens of the whole engine, one element. */
  readonly max_kv_tokens: [number];
}

export function prefillArrays({ mapping, points }: PrefillCurve): PrefillArrays {
  return {
    prefill_isl: points.map(({ islTokens }) => islTokens),
    prefill_ttft: points.map(({ ttft }) => ttft.meanMs),
    prefill_thpt_per_gpu: points.map((point) => prefillTokensPerSPerGpu(point, mapping.gpus)),
  };
}

export function decodeArrays({ mapping, maxKvTokens, points }: DecodeCurve): DecodeArrays {
  return {
    x_kv_usage: points.map(({ concurrency, islTokens, oslTokens }) =>
      kvUsage(concurrency, islTokens, oslTokens, maxKvTokens),
    ),
    y_context_length: points.map(({ islTokens, oslTokens }) => islTokens + oslTokens / 2),
    z_itl: points.map(({ itl }) => itl.meanMs),
    z_thpt_per_gpu: points.map(({ tokensPerS }) => tokensPerS / mapping.gpus),
    max_kv_tokens: [maxKvTokens],
  };
}

/** Writes both curves as the planner reads them: npz in the selected folders, and their JSON twins on top. */
export async function writeInterpolationFiles(outputDir: string, profile: SlaProfile): Promise<void> {
  const prefill = prefillArrays(profile.prefillCurve);
  const decode = decodeArrays(profile.decodeCurve);
  const prefillNpz = encodeNpz({
    prefill_isl: integers(prefill.prefill_isl),
    prefill_ttft: floats(prefill.prefill_ttft),
    prefill_thpt_per_gpu: floats(prefill.prefill_thpt_per_gpu),
  });
  const decodeNpz = encodeNpz({
    x_kv_usage: floats(decode.x_kv_usage),
    y_context_length: floats(decode.y_context_length),
    z_itl: floats(decode.z_itl),
    z_thpt_per_gpu: floats(decode.z_thpt_per_gpu),
    max_kv_tokens: integers(decode.max_kv_tokens),
  });
  await writeFileAtomic(join(outputDir, 'selected_prefill_interpolation', 'raw_data.npz'), prefillNpz);
  await writeFileAtomic(join(outputDir, 'selected_decode_interpolation', 'raw_data.npz'), decodeNpz);
  await writeFileAtomic(join(outputDir, 'prefill_raw_data.json'), `${JSON.stringify(prefill)}\n`);
  await writeFileAtomic(
    join(outputDir, 'decode_raw_data.json'),
    `${JSON.stringify({ ...decode, max_kv_tokens: decode.max_kv_tokens[0] })}\n`,
  );
}
