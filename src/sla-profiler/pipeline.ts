import { join } from 'node:path';
import { fail, toError } from '../base/errors.ts';
import {
  type BackendName,
  backendOf,
  convertToRole,
  type MappingKind,
  type ParallelMapping,
  setMapping,
} from '../formats/deployment/backend.ts';
import type { Deployment, WorkerRole } from '../formats/deployment/deployment.ts';
import type { DecodePoint, EngineProbes, Measurements } from './measurements.ts';
import { prefillTokensPerSPerGpu } from './measurements.ts';
import { recommend, type SlaTarget } from './recommendation.ts';
import { refineDecode } from './refinement.ts';
import type {
  DecodeCurve,
  LostCandidate,
  MeasuredDecode,
  PrefillCandidate,
  PrefillCurve,
  Refinement,
  SlaProfile,
} from './result.ts';
import { selectCandidate } from './selection.ts';
import { DECODE_PROBE_OSL, decodeIsls, inFlightCounts, prefillIsls } from './sweep-ranges.ts';
import type { EngineOrder } from './target.ts';

export interface SlaPlan {
  readonly backend: BackendName;
  readonly base: Deployment;
  readonly target: SlaTarget;
  readonly outputDir: string;
  readonly gpuCounts: readonly number[];
  readonly gpusPerNode: number;
  readonly moe: boolean;
  readonly maxContextLength: number;
  readonly prefillGranularity: number;
  readonly decodeGranularity: number;
  /** Look for the SLA boundary between the points of the grid. */
  readonly refine: boolean;
}

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
  | 'GeneratingDGD'
  | 'Done';

/** Fewest measured prompt lengths a prefill curve can be interpolated from (a cubic spline needs four). */
const FEWEST_PREFILL_POINTS = 4;

/** The deployment of one role at one width, and where its files go. */
export function engineOrder(
  plan: SlaPlan,
  role: WorkerRole,
  mapping: ParallelMapping,
  folder: string,
): EngineOrder {
  const backend = backendOf(plan.backend);
  const deployment = convertToRole(plan.base, backend, role, plan.moe);
  setMapping(
    deployment,
    backend,
    deployment.workerService('decode', backend.defaultServices.decode),
    mapping,
    plan.gpusPerNode,
  );
  return { role, mapping, deployment, workDir: join(plan.outputDir, folder) };
}

export function mappingKind(role: WorkerRole, moe: boolean): MappingKind {
  if (!moe) return 'tp';
  return role === 'prefill' ? 'tep' : 'dep';
}

/** Attention data-parallel ranks of a mapping. */
export function attentionRanks({ kind, gpus }: ParallelMapping): number {
  return kind === 'dep' ? gpus : 1;
}

/** Sweeps both roles, chooses, and measures the chosen engines densely. Throws when a role has no point at all. */
export async function profileSla(
  plan: SlaPlan,
  measurements: Measurements,
  observer: PipelineObserver,
): Promise<SlaProfile> {
  const lost: LostCandidate[] = [];
  observer.log(
    plan.moe
      ? 'MoE model profiling, sweeping TEP size for prefill and DEP size for decode'
      : 'Standard dense model profiling, sweeping TP size for both prefill and decode',
  );
  observer.log(
    `Profiling ${plan.moe ? 'MoE' : 'dense'} model GPU counts (${plan.moe ? 'TEP/DEP' : 'TP'}): [${plan.gpuCounts.join(', ')}]`,
  );

  observer.onPhase('SweepingPrefill');
  observer.log('Profiling prefill...');
  const prefill = await sweepPrefill(plan, measurements, observer, lost);
  observer.onPhase('SweepingDecode');
  observer.log('Profiling decode...');
  const swept = await sweepDecode(plan, measurements, observer, lost);

  observer.onPhase('SelectingConfig');
  observer.log('Analyzing results and generate recommendations...');
  const prefillChoice = selectCandidate(prefill, plan.target.ttftMs) ?? nothingMeasured('prefill', lost);
  const decodeChoice =
    selectCandidate(swept.candidates, plan.target.itlMs) ?? nothingMeasured('decode', lost);
  const recommendation = recommend(plan.target, prefillChoice, decodeChoice);

  observer.onPhase('BuildingCurves');
  const prefillMapping = prefillChoice.chosen.mapping;
  const decodeMapping = decodeChoice.chosen.mapping;
  const prefillCurve = await measurePrefillCurve(plan, prefillMapping, measurements, observer);
  const decodeCurve = await measureDecodeCurve(
    plan,
    decodeMapping,
    decodeChoice.chosen.maxKvTokens,
    measurements,
    observer,
  );
  return {
    backend: plan.backend,
    target: plan.target,
    prefill,
    decode: swept.candidates,
    lost,
    recommendation,
    prefillMapping,
    decodeMapping,
    prefillCurve,
    decodeCurve,
    refinement: swept.refinement,
    counts: measurements.counts,
  };
}

async function sweepPrefill(
  plan: SlaPlan,
  measurements: Measurements,
  observer: PipelineObserver,
  lost: LostCandidate[],
): Promise<PrefillCandidate[]> {
  const candidates: PrefillCandidate[] = [];
  for (const gpus of plan.gpuCounts) {
    const mapping = { kind: mappingKind('prefill', plan.moe), gpus };
    observer.log(`Profiling prefill with ${gpus} GPUs...`);
    await isolated(
      'prefill',
      mapping,
      lost,
      measurements,
      engineOrder(plan, 'prefill', mapping, `prefill_${mapping.kind}${gpus}`),
      async (engine) => {
        const point = await engine.prefill(plan.target.islTokens);
        if (point === undefined) return false;
        candidates.push({
          gpus,
          mapping,
          point,
          latencyMs: point.ttft.meanMs,
          tokensPerSPerGpu: prefillTokensPerSPerGpu(point, gpus),
        });
        return true;
      },
    );
  }
  return candidates;
}

async function sweepDecode(
  plan: SlaPlan,
  measurements: Measurements,
  observer: PipelineObserver,
  lost: LostCandidate[],
): Promise<{ candidates: MeasuredDecode[]; refinement: Refinement | undefined }> {
  const { islTokens, oslTokens, itlMs } = plan.target;
  const candidates: MeasuredDecode[] = [];
  const refinements: Refinement[] = [];
  for (const gpus of plan.gpuCounts) {
    const mapping = { kind: mappingKind('decode', plan.moe), gpus };
    const ranks = attentionRanks(mapping);
    observer.log(`Profiling decode with ${gpus} GPUs...`);
    await isolated(
      'decode',
      mapping,
      lost,
      measurements,
      engineOrder(plan, 'decode', mapping, `decode_${mapping.kind}${gpus}`),
      async (engine) => {
        const maxKvTokens = await engine.kvTokens();
        if (maxKvTokens === undefined) return false;
        const counts = inFlightCounts(
          ranks,
          Math.floor(maxKvTokens / (islTokens + oslTokens)),
          plan.decodeGranularity,
        );
        observer.log(
          `Sweeping num_request range based on maximum number of kv tokens: [${counts.join(', ')}]`,
        );
        const probe = async (concurrency: number): Promise<DecodePoint | undefined> => {
          const point = await engine.decode(islTokens, oslTokens, concurrency);
          if (point !== undefined) candidates.push(decodeCandidate(mapping, maxKvTokens, point));
          return point;
        };
        for (const concurrency of counts) await probe(concurrency);
        const measured = candidates.filter((candidate) => candidate.mapping === mapping);
        if (plan.refine) {
          const refined = await refineDecode(
            measured.map(({ point }) => point),
            itlMs,
            ranks,
            probe,
          );
          if (refined !== undefined) refinements.push(refined);
        }
        return measured.length > 0;
      },
    );
  }
  return {
    candidates: candidates.toSorted((a, b) => a.gpus - b.gpus || a.concurrency - b.concurrency),
    refinement: sumRefinements(refinements),
  };
}

function decodeCandidate(mapping: ParallelMapping, maxKvTokens: number, point: DecodePoint): MeasuredDecode {
  const tokensPerSPerGpu = point.tokensPerS / mapping.gpus;
  return {
    gpus: mapping.gpus,
    mapping,
    point,
    maxKvTokens,
    concurrency: point.concurrency,
    latencyMs: point.itl.meanMs,
    tokensPerSPerGpu,
  };
}

/** One width's failure must not end the others: it is noted with its reason. */
async function isolated(
  role: WorkerRole,
  mapping: ParallelMapping,
  lost: LostCandidate[],
  measurements: Measurements,
  order: EngineOrder,
  use: (engine: EngineProbes) => Promise<boolean>,
): Promise<void> {
  try {
    const measured = await measurements.withEngine(order, use);
    if (!measured)
      lost.push({ role, mapping, reason: measurements.lastFailure ?? 'no point could be measured' });
  } catch (thrown) {
    if (measurements.stopped) throw thrown;
    lost.push({ role, mapping, reason: toError(thrown).message });
  }
}

async function measurePrefillCurve(
  plan: SlaPlan,
  mapping: ParallelMapping,
  measurements: Measurements,
  observer: PipelineObserver,
): Promise<PrefillCurve> {
  observer.log(`Profiling prefill under best ${mapping.gpus} GPU(s) with different ISL...`);
  const order = engineOrder(plan, 'prefill', mapping, 'selected_prefill_interpolation');
  const points = await measurements.withEngine(order, async (engine) => {
    const measured = [];
    for (const isl of prefillIsls(plan.maxContextLength, plan.prefillGranularity)) {
      const point = await engine.prefill(isl);
      if (point !== undefined) measured.push(point);
    }
    return measured;
  });
  if (points.length < FEWEST_PREFILL_POINTS) {
    throw fail('KV_PROFILE_TOO_FEW_POINTS', {
      phase: 'prefill',
      measured: points.length,
      needed: FEWEST_PREFILL_POINTS,
      reason: measurements.lastFailure ?? '',
    });
  }
  return { mapping, points };
}

async function measureDecodeCurve(
  plan: SlaPlan,
  mapping: ParallelMapping,
  maxKvTokens: number,
  measurements: Measurements,
  observer: PipelineObserver,
): Promise<DecodeCurve> {
  observer.log(`Profiling decode with ${mapping.gpus} GPUs...`);
  const order = engineOrder(plan, 'decode', mapping, 'selected_decode_interpolation');
  const ranks = attentionRanks(mapping);
  const points = await measurements.withEngine(order, async (engine) => {
    const measured: DecodePoint[] = [];
    for (const isl of decodeIsls(plan.maxContextLength, plan.decodeGranularity)) {
      const engineMax = Math.floor(maxKvTokens / (isl + DECODE_PROBE_OSL));
      if (engineMax === 0) {
        observer.log(
          `The engine holds ${maxKvTokens} KV tokens, too few for one request of ISL ${isl}; longer ones are left out`,
        );
        break;
      }
      for (const concurrency of inFlightCounts(ranks, engineMax, plan.decodeGranularity)) {
        const point = await engine.decode(isl, DECODE_PROBE_OSL, concurrency);
        if (point !== undefined) measured.push(point);
      }
    }
    return measured;
  });
  if (points.length === 0) {
    throw fail('KV_PROFILE_TOO_FEW_POINTS', {
      phase: 'decode',
      measured: 0,
      needed: 1,
      reason: measurements.lastFailure ?? '',
    });
  }
  return { mapping, maxKvTokens, points };
}

function nothingMeasured(phase: 'prefill' | 'decode', lost: readonly LostCandidate[]): never {
  const reasons = lost
    .filter(({ role }) => role === phase)
    .map(({ mapping, reason }) => `${mapping.kind}${mapping.gpus}: ${reason}`);
  throw fail('KV_PROFILE_TOO_FEW_POINTS', { phase, measured: 0, needed: 1, reason: reasons.join('; ') });
}

function sumRefinements(all: readonly Refinement[]): Refinement | undefined {
  if (all.length === 0) return undefined;
  const sum = (pick: (refinement: Refinement) => number): number =>
    all.reduce((total, refinement) => total + pick(refinement), 0);
  return { extraPoints: sum((r) => r.extraPoints), gridPoints: sum((r) => r.gridPoints) };
}
