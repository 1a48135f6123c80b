import type { WorkerRole } from '../formats/deployment/deployment.ts';
import type { SlaProfile } from './result.ts';
import type { Candidate, Choice } from './selection.ts';

const ON_TRUST =
  'An engine does not tell what it found in its cache: that no prefill slowed its decode points is not checked';

/** What a reader of the recommendation should know of how it came about, one sentence each. */
export function findings({
  recommendation,
  refinement,
  decode,
}: Pick<SlaProfile, 'recommendation' | 'refinement' | 'decode'>): string[] {
  return [
    ...tie('prefill', recommendation.prefill),
    ...tie('decode', recommendation.decode),
    ...(refinement === undefined ? [] : [boundary(refinement)]),
    ...(decode.some(({ point }) => point.onTrust) ? [ON_TRUST] : []),
  ];
}

function tie(role: WorkerRole, { chosen, tiedWith }: Choice<Candidate>): string[] {
  if (tiedWith === undefined) return [];
  return [
    `A tie: ${role} on ${tiedWith.gpus} GPUs measured ${tiedWith.latencyMs.toFixed(2)} ms and ${tiedWith.tokensPerSPerGpu.toFixed(2)} tokens/s/GPU, which the 95 % intervals do not tell from those on ${chosen.gpus}; fewer GPUs win`,
  ];
}

function boundary({ extraPoints, gridPoints }: NonNullable<SlaProfile['refinement']>): string {
  if (gridPoints === 0) return 'The ITL target is not crossed between two points of the decode sweep';
  const saved = Math.round(100 * (1 - extraPoints / gridPoints));
  return `ITL boundary found with ${extraPoints} points beyond the grid; a grid that fine would have taken ${gridPoints} (${saved} % saved)`;
}
