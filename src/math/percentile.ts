/** Values ascending, as the percentile rules want them; the input is left as it is. */
export function ascending(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** Rule of numpy's default, vLLM and aiperf: linear between the two ranks around (n-1)p/100. */
export function percentileLinear(sorted: ArrayLike<number>, p: number): number | undefined {
  if (sorted.length === 0) return undefined;
  const rank = (sorted.length - 1) * (p / 100);
  const low = Math.floor(rank);
  const share = rank - low;
  const a = sorted[low]!;
  const b = sorted[Math.min(low + 1, sorted.length - 1)]!;
  // numpy’s order of operations, to the last digit: exact at both ends, and monotonic.
  return share < 0.5 ? a + (b - a) * share : b - (b - a) * (1 - share);
}

/** Rule of the reference replay: the value at rank (n-1)p/100, halves rounded up. */
export function percentileNearest(sorted: ArrayLike<number>, p: number): number | undefined {
  if (sorted.length === 0) return undefined;
  return sorted[Math.round(((sorted.length - 1) * p) / 100)]!;
}

/**
 * Rule of guidellm: the first distinct value at which the empirical CDF reaches p. The CDF is summed in floating
 * point as it does, so p90 of 1..10 is 10: nine tenths add up to a little less than 0.9.
 */
export function percentileCdf(sorted: ArrayLike<number>, p: number): number | undefined {
  let reached = 0;
  for (let at = 0; at < sorted.length; ) {
    let next = at + 1;
    while (next < sorted.length && sorted[next] === sorted[at]) next++;
    reached += (next - at) / sorted.length;
    if (reached >= p / 100) return sorted[at]!;
    at = next;
  }
  return sorted[sorted.length - 1];
}
