import type { ParallelMapping } from '../formats/deployment/backend.ts';
import type { SlaTarget } from './recommendation.ts';
import type { SlaProfile } from './result.ts';

/** Open-loop requests for some prefill and some decode engines. */
export interface LoadTrial {
  readonly prefill: EnginePool;
  readonly decode: EnginePool;
  /** Poisson arrivals, requests per second over all engines. */
  readonly ratePerS: number;
  readonly requests: number;
  /** Mean lengths, and the limits of a good request. */
  readonly target: SlaTarget;
  readonly seed: number;
}

export interface EnginePool {
  readonly mapping: ParallelMapping;
  readonly engines: number;
}

/** What one request met; undefined times: it was never answered. */
export interface ServedRequest {
  readonly ttftMs: number | undefined;
  /** Mean gap between its tokens. */
  readonly itlMs: number | undefined;
}

/** What serves trials: the virtual-time replay, or the engines under test themselves. */
export interface LoadServer {
  /** Shares of the promised rate to try, rising. */
  readonly loadShares: readonly number[];
  /** Most requests of one trial. */
  readonly mostRequests: number;
  /** The requests of each trial in order of arrival; undefined for a trial that failed. */
  serve(trials: readonly LoadTrial[]): Promise<readonly (readonly ServedRequest[] | undefined)[]>;
}

/** How the recommended pair does at one rate. Shares are of all requests, 0..1. */
export interface LoadOutcome {
  readonly loadShare: number;
  readonly ratePerS: number;
  /** Both limits held. */
  readonly goodShare: number;
  readonly ttftShare: number;
  readonly itlShare: number;
  /** ms. */
  readonly ttft: Quantiles;
  readonly itl: Quantiles;
}

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

export interface Validation {
  readonly prefill: EnginePool;
  readonly decode: EnginePool;
  /** Requests per second that the sweep promises for this mix. */
  readonly promisedPerS: number;
  readonly outcomes: readonly LoadOutcome[];
  /** The highest tried rate at which {@link GOOD_ENOUGH} of the requests were good; undefined: none. */
  readonly servedPerS: number | undefined;
}

export const GOOD_ENOUGH = 0.95;
const MOST_ENGINES = 8;
const FEWEST_REQUESTS = 400;
/** Requests per request in flight: long enough for the decode engines to fill up and stay so. */
const TURNOVER = 12;
/** Arrivals at both ends that do not count: the fleet fills up, and runs empty. */
const EDGE_SHARE = 0.1;

/**
 * Serves the recommended pair, in the smallest numbers that balance it, at rising shares of what the sweep promises.
 * Undefined when no trial could be served.
 */
export async function validatePair(
  profile: SlaProfile,
  server: LoadServer,
  seed: number,
): Promise<Validation | undefined> {
  const { target, prefillMapping, decodeMapping, recommendation } = profile;
  const prefillPerS = 1000 / recommendation.prefill.chosen.latencyMs;
  const { chosen } = recommendation.decode;
  const decodePerS = (chosen.tokensPerSPerGpu * chosen.gpus) / target.oslTokens;
  const prefill = { mapping: prefillMapping, engines: balanced(decodePerS / prefillPerS) };
  const decode = { mapping: decodeMapping, engines: balanced(prefillPerS / decodePerS) };
  const promisedPerS = Math.min(prefill.engines * prefillPerS, decode.engines * decodePerS);
  const requests = Math.min(
    server.mostRequests,
    Math.max(FEWEST_REQUESTS, TURNOVER * chosen.concurrency * decode.engines),
  );
  const trials = server.loadShares.map((loadShare) => ({
    prefill,
    decode,
    ratePerS: loadShare * promisedPerS,
    requests,
    target,
    seed,
  }));
  const served = await server.serve(trials);
  const outcomes = trials.flatMap(({ ratePerS }, at) => {
    const answers = served[at];
    return answers === undefined ? [] : [outcome(answers, target, server.loadShares[at]!, ratePerS)];
  });
  if (outcomes.length === 0) return undefined;
  const servedPerS = outcomes.findLast(({ goodShare }) => goodShare >= GOOD_ENOUGH)?.ratePerS;
  return { prefill, decode, promisedPerS, outcomes, servedPerS };
}

/** The finding in one line, for the log. */
export function validationLine({ prefill, decode, promisedPerS, servedPerS }: Validation): string {
  const fleet = `${prefill.engines} x prefill ${prefill.mapping.kind}${prefill.mapping.gpus} + ${decode.engines} x decode ${decode.mapping.kind}${decode.mapping.gpus}`;
  const share = 100 * GOOD_ENOUGH;
  return servedPerS === undefined
    ? `Under load, ${fleet} keeps both targets for ${share} % of mixed requests at no tried rate`
    : `Under load, ${fleet} keeps both targets for ${share} % of mixed requests up to ${servedPerS.toFixed(2)} requests/s (${Math.round((100 * servedPerS) / promisedPerS)} % of what the sweep promises)`;
}

/** The finding as a table: one row a rate. */
export function validationRows({ outcomes }: Validation): {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const ms = (value: number): string => (Number.isFinite(value) ? value.toFixed(1) : '-');
  return {
    head: [
      'load',
      'req/s',
      'goodput',
      'in TTFT',
      'in ITL',
      'TTFT p50 ms',
      'TTFT p99 ms',
      'ITL p50 ms',
      'ITL p99 ms',
    ],
    rows: outcomes.map(({ loadShare, ratePerS, goodShare, ttftShare, itlShare, ttft, itl }) => [
      `${Math.round(100 * loadShare)} %`,
      ratePerS.toFixed(2),
      ...[goodShare, ttftShare, itlShare].map(percent),
      ...[ttft.p50, ttft.p99, itl.p50, itl.p99].map(ms),
    ]),
  };
}

function balanced(ratio: number): number {
  return Math.min(MOST_ENGINES, Math.max(1, Math.round(ratio)));
}

function outcome(
  served: readonly ServedRequest[],
  target: SlaTarget,
  loadShare: number,
  ratePerS: number,
): LoadOutcome {
  const edge = Math.floor(served.length * EDGE_SHARE);
  const counted = served.slice(edge, served.length - edge);
  const share = (good: (request: ServedRequest) => boolean): number =>
    counted.filter(good).length / counted.length;
  const inTtft = ({ ttftMs }: ServedRequest): boolean => ttftMs !== undefined && ttftMs <= target.ttftMs;
  const inItl = ({ itlMs }: ServedRequest): boolean => itlMs !== undefined && itlMs <= target.itlMs;
  return {
    loadShare,
    ratePerS,
    goodShare: share((request) => inTtft(request) && inItl(request)),
    ttftShare: share(inTtft),
    itlShare: share(inItl),
    ttft: quantiles(counted.map(({ ttftMs }) => ttftMs)),
    itl: quantiles(counted.map(({ itlMs }) => itlMs)),
  };
}

/** A request without an answer waited longer than any other. */
function quantiles(values: readonly (number | undefined)[]): Quantiles {
  const sorted = values
    .map((value) => value ?? Number.POSITIVE_INFINITY)
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const at = (share: number): number => sorted[Math.round((sorted.length - 1) * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
