import { bootstrapMean, bootstrapPercentile, type Interval } from '../../math/bootstrap.ts';
import { mean, type Summary, summarize, total } from '../../math/summary.ts';
import { inputTokens, type LoadRun, type Outcome, type RequestRecord } from '../record.ts';
import { type Goals, isGood } from './goodput.ts';
import { peakInFlight, peaks } from './peaks.ts';
import { type Convention, contentTimes, type Timings, timings } from './timings.ts';
import { type SendLag, sendLag, type Verdict, verdict } from './verdict.ts';

export interface ReportOptions {
  readonly goals?: Goals | undefined;
  readonly convention?: Convention | undefined;
  readonly lagLimitMs?: number | undefined;
  /** Share of prompt tokens that an infinite cache would have held, where the plan knows it. */
  readonly theoreticalKve?: number | undefined;
}

/** Latencies in ms of completed requests; undefined without a sample. */
export interface Latencies {
  readonly ttft: Summary | undefined;
  readonly ttst: Summary | undefined;
  readonly tpot: Summary | undefined;
  readonly itl: Summary | undefined;
  readonly e2el: Summary | undefined;
}

/** Token reuse as the server tells it. */
export interface CacheUse {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Cached over prompt tokens, sum over sum; undefined when the server never tells. */
  readonly kve: number | undefined;
  readonly theoreticalKve: number | undefined;
}

export interface LoadReport {
  readonly convention: Convention;
  /** Measured requests, warm-up left out. */
  readonly records: readonly RequestRecord[];
  readonly completed: readonly RequestRecord[];
  readonly counts: Readonly<Record<Outcome, number>> & { readonly planned: number; readonly warmup: number };
  readonly loop: LoadRun['loop'];
  readonly interrupted: boolean;
  /** From the first measured send to the end of the last request; from time 0 when nothing was warmed. */
  readonly durationS: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly requestsPerS: number;
  readonly outputTokensPerS: number;
  readonly totalTokensPerS: number;
  readonly latencies: Latencies;
  /** The same from the intended start instead of the send; open loop only. */
  readonly fromIntended: Pick<Latencies, 'ttft' | 'e2el'> | undefined;
  /** Chunks in the busiest second. */
  readonly peakTokensPerS: number;
  readonly peakInFlight: number;
  readonly cache: CacheUse;
  /** Good requests; the share is of all that were due, dropped and failed ones included. */
  readonly goodput: { readonly good: number; readonly perS: number; readonly share: number } | undefined;
  readonly sendLag: SendLag | undefined;
  readonly verdict: Verdict;
  /** Prompt tokens as the server counted them against those planned. */
  readonly promptError: { readonly meanTokens: number; readonly exactShare: number } | undefined;
  /** 95 % bootstrap intervals over requests. */
  readonly intervals: Readonly<
    Record<'ttftP50' | 'ttftP99' | 'tpotP50' | 'tpotP99' | 'goodShare', Interval | undefined>
  >;
  /** Messages of requests that did not complete, most frequent first. */
  readonly errors: readonly { readonly message: string; readonly count: number }[];
  readonly health: LoadRun['health'];
}

/** Values a run. Statistics are of completed requests of the measured phase. */
export function reportOf(run: LoadRun, options: ReportOptions = {}): LoadReport {
  const convention = options.convention ?? 'kvasir';
  const records = run.records.filter((record) => record.phase === 'measure');
  const completed = records.filter((record) => record.outcome === 'completed');
  const values = completed.map((record) => timings(record, convention));
  const latencies = latenciesOf(values);
  const durationS = durationOf(run, records) / 1000;
  const outputTokens = values.reduce((sum, value) => sum + value.outputTokens, 0);
  const input = completed.reduce((sum, record) => sum + inputTokens(record), 0);
  const perSecond = (count: number): number => (durationS > 0 ? count / durationS : 0);
  const goods = options.goals && records.map((record) => Number(isGood(record, options.goals!, convention)));
  const good = goods === undefined ? 0 : total(goods);
  const tpots = latencies.tpot?.sorted ?? [];
  const ttfts = latencies.ttft?.sorted ?? [];
  return {
    convention,
    records,
    completed,
    counts: countsOf(run, records),
    loop: run.loop,
    interrupted: run.interrupted,
    durationS,
    inputTokens: input,
    outputTokens,
    requestsPerS: perSecond(completed.length),
    outputTokensPerS: perSecond(outputTokens),
    totalTokensPerS: perSecond(input + outputTokens),
    latencies,
    fromIntended: fromIntended(completed, convention),
    peakTokensPerS: peaks(completed).tokensPerS,
    peakInFlight: peakInFlight(records),
    cache: cacheUse(completed, options.theoreticalKve),
    goodput: goods && { good, perS: perSecond(good), share: mean(goods) ?? 0 },
    sendLag: sendLag(records),
    verdict: verdict(run, records, latencies.ttft && median(latencies.ttft), options.lagLimitMs),
    promptError: promptError(completed),
    intervals: {
      ttftP50: bootstrapPercentile(ttfts, 50),
      ttftP99: bootstrapPercentile(ttfts, 99),
      tpotP50: bootstrapPercentile(tpots, 50),
      tpotP99: bootstrapPercentile(tpots, 99),
      goodShare: goods && bootstrapMean(goods),
    },
    errors: errorsOf(records),
    health: run.health,
  };
}

/** Cached over prompt tokens. A server that ever tells cached tokens means 0 where it is silent, as vLLM does. */
function cacheUse(completed: readonly RequestRecord[], theoreticalKve?: number): CacheUse {
  const promptTokens = completed.reduce((sum, record) => sum + inputTokens(record), 0);
  const cachedTokens = completed.reduce((sum, record) => sum + (record.usage?.cachedTokens ?? 0), 0);
  const tells = completed.some((record) => record.usage?.cachedTokens !== undefined);
  return {
    promptTokens,
    cachedTokens,
    kve: tells && promptTokens > 0 ? cachedTokens / promptTokens : undefined,
    theoreticalKve,
  };
}

export function latenciesOf(values: readonly Timings[]): Latencies {
  const of = (pick: (value: Timings) => number | undefined): Summary | undefined =>
    summarize(values.flatMap((value) => pick(value) ?? []));
  return {
    ttft: of((value) => value.ttftMs),
    ttst: of((value) => value.ttstMs),
    tpot: of((value) => value.tpotMs),
    itl: summarize(values.flatMap((value) => value.gapsMs as number[])),
    e2el: of((value) => value.latencyMs),
  };
}

function fromIntended(
  completed: readonly RequestRecord[],
  convention: Convention,
): Pick<Latencies, 'ttft' | 'e2el'> | undefined {
  const due = completed.filter((record) => record.intendedMs !== undefined);
  if (due.length === 0) return undefined;
  const ttfts = due.flatMap((record) => {
    const first = convention === 'vllm' ? record.chunkMs[0] : contentTimes(record)[0];
    return first === undefined ? [] : [first - record.intendedMs!];
  });
  const e2els = due.map(
    (record) => timings(record, convention).latencyMs + record.sentMs - record.intendedMs!,
  );
  return { ttft: summarize(ttfts), e2el: summarize(e2els) };
}

function durationOf(run: LoadRun, records: readonly RequestRecord[]): number {
  let endMs = 0;
  let startMs = records.length === run.records.length ? 0 : Number.POSITIVE_INFINITY;
  for (const record of records) {
    endMs = Math.max(endMs, record.endMs);
    startMs = Math.min(startMs, record.sentMs);
  }
  return Math.max(0, endMs - startMs);
}

function countsOf(run: LoadRun, records: readonly RequestRecord[]): LoadReport['counts'] {
  const counts = { completed: 0, failed: 0, cancelled: 0, dropped: 0 };
  for (const record of records) counts[record.outcome]++;
  return { ...counts, planned: run.planned, warmup: run.records.length - records.length };
}

function promptError(completed: readonly RequestRecord[]): LoadReport['promptError'] {
  const errors = completed.flatMap((record) =>
    record.usage === undefined || record.inputLength === 0
      ? []
      : [record.usage.promptTokens - record.inputLength],
  );
  const meanTokens = mean(errors);
  if (meanTokens === undefined) return undefined;
  return { meanTokens, exactShare: errors.filter((error) => error === 0).length / errors.length };
}

function errorsOf(records: readonly RequestRecord[]): LoadReport['errors'] {
  const counts = new Map<string, number>();
  for (const { outcome, error = outcome } of records) {
    if (outcome !== 'completed') counts.set(error, (counts.get(error) ?? 0) + 1);
  }
  return [...counts].map(([message, count]) => ({ message, count })).sort((a, b) => b.count - a.count);
}

function median(summary: Summary): number {
  const { sorted } = summary;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
