import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { aiperfCsv, aiperfJson, aiperfRecordLine } from '../export/aiperf.ts';
import { recordMetrics } from '../export/aiperf-metrics.ts';
import { guidellmJson } from '../export/guidellm.ts';
import { mergeRuns, parseRecordLines, recordLines } from '../export/record-lines.ts';
import { type VllmHeader, vllmFileName, vllmJson } from '../export/vllm-json.ts';
import type { LoadRun, RequestRecord } from '../record.ts';
import { parseGoals } from './goodput.ts';
import { reportOf } from './report.ts';
import { timePerTokenMs, timings } from './timings.ts';
import { verdict } from './verdict.ts';

interface GoldenRequest {
  readonly id: string;
  readonly intended: number;
  readonly sent: number;
  readonly role_chunk?: number | null;
  readonly content?: readonly (readonly [number, number])[];
  readonly usage_chunk?: number;
  readonly done?: number;
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly cached_tokens?: number;
  readonly error?: number;
  readonly error_at?: number;
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../test/golden/workload/measurements.json'), 'utf8'),
);

const ms = (seconds: number): number => Math.round(seconds * 1e6) / 1000;

const records: readonly RequestRecord[] = (golden.requests as readonly GoldenRequest[]).map(
  (request, index) => {
    const common = {
      id: request.id,
      index,
      sessionId: request.id,
      turn: 0,
      phase: 'measure',
      intendedMs: ms(request.intended),
      sentMs: ms(request.sent),
      inputLength: request.prompt_tokens ?? 10,
      outputLength: request.completion_tokens ?? 5,
      tokenSource: 'reported',
    } as const;
    if (request.error !== undefined) {
      return {
        ...common,
        outcome: 'failed',
        status: request.error,
        error: 'HTTP 429',
        endMs: ms(request.error_at!),
        chunkMs: [],
        chunkTokens: [],
      };
    }
    const role = request.role_chunk == null ? [] : [[request.role_chunk, 0] as const];
    const chunks = [...role, ...request.content!];
    return {
      ...common,
      outcome: 'completed',
      status: 200,
      chunkMs: chunks.map(([at]) => ms(at)),
      chunkTokens: chunks.map(([, tokens]) => tokens),
      lastDataMs: ms(request.usage_chunk!),
      endMs: ms(request.done!),
      usage: {
        promptTokens: request.prompt_tokens!,
        completionTokens: request.completion_tokens!,
        cachedTokens: request.cached_tokens!,
      },
    };
  },
);

const run: LoadRun = {
  records,
  loop: 'open',
  concurrency: undefined,
  planned: 4,
  originWallMs: 1_700_000_000_000,
  durationMs: 292,
  interrupted: false,
  health: { loopDelayP50Ms: 0, loopDelayP99Ms: 1, loopDelayMaxMs: 2, loopUtilization: 0.1, cpuShare: 0.1 },
};
const [a, b, c] = records as readonly [RequestRecord, RequestRecord, RequestRecord, RequestRecord];
const close = (value: number) => expect.closeTo(value, 5);

const header: VllmHeader = {
  date: new Date(2025, 10, 30, 23, 5, 9),
  backend: 'openai',
  modelId: 'org/model',
  tokenizerId: 'org/model',
  metadata: { gpu: 'none' },
  requestRate: Number.POSITIVE_INFINITY,
  burstiness: 1,
  maxConcurrency: undefined,
};

describe('vLLM bench serve', () => {
  const expected = golden.vllm_bench_serve;
  const goals = parseGoals(['ttft:120', 'tpot:40']);
  const json = vllmJson(run, header, {
    goals,
    detailed: true,
    percentileMetrics: ['ttft', 'tpot', 'itl', 'e2el'],
  });

  test('totals and rates', () => {
    for (const key of ['duration', 'completed', 'failed', 'total_input_tokens', 'total_output_tokens']) {
      expect(json[key]).toBe(expected[key]);
    }
    for (const key of ['request_throughput', 'output_throughput', 'total_token_throughput']) {
      expect(json[key]).toBeCloseTo(expected[key], 9);
    }
    expect(json.request_goodput).toBeCloseTo(expected.goodput.request_goodput, 9);
  });

  test.each(['ttft', 'tpot', 'itl', 'e2el'])('%s statistics', (metric) => {
    for (const [statistic, value] of Object.entries(expected[`${metric}_ms`])) {
      expect(json[`${statistic}_${metric}_ms`]).toBeCloseTo(value as number, 8);
    }
  });

  test('single requests', () => {
    const of = [a, b, c].map((record) => timings(record, 'vllm'));
    const near = (values: readonly number[]) => values.map(close);
    expect(of.map((value) => value.ttftMs! / 1000)).toEqual(near(expected.ttfts));
    expect(of.map((value) => value.latencyMs / 1000)).toEqual(near(expected.e2els));
    expect(of.map((value) => (value.tpotMs ?? 0) / 1000)).toEqual(near(expected.tpots));
    expect(of.flatMap((value) => value.gapsMs.map((gap) => gap / 1000))).toEqual(near(expected.itls));
    expect(json.ttfts).toEqual([...near(expected.ttfts), 0]);
    expect(json.errors).toEqual(['', '', '', 'HTTP 429']);
  });

  test('keys come in its order, the file has its name', () => {
    expect(Object.keys(json)).toEqual([
      ...['date', 'endpoint_type', 'backend', 'label', 'model_id', 'tokenizer_id', 'num_prompts', 'gpu'],
      ...['request_rate', 'burstiness', 'max_concurrency', 'duration', 'completed', 'failed'],
      ...['total_input_tokens', 'total_output_tokens', 'request_throughput', 'request_goodput'],
      ...['output_throughput', 'total_token_throughput', 'input_lens', 'output_lens', 'ttfts', 'itls'],
      ...[
        'start_times',
        'generated_texts',
        'errors',
        'max_output_tokens_per_s',
        'max_concurrent_requests',
        'rtfx',
      ],
      ...['ttft', 'tpot', 'itl', 'e2el'].flatMap((m) =>
        ['mean', 'median', 'std', 'p99'].map((s) => `${s}_${m}_ms`),
      ),
    ]);
    expect(json.date).toBe('20251130-230509');
    expect(json.request_rate).toBe('inf');
    expect(json.max_output_tokens_per_s).toBe(9);
    expect(json.max_concurrent_requests).toBe(3);
    expect(vllmFileName(header)).toBe('openai-infqps-model-20251130-230509.json');
    expect(vllmFileName({ ...header, label: 'x', requestRate: 2, maxConcurrency: 8 })).toBe(
      'x-2.0qps-concurrency8-model-20251130-230509.json',
    );
    const ramp = { strategy: 'linear', startRps: 1, endRps: 5 };
    expect(vllmFileName({ ...header, ramp })).toBe(
      'openai-ramp-up-linear-1qps-5qps-model-20251130-230509.json',
    );
  });

  test('a run without completions has nulls where there is nothing to tell', () => {
    const none = vllmJson({ ...run, records: records.slice(3), durationMs: 130 }, header);
    expect(none).toMatchObject({
      completed: 0,
      failed: 1,
      mean_ttft_ms: null,
      p99_itl_ms: null,
      request_throughput: 0,
    });
  });
});

describe('aiperf', () => {
  const expected = golden.aiperf;
  const goals = parseGoals(['ttft:120', 'tpot:40']);
  const json = aiperfJson(run, { goals, inputConfig: {} }) as Record<string, Record<string, number>>;

  test.each([0, 1, 2])('metrics of request %i', (index) => {
    const record = records[index]!;
    const metrics = recordMetrics(record);
    for (const [tag, value] of Object.entries(expected.per_request[record.id])) {
      const want = Array.isArray(value) ? value.map(close) : close(value as number);
      expect(metrics[tag]?.value).toEqual(want);
    }
    if (record.id === 'C') {
      expect(metrics.inter_token_latency).toBeUndefined();
      expect(metrics.time_to_second_token).toBeUndefined();
    }
  });

  test.each(['time_to_first_token', 'inter_token_latency', 'request_latency'])('%s statistics', (tag) => {
    for (const [statistic, value] of Object.entries(expected[tag])) {
      expect(json[tag]?.[statistic]).toBeCloseTo(value as number, 5);
    }
  });

  test('the run as a whole', () => {
    expect(json.benchmark_duration?.avg).toBeCloseTo(expected.benchmark_duration_s, 9);
    expect(json.request_count?.avg).toBe(expected.request_count);
    expect(json.error_request_count?.avg).toBe(expected.error_request_count);
    expect(json.request_throughput?.avg).toBeCloseTo(expected.request_throughput, 9);
    expect(json.output_token_throughput?.avg).toBeCloseTo(expected.output_token_throughput, 9);
    expect(json.good_request_count?.avg).toBe(expected.goodput.good_request_count);
    expect(json.goodput?.avg).toBeCloseTo(expected.goodput.goodput, 9);
    expect(json.good_request_fraction?.avg).toBe(0.25);
    expect(json.usage_prompt_cache_read_tokens?.sum).toBe(112);
    expect(json.error_summary).toEqual([
      { error_details: { code: 429, type: 'failed', message: 'HTTP 429' }, count: 1 },
    ]);
  });

  test('its CSV has two sections, its JSONL a line per request', () => {
    const lines = aiperfCsv(run).split('\n');
    expect(lines[0]).toBe('Metric,avg,min,max,p1,p5,p10,p25,p50,p75,p90,p95,p99,std');
    expect(lines).toContain(
      'Time To First Token (ms),106.67,80.00,140.00,80.40,82.00,84.00,90.00,100.00,120.00,132.00,136.00,139.20,24.94',
    );
    const second = lines.indexOf('Metric,Value');
    expect(lines[second - 1]).toBe('');
    expect(lines[second + 1]).toBe('Benchmark Duration (sec),0.29');
    expect(JSON.parse(aiperfRecordLine(run, b))).toMatchObject({
      metadata: {
        x_request_id: 'B',
        turn_index: 0,
        request_start_ns: 1700000000060000000,
        benchmark_phase: 'profiling',
      },
      metrics: { inter_token_latency: { value: close(18), unit: 'ms' } },
      error: null,
    });
    expect(JSON.parse(aiperfRecordLine(run, records[3]!)).error).toEqual({
      code: 429,
      type: 'failed',
      message: 'HTTP 429',
    });
  });
});

describe('guidellm', () => {
  test.each([0, 1, 2])('metrics of request %i', (index) => {
    const record = records[index]!;
    const expected = golden.guidellm[record.id];
    const { ttftMs, tpotMs, latencyMs } = timings(record, 'guidellm');
    expect(latencyMs / 1000).toBeCloseTo(expected.request_latency_s, 9);
    expect(ttftMs).toBeCloseTo(expected.time_to_first_token_ms, 6);
    expect(timePerTokenMs(record)).toBeCloseTo(expected.time_per_output_token_ms, 5);
    if (expected.inter_token_latency_ms === null) expect(tpotMs).toBeUndefined();
    else expect(tpotMs).toBeCloseTo(expected.inter_token_latency_ms, 6);
  });

  test('splits by status and takes percentiles from the CDF', () => {
    const { benchmarks } = guidellmJson(run, { strategy: 'poisson' }) as {
      benchmarks: [
        {
          metrics: Record<string, Record<string, Record<string, unknown>>>;
          scheduler_metrics: object;
          requests: Record<string, unknown[]>;
        },
      ];
    };
    const [{ metrics, scheduler_metrics, requests }] = benchmarks;
    expect(metrics.request_totals).toEqual({ successful: 3, incomplete: 0, errored: 1, total: 4 });
    expect(metrics.time_to_first_token_ms?.successful).toMatchObject({
      count: 3,
      median: 100,
      min: 80,
      percentiles: { p001: 80, p50: 100, p90: 140, p999: 140 },
    });
    expect(metrics.requests_per_second?.successful?.mean).toBeCloseTo(3 / 0.292, 9);
    expect(scheduler_metrics).toMatchObject({
      queued_time_avg: -1,
      request_targeted_start_delay_avg: close(0.0125),
    });
    expect(requests.successful).toHaveLength(3);
  });
});

describe('Kvasir', () => {
  const truth = golden.open_loop_truth;
  const report = reportOf(run, { goals: parseGoals(['ttft:120', 'tpot:40']), theoreticalKve: 0.5 });

  test('tells lag and latency from the intended start', () => {
    expect(report.fromIntended?.ttft?.max).toBeCloseTo(truth.per_request.B.ttft_from_intended_ms, 6);
    expect(report.fromIntended?.e2el?.max).toBeCloseTo(truth.per_request.B.e2e_from_intended_ms, 6);
    expect(report.sendLag?.maxMs).toBeCloseTo(truth.per_request.B.send_lag_ms, 6);
    for (const record of [a, b, c]) {
      const want = truth.per_request[record.id];
      expect(record.sentMs - record.intendedMs!).toBeCloseTo(want.send_lag_ms, 6);
      expect(record.usage!.cachedTokens! / record.usage!.promptTokens).toBeCloseTo(want.kve, 9);
    }
  });

  test('sums KVE over requests instead of averaging ratios', () => {
    expect(report.cache).toEqual({
      promptTokens: 350,
      cachedTokens: 112,
      kve: truth.aggregate_kve,
      theoreticalKve: 0.5,
    });
  });

  test('spreads the gap of a chunk over its tokens', () => {
    expect(timings(b, 'kvasir').gapsMs).toEqual([10, 10, 10, 30, 30].map(close));
    expect([...report.latencies.tpot!.sorted]).toEqual([close(18), close(20)]);
  });

  test('counts failures as misses in the share of good requests', () => {
    expect(report.goodput).toEqual({ good: 2, perS: close(2 / 0.292), share: 0.5 });
    expect(report.counts).toEqual({
      completed: 3,
      failed: 1,
      cancelled: 0,
      dropped: 0,
      planned: 4,
      warmup: 0,
    });
    expect(report.errors).toEqual([{ message: 'HTTP 429', count: 1 }]);
  });

  test('calls a run invalid whose sends were late, unless the user asked for the wait', () => {
    expect(report.verdict.valid).toBe(false);
    expect(report.verdict.reasons[0]).toContain('send lag p99 48.5 ms exceeds 10.0 ms');
    const waited = records.map((record) => ({ ...record, waitedMs: record.sentMs - record.intendedMs! }));
    expect(verdict({ ...run, records: waited }, waited, 100).valid).toBe(true);
    expect(verdict(run, records, 6000).valid).toBe(true);
    const busy = {
      ...run,
      durationMs: 5000,
      records: waited,
      health: { ...run.health, loopUtilization: 0.99, loopDelayP99Ms: 40 },
    };
    expect(verdict(busy, waited, 100).reasons).toEqual([
      "the generator's event loop was busy 99 % of the time and 40.0 ms late (p99): use a faster machine or less load",
    ]);
    expect(verdict({ ...busy, durationMs: 300 }, waited, 100).valid).toBe(true);
    expect(verdict(run, [], undefined).reasons).toEqual(['no request completed']);
  });

  test('leaves warm-up out by phase', () => {
    const warmed = reportOf({ ...run, records: [{ ...a, phase: 'warmup' }, b, c] });
    expect(warmed.counts).toMatchObject({ completed: 2, warmup: 1 });
    expect(warmed.durationS).toBeCloseTo(0.232, 9);
    expect(warmed.cache.kve).toBeCloseTo(48 / 250, 12);
  });

  test('does not know the KVE of a server that never tells cached tokens', () => {
    const silent = [a, b].map((record) => ({ ...record, usage: { promptTokens: 100, completionTokens: 4 } }));
    expect(reportOf({ ...run, records: silent }).cache.kve).toBeUndefined();
    expect(reportOf({ ...run, records: [a, silent[1]!] }).cache.kve).toBeCloseTo(64 / 200, 12);
  });

  test('its raw lines hold everything, and shards merge on their clocks', () => {
    const lines = [...recordLines(run)];
    expect(JSON.parse(lines[2]!)).toMatchObject({
      id: 'B',
      chunkDeltasMs: [140, 30, 60],
      chunkTokens: [1, 3, 2],
    });
    const { run: back } = parseRecordLines(lines.join('\n'));
    expect(vllmJson(back, header)).toEqual(
      expect.objectContaining({ mean_ttft_ms: close(90), completed: 3 }),
    );
    expect(() => parseRecordLines('{"a":1}')).toThrow('records: line 1 is not a record');
    const merged = mergeRuns([run, { ...run, originWallMs: run.originWallMs + 50, concurrency: undefined }]);
    expect(merged).toMatchObject({ planned: 8, durationMs: 342, originWallMs: run.originWallMs });
    expect(merged.records[4]).toMatchObject({ sentMs: 50, intendedMs: 50 });
    expect(timings(merged.records[5]!, 'vllm').ttftMs).toBeCloseTo(140, 6);
  });

  test('goals name their keys', () => {
    expect(parseGoals([])).toBeUndefined();
    expect(() => parseGoals(['itl:5'])).toThrow('--goodput: itl:5 names no known goal');
    expect(() => parseGoals(['ttft:'])).toThrow('--goodput: ttft: has no limit in milliseconds');
  });
});
