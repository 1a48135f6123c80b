import { fail } from '../../base/errors.ts';
import { closest } from '../../base/settings.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';

/** Where NeMo Agent Toolkit's `config.yaml` keeps what these parameters are. */
const PARAMETERS = {
  'affinity.base': 'affinityBase',
  'affinity.reuse_weight': 'affinityReuseWeight',
  'affinity.iat_weight': 'affinityIatWeight',
  'affinity.sticky_load_floor': 'stickyLoadFloor',
  'exploration.base_ts_weight': 'baseTsWeight',
  'exploration.temperature.base': 'temperatureBase',
  'exploration.temperature.min': 'temperatureMin',
  'exploration.temperature.max': 'temperatureMax',
  'switching_cost.base': 'switchingBase',
  'switching_cost.reuse_penalty': 'switchingReusePenalty',
  'switching_cost.iat_penalty': 'switchingIatPenalty',
  'load_balancing.queue_penalty_weight': 'queuePenaltyWeight',
  'load_balancing.gpu_penalty_weight': 'gpuPenaltyWeight',
  'load_balancing.outstanding_work_weight': 'outstandingWorkWeight',
  'load_balancing.job_gpu_coupling_weight': 'jobGpuCouplingWeight',
  'load_balancing.job_queue_coupling_weight': 'jobQueueCouplingWeight',
  'prefill.token_scale': 'prefillTokenScale',
  'prefill.weight': 'prefillWeight',
  'lints.lambda': 'lambda',
  'lints.v': 'v',
  'lints.forget_rate': 'forgetRate',
  'feedback.timeout_seconds': 'feedbackTimeoutS',
  'feedback.sweep_interval_seconds': 'sweepIntervalS',
  'feedback.timeout_reward': 'timeoutReward',
  'feedback.latency_ema_alpha': 'latencyEmaAlpha',
} as const satisfies Readonly<Record<string, keyof ThompsonParameters>>;

const OTHERS = [
  'infrastructure.block_size',
  'infrastructure.router_type',
  'infrastructure.min_workers',
  'debug.traces_enabled',
  'debug.trace_dir',
  'debug.buffer_size',
] as const;
const KEYS: readonly string[] = [...Object.keys(PARAMETERS), ...OTHERS];
const SECTIONS: ReadonlySet<string> = new Set(KEYS.map((key) => key.split('.')[0]!));

const CLAMPS: Readonly<Partial<Record<keyof ThompsonParameters, readonly [number, number]>>> = {
  forgetRate: [1e-6, 0.999999],
  timeoutReward: [0, 1],
};
/** Divisors and scales, which zero or less would break. */
const POSITIVE: ReadonlySet<string> = new Set([
  'prefill.token_scale',
  'lints.lambda',
  'feedback.timeout_seconds',
]);

/** What such a file and `--override`s change. */
export interface ThompsonConfig {
  readonly parameters: Partial<ThompsonParameters>;
  readonly blockSize: number | undefined;
  /** `router_type: kv_load`: the least loaded worker, nothing is learned. */
  readonly byLoad: boolean;
  /** Healthy from so many workers on. */
  readonly minWorkers: number;
  /** `debug.traces_enabled`: where decisions are written down. */
  readonly traceFile: string | undefined;
}

/** Whether a document is such a file, by its sections. */
export function isThompsonConfig(document: unknown): boolean {
  return (
    typeof document === 'object' &&
    document !== null &&
    Object.entries(document).some(([key, value]) => SECTIONS.has(key) && typeof value === 'object')
  );
}

/** Reads a file's sections, then `key.path=value` texts, the last of a key winning. Throws KV_SETTING_INVALID. */
export function readThompsonConfig(document: unknown, overrides: readonly string[]): ThompsonConfig {
  const given = new Map<string, { readonly value: unknown; readonly setting: string }>();
  for (const [key, value] of leaves(document ?? {}, '')) given.set(key, { value, setting: '--config' });
  for (const override of overrides) {
    const at = override.indexOf('=');
    if (at < 1)
      throw invalid('--override', override, 'is not of the form key.path=value', 'Write lints.v=0.3.');
    given.set(override.slice(0, at).trim(), {
      value: castOverride(override.slice(at + 1)),
      setting: '--override',
    });
  }
  const parameters: Record<string, number> = {};
  const others: Record<string, unknown> = {};
  for (const [key, { value, setting }] of given) {
    if (!KEYS.includes(key)) {
      const near = closest(key, KEYS);
      const mend = near === undefined ? `The keys are ${KEYS.join(', ')}.` : `Did you mean ${near}?`;
      throw invalid(setting, key, 'is no key of the router’s configuration', mend);
    }
    const name = PARAMETERS[key as keyof typeof PARAMETERS];
    if (name === undefined) others[key] = value;
    else parameters[name] = numberOf(key, name, value, setting);
  }
  const type = others['infrastructure.router_type'] ?? 'kv';
  if (type !== 'kv' && type !== 'kv_load')
    throw invalid(
      'infrastructure.router_type',
      String(type),
      'is no type of router',
      'Choose from kv, kv_load.',
    );
  return {
    parameters,
    blockSize: countOf('infrastructure.block_size', others),
    byLoad: type === 'kv_load',
    minWorkers: countOf('infrastructure.min_workers', others) ?? 1,
    traceFile: traceFileOf(others),
  };
}

/** The reference's file in its folder; it keeps the last `buffer_size` in memory too, which nothing reads. */
function traceFileOf({
  'debug.traces_enabled': enabled = false,
  'debug.trace_dir': dir = '/tmp/dynamo_router_traces',
}: Readonly<Record<string, unknown>>): string | undefined {
  if (![true, false, 1, 0].includes(enabled as boolean | number))
    throw invalid('debug.traces_enabled', String(enabled), 'is neither true nor false', 'Give one.');
  if (typeof dir !== 'string' || dir === '')
    throw invalid('debug.trace_dir', String(dir), 'is no folder', 'Name one.');
  return enabled ? `${dir.replace(/\/+$/, '')}/router_traces.jsonl` : undefined;
}

function* leaves(document: unknown, path: string): Generator<readonly [string, unknown]> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    yield [path, document];
    return;
  }
  for (const [key, value] of Object.entries(document))
    yield* leaves(value, path === '' ? key : `${path}.${key}`);
}

/** The reference's order: truth values first, so that 1 and 0 are such; where a number is due they are numbers again. */
function castOverride(text: string): unknown {
  const value = text.trim();
  if (/^(true|yes)$/i.test(value)) return true;
  if (/^(false|no)$/i.test(value)) return false;
  return value !== '' && Number.isFinite(Number(value)) ? Number(value) : value;
}

function numberOf(key: string, name: keyof ThompsonParameters, value: unknown, setting: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || (value === 0 && POSITIVE.has(key)))
    throw invalid(
      setting,
      `${key}: ${value}`,
      `is no number ${POSITIVE.has(key) ? 'above 0' : 'from 0 on'}`,
      'Give one.',
    );
  const [low, high] = CLAMPS[name] ?? [0, Number.POSITIVE_INFINITY];
  return Math.min(high, Math.max(low, value));
}

function countOf(
  key: (typeof OTHERS)[number],
  others: Readonly<Record<string, unknown>>,
): number | undefined {
  const value = others[key];
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || (value as number) < (key.endsWith('min_workers') ? 0 : 1))
    throw invalid(key, String(value), 'is no count', 'Give a whole number.');
  return value as number;
}

function invalid(setting: string, value: string, reason: string, mend: string): Error {
  return fail('KV_SETTING_INVALID', { setting, value, reason, mend });
}
