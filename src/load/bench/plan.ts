import { fail } from '../../base/errors.ts';
import type { Trace } from '../../formats/traces/trace.ts';
import type { Arrival } from '../arrival.ts';
import type { LoadPlan } from '../plan.ts';
import { syntheticPlan } from '../synthetic-plan.ts';
import { tracePlan } from '../trace-plan.ts';
import type { BenchSettings } from './settings.ts';

const DEFAULT_REQUESTS = 1000;

/** What a bench run sends: its warm-up first, where one is asked for. */
export interface BenchPlan {
  readonly warmup: LoadPlan | undefined;
  readonly main: LoadPlan;
  /** Requests per second that were asked for, as vLLM's file tells it; infinite without one. */
  readonly requestRate: number;
}

/** What a plan is made of besides the settings. */
export interface BenchInput {
  readonly idPrefix: string;
  readonly trace?: Trace | undefined;
  readonly countTokens?: ((text: string) => number) | undefined;
}

export function benchPlan(settings: BenchSettings, input: BenchInput): BenchPlan {
  const { trace, idPrefix } = input;
  const { rate, datasetName } = settings;
  const isFile = ['custom', 'burstgpt', 'trace'].includes(datasetName ?? '');
  if (isFile && trace === undefined) {
    throw fail('KV_USAGE', {
      reason: `--dataset-name ${datasetName} needs a file`,
      mend: 'Give --trace FILE.',
    });
  }
  const requestRate = parseRate(rate);
  return {
    warmup: warmupPlan(settings, idPrefix),
    main:
      trace === undefined
        ? synthetic(settings, requestRate, idPrefix)
        : replay(settings, trace, requestRate, input),
    requestRate: requestRate ?? Number.POSITIVE_INFINITY,
  };
}

/** The trace at its own pace, or its prompts at the rate that is asked for. */
function replay(
  settings: BenchSettings,
  trace: Trace,
  rate: number | undefined,
  { idPrefix, countTokens }: BenchInput,
): LoadPlan {
  return tracePlan(trace, {
    speedup: settings.speedup,
    arrival: arrivalOf(settings, rate),
    seed: settings.seed,
    concurrency: settings.concurrency,
    maxInFlight: settings.maxInFlight,
    maxDurationMs: durationMs(settings),
    limit: settings.requests,
    warmupMs: settings.warmupSec * 1000,
    idPrefix,
    countTokens,
  });
}

function synthetic(settings: BenchSettings, rate: number | undefined, idPrefix: string): LoadPlan {
  return syntheticPlan({
    requests: settings.requests ?? DEFAULT_REQUESTS,
    isl: settings.isl,
    osl: settings.osl,
    rangeRatio: settings.rangeRatio,
    ...prefixOf(settings),
    concurrency: settings.concurrency,
    arrival: arrivalOf(settings, rate),
    maxInFlight: settings.maxInFlight,
    maxDurationMs: durationMs(settings),
    seed: settings.seed,
    idPrefix,
    cancelShare: settings.cancelRate / 100,
    cancelAfterMs: settings.cancelAfterMs,
  });
}

/** vLLM's prefix_repetition has ten prefixes of 256 tokens unless told otherwise. */
function prefixOf({ datasetName, prefixLen, prefixes }: BenchSettings): {
  prefixLength: number;
  prefixes: number;
} {
  const isDefault = datasetName === 'prefix_repetition' && prefixLen === 0;
  return isDefault ? { prefixLength: 256, prefixes: 10 } : { prefixLength: prefixLen, prefixes };
}

/** Prompts of the warm-up are its own, so that they fill the machine but not the cache of the measured ones. */
function warmupPlan(settings: BenchSettings, idPrefix: string): LoadPlan | undefined {
  if (settings.numWarmups === 0) return undefined;
  return syntheticPlan({
    requests: settings.numWarmups,
    isl: settings.isl,
    osl: settings.osl,
    concurrency: Math.min(settings.numWarmups, settings.concurrency ?? 1),
    seed: settings.seed + 7919,
    phase: 'warmup',
    idPrefix: `${idPrefix}warmup-`,
  });
}

/** undefined: a closed loop. As in vLLM, a rate of inf with a concurrency is one too. */
function arrivalOf(settings: BenchSettings, rate: number | undefined): Arrival | undefined {
  const { burstiness: shape, concurrency, rampUpStrategy: strategy } = settings;
  if (strategy !== undefined) {
    const { rampUpStartRps: startRate, rampUpEndRps: endRate } = settings;
    if (startRate === undefined || endRate === undefined) {
      throw fail('KV_USAGE', {
        reason: '--ramp-up-strategy needs both ends of the ramp',
        mend: 'Give --ramp-up-start-rps and --ramp-up-end-rps.',
      });
    }
    return { kind: 'ramp', strategy, startRate, endRate, shape };
  }
  if (settings.arrival === 'burst') return { kind: 'burst' };
  if (rate === undefined) {
    if (settings.arrival === undefined) return undefined;
    throw fail('KV_USAGE', {
      reason: `--arrival ${settings.arrival} needs a rate`,
      mend: 'Give --rate R in requests per second.',
    });
  }
  if (!Number.isFinite(rate)) return concurrency === undefined ? { kind: 'burst' } : undefined;
  if (settings.arrival === 'constant') return { kind: 'constant', rate };
  if (settings.arrival === 'gamma' || shape !== 1) return { kind: 'gamma', rate, shape };
  return { kind: 'poisson', rate };
}

function parseRate(rate: string | undefined): number | undefined {
  if (rate === undefined) return undefined;
  if (/^\+?inf(inity)?$/i.test(rate)) return Number.POSITIVE_INFINITY;
  const value = Number(rate);
  if (value > 0 && Number.isFinite(value)) return value;
  throw fail('KV_SETTING_INVALID', {
    setting: '--rate',
    value: rate,
    reason: 'is not a rate',
    mend: 'Give requests per second above 0, or inf.',
  });
}

function durationMs(settings: BenchSettings): number | undefined {
  return settings.durationSec === undefined ? undefined : settings.durationSec * 1000;
}
