import type { DecodePoint } from './measurements.ts';
import type { Refinement } from './result.ts';

/** The boundary is known well enough when the two points around it are this close, as a share of the lower one. */
const RESOLUTION_SHARE = 0.02;

/**
 * Bisects the requests in flight between the last point that meets the ITL target and the first that does not.
 * Undefined when the grid has no such pair. `probe` measures one more point, in multiples of `step` requests.
 */
export async function refineDecode(
  grid: readonly DecodePoint[],
  targetItlMs: number,
  step: number,
  probe: (concurrency: number) => Promise<DecodePoint | undefined>,
): Promise<Refinement | undefined> {
  const sorted = grid.toSorted((a, b) => a.concurrency - b.concurrency);
  const firstMiss = sorted.findIndex((point) => point.itl.meanMs > targetItlMs);
  if (firstMiss < 1) return undefined;
  let low = sorted[firstMiss - 1]!.concurrency;
  let high = sorted[firstMiss]!.concurrency;
  let extraPoints = 0;
  const resolution = Math.max(step, Math.floor((low * RESOLUTION_SHARE) / step) * step);
  while (high - low > resolution) {
    const middle = Math.round((low + high) / 2 / step) * step;
    if (middle <= low || middle >= high) break;
    const point = await probe(middle);
    if (point === undefined) break;
    extraPoints++;
    if (point.itl.meanMs <= targetItlMs) low = middle;
    else high = middle;
  }
  const span = sorted.at(-1)!.concurrency - sorted[0]!.concurrency;
  return { extraPoints, gridPoints: Math.ceil(span / resolution) + 1 - sorted.length };
}
