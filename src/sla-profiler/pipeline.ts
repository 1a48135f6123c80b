import { fail, toError } from '../base/errors.ts';
import type { ParallelMapping } from '../formats/deployment/backend.ts';
import type { WorkerRole } from '../formats/deployment/deployment.ts';
import { measureDecodeCurve, measurePrefillCurve } from './curves.ts';
import { findings } from './findings.ts';
import { relativeHalfWidth } from './latency.ts';
import type { DecodePoint, EngineProbes, Measurements } from './measurements.ts';
import { prefillTokensPerSPerGpu } from './measurements.ts';
import type { PipelineObserver } from './phases.ts';
import { attentionRanks, engineOrder, mappingKind, type SlaPlan } from './plan.ts';
import { recommend, recommendationLines } from './recommendation.ts';
import { refineDecode } from './refinement.ts';
import type { LostCandidate, MeasuredDecode, PrefillCandidate, Refinement, SlaProfile } from './result.ts';
import { selectCandidate } from './selection.ts';
import { inFlightCounts, requestsThatFit } from './sweep-ranges.ts';
import type { EngineOrder, KvCapacity } from './target.ts';

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
  // Hours of decode would be lost on a run that cannot end well.
  const prefillChoice = selectCandidate(prefill, plan.target.ttftMs) ?? nothingMeasured('prefill', lost);
  observer.onPhase('SweepingDecode');
  observer.log('Profiling decode...');
  const swept = await sweepDecode(plan, measurements, observer, lost);

  observer.onPhase('SelectingConfig');
  observer.log('Analyzing results and generate recommendations...');
  const decodeChoice =
    selectCandidate(swept.candidates, plan.target.itlMs) ?? nothingMeasured('decode', lost);
  const recommendation = recommend(plan.target, prefillChoice, decodeChoice);
  const prefillMapping = prefillChoice.chosen.mapping;
  const decodeMapping = decodeChoice.chosen.mapping;
  const wording = { style: 'mapping', prefill: prefillMapping.kind, decode: decodeMapping.kind } as const;
  for (const line of recommendationLines(recommendation, wording)) observer.log(line);
  const found = { recommendation, refinement: swept.refinement, decode: swept.candidates };
  for (const line of findings(found)) observer.log(line);

  observer.onPhase('BuildingCurves');
  const prefillCurve = await measurePrefillCurve(plan, prefillMapping, measurements, observer);
  const decodeCurve = await measureDecodeCurve(
    plan,
    decodeMapping,
    decodeChoice.chosen.capacity,
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
          uncertainty: relativeHalfWidth(point.ttft),
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
        const capacity = await engine.kvCapacity();
        if (capacity === undefined) return false;
        const most = requestsThatFit(capacity, islTokens + oslTokens);
        const counts = inFlightCounts(ranks, most, plan.decodeGranularity);
        if (counts.length === 0)
          throw fail('KV_PROFILE_TOO_SMALL', { maxKvTokens: capacity.tokens, islTokens, oslTokens, ranks });
        observer.log(
          `Sweeping num_request range based on maximum number of kv tokens: [${counts.join(', ')}]`,
        );
        const probe = async (concurrency: number): Promise<DecodePoint | undefined> => {
          const point = await engine.decode(islTokens, oslTokens, concurrency);
          if (point !== undefined) candidates.push(decodeCandidate(mapping, capacity, point));
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
    refinement: plan.refine ? sumRefinements(refinements) : undefined,
  };
}

function decodeCandidate(mapping: ParallelMapping, capacity: KvCapacity, point: DecodePoint): MeasuredDecode {
  const tokensPerSPerGpu = point.tokensPerS / mapping.gpus;
  return {
    gpus: mapping.gpus,
    mapping,
    point,
    capacity,
    maxKvTokens: capacity.tokens,
    concurrency: point.concurrency,
    latencyMs: point.itl.meanMs,
    uncertainty: relativeHalfWidth(point.itl),
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

function nothingMeasured(phase: 'prefill' | 'decode', lost: readonly LostCandidate[]): never {
  const reasons = lost
    .filter(({ role }) => role === phase)
    .map(({ mapping, reason }) => `${mapping.kind}${mapping.gpus}: ${reason}`);
  throw fail('KV_PROFILE_TOO_FEW_POINTS', { phase, measured: 0, needed: 1, reason: reasons.join('; ') });
}

function sumRefinements(all: readonly Refinement[]): Refinement {
  const sum = (pick: (refinement: Refinement) => number): number =>
    all.reduce((total, refinement) => total + pick(refinement), 0);
  return { extraPoints: sum((r) => r.extraPoints), gridPoints: sum((r) => r.gridPoints) };
}
