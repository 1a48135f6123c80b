import { ascending, percentileLinear } from '../../math/percentile.ts';
import type { LoadRun, RequestRecord } from '../record.ts';

/** How late requests were sent against their due times, in ms; open loop only. */
export interface SendLag {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface Verdict {
  /** False: the numbers tell of the generator, not of the server. */
  readonly valid: boolean;
  readonly reasons: readonly string[];
}

// Above this share of one core the client's own queue shows in every latency; a run of an instant says nothing.
const BUSY_LOOP = 0.95;
const SHORTEST_TO_JUDGE_MS = 1000;

/** Lag of every request that was sent; undefined in a closed loop, which has no due times. */
export function sendLag(
  records: readonly RequestRecord[],
  lagMs: (record: RequestRecord) => number | undefined = fullLagMs,
): SendLag | undefined {
  const lags = ascending(
    records.flatMap((record) => (record.outcome === 'dropped' ? [] : (lagMs(record) ?? []))),
  );
  if (lags.length === 0) return undefined;
  return { p50Ms: percentileLinear(lags, 50)!, p99Ms: percentileLinear(lags, 99)!, maxMs: lags.at(-1)! };
}

function fullLagMs(record: RequestRecord): number | undefined {
  return record.intendedMs === undefined ? undefined : record.sentMs - record.intendedMs;
}

/** Lag that is the generator's fault: the wait for a place in flight, which the user asked for, is not. */
function ownLagMs(record: RequestRecord): number | undefined {
  const lag = fullLagMs(record);
  return lag === undefined ? undefined : Math.max(0, lag - (record.waitedMs ?? 0));
}

/** Invalid when lag p99 exceeds `limitMs` or 1 % of the median TTFT, whichever is more, or the client was
 * busy and late. */
export function verdict(
  run: LoadRun,
  measured: readonly RequestRecord[],
  medianTtftMs: number | undefined,
  limitMs = 10,
): Verdict {
  const reasons: string[] = [];
  const limit = Math.max(limitMs, 0.01 * (medianTtftMs ?? 0));
  const lag = sendLag(measured, ownLagMs);
  if (lag !== undefined && lag.p99Ms > limit) {
    reasons.push(
      `send lag p99 ${lag.p99Ms.toFixed(1)} ms exceeds ${limit.toFixed(1)} ms: the generator could not keep up`,
    );
  }
  const { loopUtilization, loopDelayP99Ms } = run.health;
  const isBusy = loopUtilization > BUSY_LOOP && run.durationMs >= SHORTEST_TO_JUDGE_MS;
  if (isBusy && loopDelayP99Ms > limit) {
    const share = (loopUtilization * 100).toFixed(0);
    reasons.push(
      `the generator's event loop was busy ${share} % of the time and ${loopDelayP99Ms.toFixed(1)} ms late (p99): use a faster machine or less load`,
    );
  }
  if (!measured.some((record) => record.outcome === 'completed')) reasons.push('no request completed');
  return { valid: reasons.length === 0, reasons };
}
