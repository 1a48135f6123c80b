import { type Goals, isGood } from '../measure/goodput.ts';
import { contentTimes, timings } from '../measure/timings.ts';
import { inputTokens, type LoadRun, outputTokens, type RequestRecord } from '../record.ts';

export interface MetricValue {
  readonly value: number | readonly number[];
  readonly unit: string;
}

/** aiperf's metrics of one completed request, by tag; a metric that does not apply is absent. */
export function recordMetrics(record: RequestRecord): Record<string, MetricValue> {
  const { ttftMs, ttstMs, latencyMs, tpotMs, gapsMs } = timings(record, 'aiperf');
  const output = outputTokens(record);
  const input = inputTokens(record);
  const reasoning = record.usage?.reasoningTokens;
  const metrics: Record<string, MetricValue> = {};
  const put = (tag: string, value: number | readonly number[] | undefined, unit: string): void => {
    if (value !== undefined) metrics[tag] = { value, unit };
  };
  put('request_latency', latencyMs, 'ms');
  put('time_to_first_token', ttftMs, 'ms');
  put('time_to_second_token', ttstMs, 'ms');
  put('inter_token_latency', tpotMs, 'ms');
  put('inter_chunk_latency', gapsMs.length === 0 ? undefined : gapsMs, 'ms');
  put(
    'output_token_throughput_per_user',
    tpotMs === undefined || tpotMs <= 0 ? undefined : 1000 / tpotMs,
    'tokens/sec/user',
  );
  put(
    'prefill_throughput',
    ttftMs === undefined || ttftMs <= 0 ? undefined : (input / ttftMs) * 1000,
    'tokens/sec',
  );
  put('output_sequence_length', output, 'tokens');
  put('input_sequence_length', input, 'tokens');
  put('output_token_count', reasoning === undefined ? undefined : output - reasoning, 'tokens');
  put('reasoning_token_count', reasoning, 'tokens');
  put('usage_prompt_cache_read_tokens', record.usage?.cachedTokens, 'tokens');
  return metrics;
}

/** aiperf's metrics of a whole run that are one number. */
export function runMetrics(run: LoadRun, goals: Goals | undefined): Record<string, MetricValue> {
  const records = run.records.filter((record) => record.phase === 'measure');
  const completed = records.filter((record) => record.outcome === 'completed');
  let firstMs = Number.POSITIVE_INFINITY;
  let lastMs = 0;
  for (const record of completed) {
    firstMs = Math.min(firstMs, record.sentMs);
    lastMs = Math.max(lastMs, contentTimes(record).at(-1) ?? record.endMs);
  }
  const durationS = Math.max(0, lastMs - firstMs) / 1000 || 0;
  const outputs = completed.reduce((sum, record) => sum + outputTokens(record), 0);
  const inputs = completed.reduce((sum, record) => sum + inputTokens(record), 0);
  const perSecond = (count: number): number => (durationS > 0 ? count / durationS : 0);
  const good = goals && completed.filter((record) => isGoodByMetrics(record, goals)).length;
  return {
    request_count: { value: completed.length, unit: 'requests' },
    error_request_count: { value: records.length - completed.length, unit: 'requests' },
    benchmark_duration: { value: durationS, unit: 'sec' },
    request_throughput: { value: perSecond(completed.length), unit: 'requests/sec' },
    output_token_throughput: { value: perSecond(outputs), unit: 'tokens/sec' },
    total_osl: { value: outputs, unit: 'tokens' },
    total_isl: { value: inputs, unit: 'tokens' },
    ...(completed.length > 0 && {
      min_request_timestamp: { value: Math.round((run.originWallMs + firstMs) * 1e6), unit: 'ns' },
      max_response_timestamp: { value: Math.round((run.originWallMs + lastMs) * 1e6), unit: 'ns' },
    }),
    ...(good !== undefined && {
      good_request_count: { value: good, unit: 'requests' },
      good_request_fraction: { value: records.length > 0 ? good / records.length : 0, unit: 'ratio' },
      goodput: { value: perSecond(good), unit: 'requests/sec' },
    }),
  };
}

/** In aiperf a request without a metric that has a goal is not good: an answer of one token has no ITL. */
function isGoodByMetrics(record: RequestRecord, goals: Goals): boolean {
  if (goals.tpotMs !== undefined && timings(record, 'aiperf').tpotMs === undefined) return false;
  return isGood(record, goals, 'aiperf');
}
