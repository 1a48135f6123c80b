import { timeSpan } from '../analysis/base-metrics.ts';
import type { Trace } from '../input/event.ts';
import type { CallSample } from './call-samples.ts';
import { type SlackRule, slackRatios } from './parallel-slack.ts';

/** How the latency sensitivity of a call is weighed; the weights need not sum to 1. */
export interface SensitivityOptions {
  readonly scale: number;
  readonly wCritical: number;
  readonly wFanout: number;
  readonly wPosition: number;
  readonly wParallel: number;
  /** Scores as they are instead of stretched over each request; comparable between requests. */
  readonly absolute: boolean;
  /** Whether differences that times of this size cannot express count as none; the reference stretches them too. */
  readonly resolveTimes?: boolean;
  readonly slack: SlackRule;
}

/** The parts of a call's score, as the reference names them. */
export interface SensitivityScore {
  readonly logicalPosition: number;
  readonly groupSize: number;
  readonly critical: number;
  readonly fanout: number;
  readonly position: number;
  readonly slack: number;
  readonly penalty: number;
  readonly raw: number;
  /** 0 to 1. */
  readonly score: number;
}

/** Scores of the calls of one request, in their order. */
export function sensitivityScores(
  trace: Trace,
  calls: readonly CallSample[],
  options: SensitivityOptions,
): readonly SensitivityScore[] {
  if (calls.length === 0) return [];
  const [firstS, lastS] = timeSpan(trace);
  const wholeS = lastS - firstS;
  const positions = logicalPositions(calls);
  const groups = positions.reduce((most, q) => Math.max(most, q), 0) + 1;
  const sizes = new Map<number, number>();
  for (const q of positions) sizes.set(q, (sizes.get(q) ?? 0) + 1);
  const slacks = options.wParallel > 0 ? slackRatios(trace, calls, options.slack) : undefined;
  const parts = calls.map((call, i) => {
    const q = positions[i]!;
    const size = sizes.get(q)!;
    const slack = slacks?.[i] ?? 0;
    const critical = wholeS === 0 ? 1 : Math.min(call.durationS / wholeS, 1);
    const fanout = groups === 1 ? 0 : (groups - 1 - q) / (groups - 1);
    const position = groups === 1 ? 1 : Math.max(1 - q / (groups - 1), q / (groups - 1));
    const penalty = size > 1 ? (slack + (size - 1) / size) / 2 : slack;
    const raw =
      options.wCritical * critical +
      options.wFanout * fanout +
      options.wPosition * position -
      options.wParallel * penalty;
    return { logicalPosition: q, groupSize: size, critical, fanout, position, slack, penalty, raw };
  });
  if (options.absolute) return absoluteScores(parts, options);
  return relativeScores(parts, options.resolveTimes === true ? rounding(lastS, wholeS, options) : 0);
}

/** How far the raw scores of equal calls may lie apart: each duration is off by up to a step of doubles at that time. */
function rounding(lastS: number, wholeS: number, { wCritical, wParallel }: SensitivityOptions): number {
  const stepS = 2 * Number.EPSILON * Math.abs(lastS);
  const share = wholeS > 0 ? stepS / wholeS : 0;
  return 4 * (Math.abs(wCritical) + Math.abs(wParallel)) * share + 1e-12;
}

type Parts = Omit<SensitivityScore, 'score'>;

function relativeScores(parts: readonly Parts[], tolerance: number): readonly SensitivityScore[] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const { raw } of parts) {
    least = Math.min(least, raw);
    most = Math.max(most, raw);
  }
  return parts.map((part) => ({
    ...part,
    score: most - least <= tolerance ? 0.5 : (part.raw - least) / (most - least),
  }));
}

function absoluteScores(parts: readonly Parts[], options: SensitivityOptions): readonly SensitivityScore[] {
  const best = options.wCritical + options.wFanout + options.wPosition;
  return parts.map((part) => ({
    ...part,
    score: best > 0 ? Math.min(1, Math.max(0, part.raw / best)) : 0.5,
  }));
}

/** Group numbers: calls that overlap, directly or through others, share one; in order of start. */
export function logicalPositions(
  spans: readonly { readonly startS: number; readonly endS: number }[],
): readonly number[] {
  const order = [...spans.keys()].sort((a, b) => spans[a]!.startS - spans[b]!.startS);
  const positions = new Array<number>(spans.length).fill(0);
  let group = -1;
  let reachedS = Number.NEGATIVE_INFINITY;
  for (const i of order) {
    const { startS, endS } = spans[i]!;
    if (group < 0 || startS >= reachedS) {
      group++;
      reachedS = endS;
    } else reachedS = Math.max(reachedS, endS);
    positions[i] = group;
  }
  return positions;
}

/** The whole number 1..scale of a mean score; halves round to even, the lower bound wins. */
export function scoreToInt(score: number, scale: number): number {
  return Math.max(1, Math.min(scale, roundHalfEven(score * (scale - 1)) + 1));
}

export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
