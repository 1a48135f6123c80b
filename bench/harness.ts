export interface BenchOptions {
  /** Fewer samples: seconds instead of minutes, and the same floors. */
  readonly quick: boolean;
}

/** What a bench measured; `value` and `baseline` are of the same unit and taken in the same run. */
export interface Measured {
  readonly value: number;
  readonly baseline: number;
  readonly unit: string;
  /** How many times better than the baseline: above 1 is better, whatever the unit. */
  readonly ratio: number;
  /** Further figures to print. */
  readonly details?: Readonly<Record<string, number | string>>;
  /** Replaces the test against the floor, for a bench with a limit of its own. */
  readonly ok?: boolean;
}

/** One bench: `bench/<name>.ts` exports one as `bench`, and `bench/run.ts` lists it. */
export interface Bench {
  readonly summary: string;
  /** Lowest ratio that passes; absent where only details or a limit of its own count. */
  readonly floor?: number;
  run(options: BenchOptions): Measured | Promise<Measured>;
}

export interface Verdict {
  readonly bench: string;
  readonly value: number;
  readonly unit: string;
  readonly baseline: number;
  readonly ratio: number;
  readonly floor: number | null;
  readonly ok: boolean;
  readonly details: Readonly<Record<string, number | string>>;
}

/** Runs a bench and holds it against its floor. */
export async function judge(name: string, bench: Bench, options: BenchOptions): Promise<Verdict> {
  const { value, unit, baseline, ratio, details = {}, ok } = await bench.run(options);
  const passed = ok ?? (bench.floor === undefined || ratio >= bench.floor);
  return { bench: name, value, unit, baseline, ratio, floor: bench.floor ?? null, ok: passed, details };
}

/** Microseconds that a call takes, per sample, in order of taking. */
export interface Samples {
  readonly subjectUs: readonly number[];
  readonly baselineUs: readonly number[];
}

/**
 * Times two functions in turns, so that both suffer alike from what else the machine does. Each sample is the
 * mean of `repeat` calls; one tenth of the samples first warms up.
 */
export function sampleInTurns(
  subject: (round: number) => void,
  baseline: (round: number) => void,
  samples: number,
  repeat: { readonly subject: number; readonly baseline: number },
): Samples {
  const warmUp = Math.ceil(samples / 10);
  const subjectUs: number[] = [];
  const baselineUs: number[] = [];
  for (let round = -warmUp; round < samples; round++) {
    const of = Math.abs(round);
    const fast = timeUs(subject, of, repeat.subject);
    const slow = timeUs(baseline, of, repeat.baseline);
    if (round < 0) continue;
    subjectUs.push(fast);
    baselineUs.push(slow);
  }
  return { subjectUs, baselineUs };
}

function timeUs(call: (round: number) => void, round: number, repeat: number): number {
  const started = performance.now();
  for (let i = 0; i < repeat; i++) call(round * repeat + i);
  return ((performance.now() - started) * 1000) / repeat;
}

/** The value below which the given share of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Three significant digits, which is more than a shared machine repeats. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
