import { percentileLinear } from '../../math/percentile.ts';
import type { Summary } from '../../math/summary.ts';
import { type Goals, isGood } from '../measure/goodput.ts';
import { peaks } from '../measure/peaks.ts';
import { latenciesOf } from '../measure/report.ts';
import { timings } from '../measure/timings.ts';
import { type LoadRun, outputTokens, type RequestRecord } from '../record.ts';

/** What vLLM's file tells about the run besides its measurements. */
export interface VllmHeader {
  readonly date: Date;
  readonly backend: string;
  readonly label?: string | undefined;
  readonly modelId: string;
  readonly tokenizerId: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Requests per second; infinite when all are sent at once. */
  readonly requestRate: number;
  readonly burstiness: number;
  readonly maxConcurrency: number | undefined;
  readonly ramp?:
    | { readonly strategy: string; readonly startRps: number; readonly endRps: number }
    | undefined;
}

export interface VllmOptions {
  readonly goals?: Goals | undefined;
  /** Of ttft, tpot, itl, e2el: which get statistics. */
  readonly percentileMetrics?: readonly string[] | undefined;
  readonly percentiles?: readonly number[] | undefined;
  /** The arrays of single requests. */
  readonly detailed?: boolean | undefined;
}

const METRICS = ['ttft', 'tpot', 'itl', 'e2el'] as const;

/** The result of `vllm bench serve`, key by key in its order, by its definitions. Times inside are seconds. */
export function vllmJson(
  run: LoadRun,
  header: VllmHeader,
  options: VllmOptions = {},
): Record<string, unknown> {
  const records = run.records.filter((record) => record.phase === 'measure');
  const completed = records.filter((record) => record.outcome === 'completed');
  const values = completed.map((record) => timings(record, 'vllm'));
  const durationS = run.durationMs / 1000;
  const perSecond = (count: number): number | null => (durationS > 0 ? count / durationS : null);
  const input = completed.reduce((sum, record) => sum + promptLength(record), 0);
  const output = values.reduce((sum, value) => sum + value.outputTokens, 0);
  const busiest = peaks(completed);
  const { goals } = options;
  const good = goals && completed.filter((record) => isGood(record, goals, 'vllm')).length;
  return {
    date: vllmDate(header.date),
    endpoint_type: header.backend,
    backend: header.backend,
    label: header.label ?? null,
    model_id: header.modelId,
    tokenizer_id: header.tokenizerId,
    num_prompts: records.length,
    ...header.metadata,
    request_rate: Number.isFinite(header.requestRate) ? header.requestRate : 'inf',
    burstiness: header.burstiness,
    max_concurrency: header.maxConcurrency ?? null,
    ...(header.ramp && {
      ramp_up_strategy: header.ramp.strategy,
      ramp_up_start_rps: header.ramp.startRps,
      ramp_up_end_rps: header.ramp.endRps,
    }),
    duration: durationS,
    completed: completed.length,
    failed: records.length - completed.length,
    total_input_tokens: input,
    total_output_tokens: output,
    request_throughput: perSecond(completed.length),
    request_goodput: good === undefined ? null : perSecond(good),
    output_throughput: perSecond(output),
    total_token_throughput: perSecond(input + output),
    ...(options.detailed === true && details(records)),
    max_output_tokens_per_s: busiest.tokensPerS,
    max_concurrent_requests: busiest.concurrentRequests,
    rtfx: 0,
    ...statistics(values, options),
  };
}

/** `20251131-235959`, local time, as vLLM stamps its files. */
function vllmDate(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

/** The name under which vLLM would save it. */
export function vllmFileName(header: VllmHeader): string {
  const { ramp, maxConcurrency } = header;
  const lead = header.label ?? header.backend;
  const rate = ramp
    ? `ramp-up-${ramp.strategy}-${ramp.startRps}qps-${ramp.endRps}qps`
    : `${pythonFloat(header.requestRate)}qps`;
  const slots = maxConcurrency === undefined ? '' : `-concurrency${maxConcurrency}`;
  const model = header.modelId.split('/').at(-1);
  return `${lead}-${rate}${slots}-${model}-${vllmDate(header.date)}.json`;
}

function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return 'inf';
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function statistics(
  values: readonly ReturnType<typeof timings>[],
  options: VllmOptions,
): Record<string, number | null> {
  const latencies = latenciesOf(values);
  const wanted = options.percentileMetrics ?? ['ttft', 'tpot', 'itl'];
  const result: Record<string, number | null> = {};
  for (const metric of METRICS) {
    if (!wanted.includes(metric)) continue;
    const summary: Summary | undefined = latencies[metric];
    result[`mean_${metric}_ms`] = summary?.mean ?? null;
    result[`median_${metric}_ms`] = summary === undefined ? null : percentileLinear(summary.sorted, 50)!;
    result[`std_${metric}_ms`] = summary?.std ?? null;
    for (const p of options.percentiles ?? [99]) {
      result[`p${p}_${metric}_ms`] = summary === undefined ? null : percentileLinear(summary.sorted, p)!;
    }
  }
  return result;
}

/** Failed requests stand in the arrays too, with zeros, so that all have one entry per request. */
function details(records: readonly RequestRecord[]): Record<string, unknown> {
  const ordered = [...records].sort((a, b) => a.index - b.index);
  const done = (record: RequestRecord): boolean => record.outcome === 'completed';
  return {
    input_lens: ordered.map(promptLength),
    output_lens: ordered.map((record) => (done(record) ? outputTokens(record) : 0)),
    ttfts: ordered.map((record) => (timings(record, 'vllm').ttftMs ?? 0) / 1000),
    itls: ordered.map((record) => timings(record, 'vllm').gapsMs.map((gap) => gap / 1000)),
    start_times: ordered.map((record) => record.sentMs / 1000),
    generated_texts: ordered.map((record) => record.text ?? ''),
    errors: ordered.map((record) => record.error ?? ''),
  };
}

function promptLength(record: RequestRecord): number {
  return record.inputLength > 0 ? record.inputLength : (record.usage?.promptTokens ?? 0);
}
