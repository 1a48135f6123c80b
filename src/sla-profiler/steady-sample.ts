import { fail } from '../base/errors.ts';
import type { ProbeAnswer } from './probe-client.ts';
import type { DecodeSample } from './target.ts';

/**
 * Latency and throughput while every request was decoding: from the last first token to the first last one. Ramp-up
 * and tail, when the batch is smaller, would make the engine look faster than it is. Throws when there was no such
 * time, as with an engine that runs fewer requests at once.
 */
export function steadySample(answers: readonly ProbeAnswer[]): DecodeSample {
  const fromMs = Math.max(...answers.map(({ chunkMs }) => chunkMs[0]!));
  const untilMs = Math.min(...answers.map(({ chunkMs }) => chunkMs.at(-1)!));
  const together = answers.filter(({ chunkMs }) => chunkMs[0]! < untilMs).length;
  let tokens = 0;
  const itlMs = answers.map(({ chunkMs, outputTokens }) => {
    const inside = chunkMs.filter((at) => at >= fromMs && at <= untilMs);
    if (inside.length < 2) throw fail('KV_PROFILE_NOT_TOGETHER', { together, asked: answers.length });
    const seen = (inside.length - 1) * (outputTokens / chunkMs.length);
    tokens += seen;
    return (inside.at(-1)! - inside[0]!) / seen;
  });
  return { itlMs, tokensPerS: (tokens * 1000) / (untilMs - fromMs) };
}
