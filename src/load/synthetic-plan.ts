import { type Random, SeededRandom } from '../base/random.ts';
import { type Arrival, arrivalTimes } from './arrival.ts';
import { type LoadPlan, type PlannedRequest, singleTurns } from './plan.ts';
import type { Phase } from './record.ts';

export interface SyntheticPlanOptions {
  readonly requests: number;
  /** Prompt tokens, and tokens to generate. */
  readonly isl: number;
  readonly osl: number;
  /** Lengths are uniform in [length (1-r), length (1+r)]; 0: constant. */
  readonly rangeRatio?: number | undefined;
  /** Tokens at the start of every prompt that it shares with its group, beyond `isl`, as vLLM counts them. */
  readonly prefixLength?: number | undefined;
  /** Groups of equal prefix; 1. */
  readonly prefixes?: number | undefined;
  /** Closed loop of so many requests at a time; with an arrival, a semaphore behind it. */
  readonly concurrency?: number | undefined;
  readonly arrival?: Arrival | undefined;
  readonly maxInFlight?: number | undefined;
  readonly maxDurationMs?: number | undefined;
  readonly seed?: number | undefined;
  readonly phase?: Phase | undefined;
  readonly idPrefix?: string | undefined;
  /** Share of requests whose client hangs up `cancelAfterMs` after sending. */
  readonly cancelShare?: number | undefined;
  readonly cancelAfterMs?: number | undefined;
}

/** Streams of one generator, each dimension its own: lengths do not move when the arrivals change. */
const STREAM = { input: 1, output: 2, arrival: 3, cancel: 4, group: 5 } as const;

/**
 * Requests of given lengths whose prompts share nothing but their group's prefix. The same seed makes the same
 * prompts, token by token, request by request.
 */
export function syntheticPlan(options: SyntheticPlanOptions): LoadPlan {
  const seed = options.seed ?? 0;
  const stream = (number: number): Random => new SeededRandom(seed, number);
  const [input, output, cancel, group] = [STREAM.input, STREAM.output, STREAM.cancel, STREAM.group].map(
    stream,
  ) as [Random, Random, Random, Random];
  const ratio = options.rangeRatio ?? 0;
  const prefixLength = options.prefixLength ?? 0;
  const requests = Array.from({ length: options.requests }, (_, index): PlannedRequest => {
    const own = uniformLength(options.isl, ratio, input);
    const prefix = { id: group.nextInt(options.prefixes ?? 1), length: prefixLength };
    const cancelled = cancel.next() < (options.cancelShare ?? 0);
    return {
      id: `${options.idPrefix ?? ''}request-${index}`,
      index,
      phase: options.phase ?? 'measure',
      prompt: { kind: 'parts', parts: [prefix, { id: ownId(seed, index), length: own }] },
      inputLength: prefixLength + own,
      outputLength: uniformLength(options.osl, ratio, output),
      cancelAfterMs: cancelled ? options.cancelAfterMs : undefined,
    };
  });
  const { arrival, concurrency, maxInFlight, maxDurationMs } = options;
  const times = arrival && arrivalTimes(arrival, requests.length, stream(STREAM.arrival));
  return {
    loop: times === undefined ? 'closed' : 'open',
    sessions: singleTurns(requests, times),
    concurrency: times === undefined ? (concurrency ?? 1) : concurrency,
    maxInFlight,
    maxDurationMs,
  };
}

/** Another seed gives other prompts: runs against one server must not warm each other's cache by accident. */
function ownId(seed: number, index: number): number {
  return ((seed >>> 0) % 2 ** 20) * 2 ** 30 + 2 ** 29 + index;
}

function uniformLength(length: number, ratio: number, random: Random): number {
  if (ratio === 0) return length;
  const low = Math.max(1, Math.floor(length * (1 - ratio)));
  const high = Math.max(low, Math.ceil(length * (1 + ratio)));
  return low + random.nextInt(high - low + 1);
}
