import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { closest } from '../base/settings.ts';

/** `kvasir` rules, or those of the reference with its defects (docs/guides/agent-profiler-differences.md). */
export type Compat = 'kvasir' | 'nat';

// The reference reads "yes" as true, "3" as 3 and refuses 2.5 where a whole number stands.
const bool = (value: boolean) => z.preprocess(toBoolean, z.boolean()).default(value);
const number = (value: number) => z.preprocess(toNumber, z.number()).default(value);
const whole = (value: number) => z.preprocess(toNumber, z.number().int()).default(value);

const promptCaching = z.strictObject({ enable: bool(false), min_frequency: number(0.5) });
const bottleneck = z.strictObject({ enable_simple_stack: bool(false), enable_nested_stack: bool(false) });
const spikes = z.strictObject({ enable: bool(false), spike_threshold: whole(1) });
const prefixSpan = z.strictObject({
  enable: bool(false),
  // Absent it is a count of two requests; written, it is a share of them (a count if above 1, but not in compat).
  min_support: z.preprocess(toNumber, z.number()).optional(),
  min_coverage: number(0),
  max_text_len: whole(1000),
  top_k: whole(10),
  chain_with_common_prefixes: bool(false),
});
const trie = z.strictObject({
  enable: bool(false),
  output_filename: z.string().default('prediction_trie.json'),
  auto_sensitivity: bool(true),
  sensitivity_scale: whole(5),
  w_critical: number(0.5),
  w_fanout: number(0.3),
  w_position: number(0.2),
  w_parallel: number(0),
  // Kvasir's own: scores comparable between requests instead of stretched over each.
  absolute_scores: bool(false),
});
const dynamoMetrics = z.strictObject({
  enable: bool(false),
  prometheus_url: z.string().default('http://localhost:9090'),
  collect_kv_cache: bool(true),
  collect_ttft: bool(true),
  collect_itl: bool(true),
  collect_inflight_requests: bool(true),
  collect_throughput: bool(true),
  collect_token_throughput: bool(true),
  query_range: z.string().default('30s'),
  lookback_seconds: number(0),
  workflow_start_timestamp: z.preprocess(toNumber, z.number()).nullable().default(null),
  workflow_end_timestamp: z.preprocess(toNumber, z.number()).nullable().default(null),
});

const schema = z.strictObject({
  base_metrics: bool(false),
  token_usage_forecast: bool(false),
  token_uniqueness_forecast: bool(false),
  workflow_runtime_forecast: bool(false),
  compute_llm_metrics: bool(false),
  csv_exclude_io_text: bool(false),
  prompt_caching_prefixes: promptCaching.prefault({}),
  bottleneck_analysis: bottleneck.prefault({}),
  concurrency_spike_analysis: spikes.prefault({}),
  prefix_span_analysis: prefixSpan.prefault({}),
  prediction_trie: trie.prefault({}),
  dynamo_metrics: dynamoMetrics.prefault({}),
});

/** Every key of `eval.general.profiler`, checked, with its default. */
export type ProfilerConfig = z.infer<typeof schema>;

/** Everything on: what a run without a configuration file does. */
export const ALL_ANALYSES: ProfilerConfig = schema.parse({
  base_metrics: true,
  token_usage_forecast: true,
  token_uniqueness_forecast: true,
  workflow_runtime_forecast: true,
  compute_llm_metrics: true,
  prompt_caching_prefixes: { enable: true },
  bottleneck_analysis: { enable_simple_stack: true, enable_nested_stack: true },
  concurrency_spike_analysis: { enable: true },
  prefix_span_analysis: { enable: true },
  prediction_trie: { enable: true },
});

/**
 * Reads a configuration: the keys of ProfilerConfig at the top, or under `eval.general.profiler`. Unknown keys,
 * which the reference ignores, and values that no analysis can mean anything by, are errors that name the key;
 * in compat mode unknown keys and shares outside 0..1 pass as they do there.
 */
export function readProfilerConfig(value: unknown, compat: Compat): ProfilerConfig {
  const section = profilerSection(value);
  const known = compat === 'nat' ? dropUnknown(section, schema) : section;
  const parsed = schema.safeParse(known);
  if (!parsed.success) throw invalid(parsed.error.issues[0]!, section);
  checkRanges(parsed.data, compat);
  return parsed.data;
}

function profilerSection(value: unknown): unknown {
  let at = value ?? {};
  if (isObject(at) && isObject(at.eval)) {
    const general = isObject(at.eval.general) ? at.eval.general : {};
    at = general.profiler ?? {};
  } else if (isObject(at) && 'profiler' in at) at = at.profiler ?? {};
  return at;
}

function checkRanges(config: ProfilerConfig, compat: Compat): void {
  const {
    prefix_span_analysis: span,
    prediction_trie: trieConfig,
    concurrency_spike_analysis: spike,
  } = config;
  const require = (holds: boolean, key: string, value: unknown, reason: string): void => {
    if (!holds)
      throw fail('KV_SETTING_INVALID', {
        setting: key,
        value: JSON.stringify(value),
        reason,
        mend: 'Mend the profiler configuration.',
      });
  };
  const share = (value: number): boolean => value >= 0 && value <= 1;
  require(span.top_k >= 1, 'prefix_span_analysis.top_k', span.top_k, 'is below 1');
  require(span.max_text_len >= 0, 'prefix_span_analysis.max_text_len', span.max_text_len, 'is negative');
  if (compat === 'nat') return;
  const frequency = config.prompt_caching_prefixes.min_frequency;
  require(share(frequency), 'prompt_caching_prefixes.min_frequency', frequency, 'is not between 0 and 1');
  require(spike.spike_threshold >=
    1, 'concurrency_spike_analysis.spike_threshold', spike.spike_threshold, 'is below 1');
  require(share(
    span.min_coverage,
  ), 'prefix_span_analysis.min_coverage', span.min_coverage, 'is not between 0 and 1');
  const support = span.min_support ?? 2;
  const usable = (support > 0 && support <= 1) || (support > 1 && Number.isInteger(support));
  require(usable, 'prefix_span_analysis.min_support', support, 'is neither a share of requests (up to 1) nor a count (2 or more)');
  require(trieConfig.sensitivity_scale >=
    1, 'prediction_trie.sensitivity_scale', trieConfig.sensitivity_scale, 'is below 1');
  for (const key of ['w_critical', 'w_fanout', 'w_position', 'w_parallel'] as const)
    require(trieConfig[key] >= 0, `prediction_trie.${key}`, trieConfig[key], 'is negative');
  const name = trieConfig.output_filename;
  require(name !== '' && !/[/\\]/.test(name), 'prediction_trie.output_filename', name, 'is not a file name');
  const range = config.dynamo_metrics.query_range;
  require(/^\d+(ms|s|m|h|d|w|y)$/.test(
    range,
  ), 'dynamo_metrics.query_range', range, 'is not a duration such as 30s');
}

function invalid(issue: z.core.$ZodIssue, section: unknown): Error {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const shape = issue.path.reduce<unknown>(
      (at, step) => (isObject(at) ? at[String(step)] : undefined),
      ALL_ANALYSES,
    );
    const known = Object.keys(isObject(shape) ? shape : {});
    const near = closest(key, known);
    const mend = near === undefined ? `Known keys: ${known.join(', ')}.` : `Did you mean ${near}?`;
    return fail('KV_SETTING_UNKNOWN', { setting: path === '' ? key : `${path}.${key}`, mend });
  }
  const value = issue.path.reduce<unknown>(
    (at, step) => (isObject(at) ? at[String(step)] : undefined),
    section,
  );
  return fail('KV_SETTING_INVALID', {
    setting: path || 'profiler',
    value: JSON.stringify(value),
    reason: `: ${issue.message}`,
    mend: 'Mend the profiler configuration.',
  });
}

function dropUnknown(value: unknown, at: z.ZodType): unknown {
  const object = unwrap(at);
  if (!(object instanceof z.ZodObject) || !isObject(value)) return value;
  const shape = object.shape as Record<string, z.ZodType>;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) =>
      key in shape ? [[key, dropUnknown(member, shape[key]!)]] : [],
    ),
  );
}

function unwrap(type: z.ZodType): z.ZodType {
  return type instanceof z.ZodPrefault ? (type.unwrap() as z.ZodType) : type;
}

function toBoolean(value: unknown): unknown {
  if (value === 1 || value === 0) return value === 1;
  if (typeof value !== 'string') return value;
  const word = value.toLowerCase();
  if (['true', 'yes', 'on', '1', 'y', 't'].includes(word)) return true;
  return ['false', 'no', 'off', '0', 'n', 'f'].includes(word) ? false : value;
}

function toNumber(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'string' && value.trim() !== '' && !Number.isNaN(Number(value))
    ? Number(value)
    : value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The metrics collector's switches with only KV cache, TTFT and ITL on. */
export function coreMetricsOnly(
  prometheusUrl = 'http://localhost:9090',
  queryRange = '30s',
): ProfilerConfig['dynamo_metrics'] {
  const off = {
    collect_inflight_requests: false,
    collect_throughput: false,
    collect_token_throughput: false,
  };
  return dynamoMetrics.parse({
    enable: true,
    prometheus_url: prometheusUrl,
    query_range: queryRange,
    ...off,
  });
}

/** Requests that a pattern must occur in, from the configured value. */
export function absoluteSupport(
  minSupport: number | undefined,
  requests: number,
  compat: Compat,
  round: (value: number) => number,
): number {
  if (minSupport === undefined) return 2;
  // Written values are floats to the reference: 2 means 200 % of the requests there.
  if (compat === 'kvasir' && minSupport > 1) return minSupport;
  return Math.max(1, round(minSupport * requests));
}
