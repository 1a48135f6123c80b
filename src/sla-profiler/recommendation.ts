import type { MappingKind } from '../formats/deployment/backend.ts';
import {
  type Bounds,
  type Candidate,
  type Choice,
  type DecodeCandidate,
  decodeKvBounds,
  kvUsage,
  prefillQueueBounds,
} from './selection.ts';

export interface SlaTarget {
  readonly islTokens: number;
  readonly oslTokens: number;
  readonly ttftMs: number;
  readonly itlMs: number;
}

export interface Recommendation {
  readonly prefill: Choice<Candidate>;
  readonly decode: Choice<DecodeCandidate>;
  readonly prefillQueue: Bounds;
  readonly kvUtilisation: number;
  readonly decodeKv: Bounds;
}

export function recommend(
  target: SlaTarget,
  prefill: Choice<Candidate>,
  decode: Choice<DecodeCandidate>,
): Recommendation {
  const kvUtilisation = kvUsage(
    decode.chosen.concurrency,
    target.islTokens,
    target.oslTokens,
    decode.chosen.maxKvTokens,
  );
  const prefillQueue = prefillQueueBounds(target.ttftMs, prefill.chosen.latencyMs);
  return { prefill, decode, prefillQueue, kvUtilisation, decodeKv: decodeKvBounds(kvUtilisation) };
}

/** How lines name a width: `TP:4`, or in the wording of the reference's code, a number of GPUs. */
export type Wording =
  | { readonly style: 'mapping'; readonly prefill: MappingKind; readonly decode: MappingKind }
  | { readonly style: 'gpus' };

/** The lines that operators and their scripts look for in the log. */
export function recommendationLines(recommendation: Recommendation, wording: Wording): string[] {
  const { prefill, decode, prefillQueue, decodeKv } = recommendation;
  const width = (phase: 'prefill' | 'decode', gpus: number): string =>
    wording.style === 'gpus'
      ? `number of GPUs for ${phase}: ${gpus}`
      : `${phase} ${wording[phase].toUpperCase()}:${gpus}`;
  const missed = (name: string): string =>
    `No TP size satisfies the ${name} requirement, please try a smaller model or a more powerful GPU SKU`;
  return [
    ...(prefill.met ? [] : [missed('TTFT')]),
    `Suggested ${width('prefill', prefill.chosen.gpus)} (TTFT ${fixed(prefill.chosen.latencyMs)} ms, throughput ${fixed(prefill.chosen.tokensPerSPerGpu)} tokens/s/GPU)`,
    `Suggested planner upper/lower bound for prefill queue size: ${fixed(prefillQueue.upper)}/${fixed(prefillQueue.lower)}`,
    ...(decode.met ? [] : [missed('ITL')]),
    `Suggested ${width('decode', decode.chosen.gpus)} (ITL ${fixed(decode.chosen.latencyMs)} ms, throughput ${fixed(decode.chosen.tokensPerSPerGpu)} tokens/s/GPU)`,
    `Suggested planner upper/lower bound for decode kv cache utilization: ${fixed(decodeKv.upper)}/${fixed(decodeKv.lower)}`,
  ];
}

function fixed(value: number): string {
  return value.toFixed(2);
}
