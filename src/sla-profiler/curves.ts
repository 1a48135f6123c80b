import { fail } from '../base/errors.ts';
import type { ParallelMapping } from '../formats/deployment/backend.ts';
import type { DecodePoint, Measurements } from './measurements.ts';
import type { PipelineObserver } from './phases.ts';
import { attentionRanks, engineOrder, type SlaPlan } from './plan.ts';
import type { DecodeCurve, PrefillCurve } from './result.ts';
import { DECODE_PROBE_OSL, inFlightCounts, requestsThatFit } from './sweep-ranges.ts';
import type { KvCapacity } from './target.ts';

/** Fewest measured prompt lengths a prefill curve is written for, as in the reference. */
export const FEWEST_PREFILL_POINTS = 3;

export async function measurePrefillCurve(
  plan: SlaPlan,
  mapping: ParallelMapping,
  measurements: Measurements,
  observer: PipelineObserver,
): Promise<PrefillCurve> {
  observer.log(`Profiling prefill under best ${mapping.gpus} GPU(s) with different ISL...`);
  const order = engineOrder(plan, 'prefill', mapping, 'selected_prefill_interpolation');
  const points = await measurements.withEngine(order, async (engine) => {
    const measured = [];
    for (const isl of plan.prefillIsls) {
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

export async function measureDecodeCurve(
  plan: SlaPlan,
  mapping: ParallelMapping,
  capacity: KvCapacity,
  measurements: Measurements,
  observer: PipelineObserver,
): Promise<DecodeCurve> {
  observer.log(`Profiling decode with ${mapping.gpus} GPUs...`);
  const order = engineOrder(plan, 'decode', mapping, 'selected_decode_interpolation');
  const ranks = attentionRanks(mapping);
  const points = await measurements.withEngine(order, async (engine) => {
    const measured: DecodePoint[] = [];
    for (const isl of plan.decodeIsls) {
      const engineMax = requestsThatFit(capacity, isl + DECODE_PROBE_OSL);
      if (engineMax === 0) {
        observer.log(
          `The engine holds ${capacity.tokens} KV tokens, too few for one request of ISL ${isl}; longer ones are left out`,
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
  return { mapping, maxKvTokens: capacity.tokens, points };
}
