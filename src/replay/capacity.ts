import type { RequestRecord } from './record.ts';

/** Share of requests whose answer had begun when the last one arrived. */
const KEPT_UP = 0.98;
/** The search ends when the bracket is this narrow. */
const PRECISION = 0.02;
const MAX_SPEEDUP = 2 ** 20;

/** One speed-up that was tried. */
export interface CapacityProbe {
  readonly speedup: number;
  /** Share of requests whose first token came before the last arrival. */
  readonly begunShare: number;
  readonly keptUp: boolean;
}

export interface Capacity {
  /** Highest speed-up found at which the fleet kept up, within 2 %; 0 if even the slowest tried was too fast. */
  readonly speedup: number;
  readonly probes: readonly CapacityProbe[];
}

/**
 * Whether a fleet kept up with its arrivals. Beyond capacity the backlog grows with time, and the share of requests
 * not begun at the last arrival tends to 1 - capacity / load, however long answers take; below, it stays near 0.
 */
export function begunShare(records: readonly RequestRecord[]): number {
  const lastArrivalNs = records.at(-1)?.arrivalNs ?? 0;
  const begun = records.filter(
    ({ firstTokenNs }) => firstTokenNs !== undefined && firstTokenNs <= lastArrivalNs,
  );
  const servable = records.filter(({ status }) => status !== 'rejected');
  return servable.length === 0 ? 1 : begun.length / servable.length;
}

/** Doubles or halves until the capacity is bracketed, then bisects (geometrically); `probe` gives the begun share. */
export async function findCapacity(
  probe: (speedup: number) => Promise<number>,
  start = 1,
): Promise<Capacity> {
  const probes: CapacityProbe[] = [];
  const keepsUp = async (speedup: number): Promise<boolean> => {
    const share = await probe(speedup);
    probes.push({ speedup, begunShare: share, keptUp: share >= KEPT_UP });
    return share >= KEPT_UP;
  };
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  for (let speedup = start; speedup <= MAX_SPEEDUP && speedup >= 1 / MAX_SPEEDUP; ) {
    if (await keepsUp(speedup)) low = speedup;
    else high = speedup;
    if (low > 0 && high < Number.POSITIVE_INFINITY) break;
    speedup = low > 0 ? speedup * 2 : speedup / 2;
  }
  while (low > 0 && Number.isFinite(high) && high / low > 1 + PRECISION) {
    const middle = Math.sqrt(low * high);
    if (await keepsUp(middle)) low = middle;
    else high = middle;
  }
  return { speedup: low, probes };
}
