import { ascending } from '../../math/percentile.ts';
import type { RequestRecord } from '../record.ts';
import { timings } from './timings.ts';

/** Most requests that were in flight at one instant. */
export function peakInFlight(records: readonly RequestRecord[]): number {
  const sent = records.filter((record) => record.outcome !== 'dropped');
  const starts = ascending(sent.map((record) => record.sentMs));
  const ends = ascending(sent.map((record) => record.endMs));
  let peak = 0;
  for (let started = 0, ended = 0; started < starts.length; started++) {
    // One that ends as another starts has made place for it.
    while (ends[ended]! <= starts[started]!) ended++;
    peak = Math.max(peak, started + 1 - ended);
  }
  return peak;
}

/** Busiest seconds of a run, counted in buckets of one second from the first send, as vLLM does. */
export interface Peaks {
  /** Chunks that arrived in the busiest second. */
  readonly tokensPerS: number;
  /** Requests that were active in some part of the busiest second. */
  readonly concurrentRequests: number;
}

export function peaks(completed: readonly RequestRecord[]): Peaks {
  let startMs = Number.POSITIVE_INFINITY;
  for (const { sentMs } of completed) startMs = Math.min(startMs, sentMs);
  const second = (ms: number): number => Math.floor((ms - startMs) / 1000);
  const tokens = new Map<number, number>();
  const active = new Map<number, number>();
  const count = (of: Map<number, number>, bucket: number): void => {
    of.set(bucket, (of.get(bucket) ?? 0) + 1);
  };
  for (const record of completed) {
    for (const ms of record.chunkMs) count(tokens, second(ms));
    const last = second(record.sentMs + timings(record, 'vllm').latencyMs);
    for (let bucket = second(record.sentMs); bucket <= last; bucket++) count(active, bucket);
  }
  return {
    tokensPerS: Math.max(0, ...tokens.values()),
    concurrentRequests: Math.max(0, ...active.values()),
  };
}
