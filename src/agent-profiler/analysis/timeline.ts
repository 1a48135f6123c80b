import { firstAfter } from './llm-columns.ts';

/** How many spans run at each moment: `levels[i]` from `times[i]` to `times[i + 1]`. */
export class Timeline {
  readonly times: Float64Array;
  readonly levels: Int32Array;

  private constructor(times: Float64Array, levels: Int32Array) {
    this.times = times;
    this.levels = levels;
  }

  /** O(n log n). Gaps count as level 0; a span of no length changes nothing. */
  static of(startsS: Float64Array, endsS: Float64Array): Timeline {
    const starts = startsS.slice().sort();
    const ends = endsS.slice().sort();
    const times = new Float64Array(starts.length + ends.length);
    const levels = new Int32Array(times.length);
    let [s, e, used] = [0, 0, 0];
    while (s < starts.length || e < ends.length) {
      const at = Math.min(starts[s] ?? Number.POSITIVE_INFINITY, ends[e] ?? Number.POSITIVE_INFINITY);
      while (s < starts.length && starts[s]! <= at) s++;
      while (e < ends.length && ends[e]! <= at) e++;
      times[used] = at;
      levels[used++] = s - e;
    }
    return new Timeline(times.subarray(0, used), levels.subarray(0, Math.max(0, used - 1)));
  }

  get segments(): number {
    return this.levels.length;
  }

  /** The level at a moment; 0 outside. */
  levelAt(timeS: number): number {
    const at = firstAfter(this.times, timeS) - 1;
    return at >= 0 && at < this.levels.length ? this.levels[at]! : 0;
  }

  /** Seconds spent at each level, levels ascending. */
  distribution(): ReadonlyMap<number, number> {
    const seconds = new Map<number, number>();
    for (let i = 0; i < this.levels.length; i++) {
      const level = this.levels[i]!;
      seconds.set(level, (seconds.get(level) ?? 0) + this.times[i + 1]! - this.times[i]!);
    }
    return new Map([...seconds].sort(([a], [b]) => a - b));
  }
}

/** The smallest level at or below which at least p % of the time was spent; 0 without time. */
export function timeWeightedPercentile(distribution: ReadonlyMap<number, number>, p: number): number {
  let totalS = 0;
  for (const seconds of distribution.values()) totalS += seconds;
  if (totalS <= 0) return 0;
  const neededS = (totalS * p) / 100;
  let spentS = 0;
  let level = 0;
  for (const [at, seconds] of distribution) {
    level = at;
    spentS += seconds;
    if (spentS >= neededS) break;
  }
  return level;
}
