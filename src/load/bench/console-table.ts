import { percentileOf, type Summary } from '../../math/summary.ts';
import type { LoadReport } from '../measure/report.ts';
import type { RunFacts } from './run-facts.ts';

const WIDTH = 50;

/** The result for people: vLLM's table line by line, then what Kvasir adds. */
export function consoleTable(
  report: LoadReport,
  facts: Pick<RunFacts, 'maxConcurrency' | 'requestRate' | 'speedup'>,
): string {
  const { counts, latencies, goodput } = report;
  return [
    title(' Serving Benchmark Result ', '='),
    row('Successful requests:', counts.completed),
    row('Failed requests:', counts.failed + counts.cancelled + counts.dropped),
    ...(facts.maxConcurrency === undefined
      ? []
      : [row('Maximum request concurrency:', facts.maxConcurrency)]),
    ...(Number.isFinite(facts.requestRate)
      ? [row('Request rate configured (RPS):', fixed(facts.requestRate))]
      : []),
    ...(facts.speedup === undefined ? [] : [row('Speed-up of the trace:', fixed(facts.speedup))]),
    row('Benchmark duration (s):', fixed(report.durationS)),
    row('Total input tokens:', report.inputTokens),
    row('Total generated tokens:', report.outputTokens),
    row('Request throughput (req/s):', fixed(report.requestsPerS)),
    ...(goodput === undefined ? [] : [row('Request goodput (req/s):', fixed(goodput.perS))]),
    row('Output token throughput (tok/s):', fixed(report.outputTokensPerS)),
    row('Peak output token throughput (tok/s):', fixed(report.peakTokensPerS)),
    row('Peak concurrent requests:', fixed(report.peakInFlight)),
    row('Total token throughput (tok/s):', fixed(report.totalTokensPerS)),
    ...section('Time to First Token', 'TTFT', latencies.ttft),
    ...section('Time per Output Token (excl. 1st token)', 'TPOT', latencies.tpot),
    ...section('Inter-token Latency', 'ITL', latencies.itl),
    ...section('End-to-end Latency', 'E2EL', latencies.e2el),
    ...cacheRows(report),
    ...generatorRows(report),
    '='.repeat(WIDTH),
    ...notes(report),
  ].join('\n');
}

function section(name: string, short: string, summary: Summary | undefined): string[] {
  return [
    title(name, '-'),
    row(`Mean ${short} (ms):`, fixed(summary?.mean)),
    row(`Median ${short} (ms):`, fixed(summary && percentileOf(summary, 50))),
    row(`P99 ${short} (ms):`, fixed(summary && percentileOf(summary, 99))),
  ];
}

function cacheRows({ cache, promptError }: LoadReport): string[] {
  return [
    title('KV Cache Reuse', '-'),
    row('KVE, cached / prompt tokens (%):', cache.kve === undefined ? 'not told' : fixed(cache.kve * 100)),
    ...(cache.theoreticalKve === undefined
      ? []
      : [row('Best possible KVE (%):', fixed(cache.theoreticalKve * 100))]),
    row('Cached prompt tokens:', cache.cachedTokens),
    ...(promptError === undefined || promptError.exactShare === 1
      ? []
      : [row('Mean prompt length error (tok):', fixed(promptError.meanTokens))]),
  ];
}

function generatorRows(report: LoadReport): string[] {
  const { sendLag, fromIntended, intervals, goodput } = report;
  const interval = (
    name: string,
    of: { readonly low: number; readonly high: number } | undefined,
    scale = 1,
  ) => (of === undefined ? [] : [row(name, `${fixed(of.low * scale)} .. ${fixed(of.high * scale)}`)]);
  return [
    title('Load Generator', '-'),
    row('Loop:', report.loop),
    ...(sendLag === undefined
      ? []
      : [
          row('Median send lag (ms):', fixed(sendLag.p50Ms)),
          row('P99 send lag (ms):', fixed(sendLag.p99Ms)),
          row(
            'Median TTFT from due time (ms):',
            fixed(fromIntended?.ttft && percentileOf(fromIntended.ttft, 50)),
          ),
          row(
            'P99 TTFT from due time (ms):',
            fixed(fromIntended?.ttft && percentileOf(fromIntended.ttft, 99)),
          ),
        ]),
    ...interval('Median TTFT, 95 % interval (ms):', intervals.ttftP50),
    ...interval('P99 TTFT, 95 % interval (ms):', intervals.ttftP99),
    ...(goodput === undefined ? [] : [row('Good requests (%):', fixed(goodput.share * 100))]),
    ...interval('Good requests, 95 % interval (%):', intervals.goodShare, 100),
    row('Verdict:', report.verdict.valid ? 'valid' : 'INVALID'),
  ];
}

function notes(report: LoadReport): string[] {
  const { counts, errors, verdict } = report;
  return [
    ...verdict.reasons.map((reason) => `invalid: ${reason}`),
    ...errors.slice(0, 5).map(({ message, count }) => `${count} x ${message}`),
    ...(report.interrupted ? [`stopped early: ${report.records.length} of ${counts.planned} requests`] : []),
    ...(counts.completed > 0 && counts.completed < 100
      ? [`p99 of ${counts.completed} requests is their maximum or near it`]
      : []),
    `definitions: ${report.convention}; statistics of completed requests${counts.warmup > 0 ? `, ${counts.warmup} warm-up requests left out` : ''}`,
  ];
}

function title(name: string, fill: string): string {
  const left = Math.floor((WIDTH - name.length) / 2);
  return name.padStart(name.length + left, fill).padEnd(WIDTH, fill);
}

function row(label: string, value: number | string): string {
  return `${label.padEnd(40)} ${String(value).padEnd(10)}`;
}

function fixed(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(2);
}
