import { fail } from '../base/errors.ts';
import { choice, flag, int, list, number, type SettingsOf, text } from '../base/settings.ts';
import type { CustomMetric } from './collector.ts';
import { type DynamoMetricsConfig, durationSeconds } from './config.ts';

/** Flags of `kvasir collect`: every key of `dynamo_metrics`, and what only Kvasir has. */
export const COLLECT_SETTINGS = {
  prometheusUrl: text({
    default: 'http://localhost:9090',
    placeholder: 'URL',
    help: 'Prometheus that scrapes the deployment',
  }),
  collectKvCache: flag({ default: true, help: 'collect KV efficiency and cache metrics' }),
  collectTtft: flag({ default: true, help: 'collect time to first token' }),
  collectItl: flag({ default: true, help: 'collect inter-token latency' }),
  collectInflightRequests: flag({ default: true, help: 'collect requests in flight and queued' }),
  collectThroughput: flag({ default: true, help: 'collect requests per minute' }),
  collectTokenThroughput: flag({ default: true, help: 'collect tokens per second' }),
  coreOnly: flag({ help: 'collect cache efficiency, TTFT and ITL only' }),
  queryRange: text({
    default: '30s',
    placeholder: 'DURATION',
    help: 'length of the window when none is given (with --compat nat: range of rates); three scrapes or more',
  }),
  lookbackSeconds: number({
    default: 0,
    min: 0,
    placeholder: 'SECONDS',
    help: 'length of the window when no start is given; 0 for the query range',
  }),
  workflowStartTimestamp: number({ placeholder: 'UNIX_S', help: 'start of the window' }),
  workflowEndTimestamp: number({ placeholder: 'UNIX_S', help: 'end of the window; now unless given' }),
  model: text({ help: 'only series of this model, and those that name none' }),
  metric: list({
    placeholder: 'NAME=PROMQL',
    separator: '\n',
    help: 'a metric of your own; {range} in it becomes the length of the window',
  }),
  compat: choice({
    choices: ['kvasir', 'nat'],
    default: 'kvasir',
    help: 'rules of collecting: Kvasir’s, or those of NeMo Agent Toolkit with its defects',
  }),
  deadline: number({ default: 30, min: 0.1, placeholder: 'SECONDS', help: 'time for everything together' }),
  parallel: int({ default: 6, min: 1, max: 64, help: 'questions to Prometheus under way at once' }),
  health: flag({ help: 'only tell whether Prometheus and its targets are there' }),
  watch: flag({ help: 'collect again and again' }),
  watchInterval: number({
    default: 5,
    min: 0.2,
    placeholder: 'SECONDS',
    help: 'time between collections with --watch',
  }),
};

export type CollectSettings = SettingsOf<typeof COLLECT_SETTINGS>;

/** The settings as the configuration that the reference knows. */
export function readCollectConfig(settings: CollectSettings): DynamoMetricsConfig {
  const { queryRange, workflowStartTimestamp: start, workflowEndTimestamp: end } = settings;
  if (durationSeconds(queryRange) === undefined)
    throw invalid('--query-range', queryRange, 'is no duration', 'Write it as in 30s or 5m.');
  if (!URL.canParse(settings.prometheusUrl))
    throw invalid('--prometheus-url', settings.prometheusUrl, 'is no URL', 'Write http://host:9090.');
  if (start !== undefined && end !== undefined && end <= start)
    throw invalid('--workflow-end-timestamp', end, 'is not after the start', 'Give the later time.');
  const supplementary = !settings.coreOnly;
  return {
    enable: true,
    prometheus_url: settings.prometheusUrl,
    collect_kv_cache: settings.collectKvCache,
    collect_ttft: settings.collectTtft,
    collect_itl: settings.collectItl,
    collect_inflight_requests: supplementary && settings.collectInflightRequests,
    collect_throughput: supplementary && settings.collectThroughput,
    collect_token_throughput: supplementary && settings.collectTokenThroughput,
    query_range: queryRange,
    lookback_seconds: settings.lookbackSeconds,
    workflow_start_timestamp: start ?? null,
    workflow_end_timestamp: end ?? null,
  };
}

/** `name=promql` as a metric; the expression may hold further equals signs. */
export function readCustomMetrics(texts: readonly string[]): readonly CustomMetric[] {
  const metrics = texts.map((written) => {
    const at = written.indexOf('=');
    const name = written.slice(0, Math.max(0, at)).trim();
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || written.slice(at + 1).trim() === '')
      throw invalid(
        '--metric',
        written,
        'is not NAME=PROMQL',
        'Write --metric errors=sum(rate(x_total[{range}])).',
      );
    return { name, promql: written.slice(at + 1).trim() };
  });
  const twice = metrics.find(({ name }, i) => metrics.findIndex((other) => other.name === name) !== i);
  if (twice !== undefined) throw invalid('--metric', twice.name, 'is named twice', 'Name each metric once.');
  return metrics;
}

function invalid(setting: string, value: string | number, reason: string, mend: string): Error {
  return fail('KV_SETTING_INVALID', { setting, value, reason, mend });
}
