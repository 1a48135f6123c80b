import type { SlaPlan } from './plan.ts';

/** Told as the run proceeds; `log` lines are those operators know. */
export interface PipelineObserver {
  onPhase(phase: ProfilePhase): void;
  log(line: string): void;
}

export type ProfilePhase =
  | 'SweepingPrefill'
  | 'SweepingDecode'
  | 'SelectingConfig'
  | 'BuildingCurves'
  | 'Validating'
  | 'GeneratingDGD'
  | 'Done';

/** Points that a phase is expected to measure; refinement adds some, a small KV cache takes some away. */
export function expectedPoints(plan: SlaPlan, loadPoints: number): Partial<Record<ProfilePhase, number>> {
  const { gpuCounts, prefillIsls, decodeIsls, decodeGranularity } = plan;
  return {
    SweepingPrefill: gpuCounts.length,
    // The KV capacity counts as a point: asking for it starts the engine.
    SweepingDecode: gpuCounts.length * (1 + decodeGranularity),
    BuildingCurves: prefillIsls.length + decodeIsls.length * decodeGranularity,
    Validating: loadPoints,
  };
}
