import { outputTokens, type RequestRecord } from '../record.ts';

/**
 * Whose definitions a number follows. All clocks start at `sentMs`.
 *
 * | | first token | latency ends | gaps |
 * |---|---|---|---|
 * | kvasir | first chunk with content | last content | every token: a chunk of n spreads its gap over n |
 * | vllm | first chunk with choices, even role-only | last event, the usage chunk included | every chunk |
 * | aiperf | first chunk with content | last content | every content chunk; none if one is not positive |
 * | guidellm | first chunk with content | end of the stream | every content chunk |
 */
export const CONVENTIONS = ['kvasir', 'vllm', 'aiperf', 'guidellm'] as const;
export type Convention = (typeof CONVENTIONS)[number];

/** One request in milliseconds; undefined where the definition gives nothing. */
export interface Timings {
  readonly ttftMs: number | undefined;
  /** Second token (or chunk) minus first. */
  readonly ttstMs: number | undefined;
  readonly latencyMs: number;
  /** Mean time per token after the first; guidellm calls it ITL. undefined for answers of one token. */
  readonly tpotMs: number | undefined;
  /** Single gaps between tokens or chunks, for pooling over requests. */
  readonly gapsMs: readonly number[];
  readonly outputTokens: number;
}

/** Values one completed request by a convention. */
export function timings(record: RequestRecord, convention: Convention): Timings {
  const times = convention === 'vllm' ? record.chunkMs : contentTimes(record);
  const first = times[0];
  const last = times.at(-1);
  const tokens = outputTokens(record);
  const { sentMs, endMs } = record;
  const endOf = { kvasir: last, aiperf: last, vllm: record.lastDataMs ?? last, guidellm: endMs };
  const latencyMs = (endOf[convention] ?? endMs) - sentMs;
  const ttftMs = first === undefined ? undefined : first - sentMs;
  const decodeMs = convention === 'vllm' ? latencyMs - (ttftMs ?? 0) : (last ?? 0) - (first ?? 0);
  const gapsMs = convention === 'kvasir' ? tokenGaps(record) : gaps(times);
  return {
    ttftMs,
    ttstMs: gapsMs[0],
    latencyMs,
    tpotMs: ttftMs === undefined || tokens <= 1 ? undefined : decodeMs / (tokens - 1),
    gapsMs: convention === 'aiperf' && gapsMs.some((gap) => gap <= 0) ? [] : gapsMs,
    outputTokens: tokens,
  };
}

/** guidellm's time per output token: it includes the first, so TTFT is in it. */
export function timePerTokenMs(record: RequestRecord): number | undefined {
  const last = contentTimes(record).at(-1);
  const tokens = outputTokens(record);
  return last === undefined || tokens === 0 ? undefined : (last - record.sentMs) / tokens;
}

/** Arrival of every chunk with content. */
export function contentTimes(record: Pick<RequestRecord, 'chunkMs' | 'chunkTokens'>): readonly number[] {
  const { chunkMs, chunkTokens } = record;
  return chunkTokens.includes(0) ? chunkMs.filter((_, i) => chunkTokens[i]! > 0) : chunkMs;
}

function gaps(times: readonly number[]): readonly number[] {
  return times.slice(1).map((time, i) => time - times[i]!);
}

/** Gaps token by token; tokens that came with the first chunk have none, for nobody waited for them. */
function tokenGaps(record: RequestRecord): readonly number[] {
  const { chunkMs, chunkTokens } = record;
  const list: number[] = [];
  let before: number | undefined;
  chunkMs.forEach((time, i) => {
    const tokens = chunkTokens[i]!;
    if (tokens === 0) return;
    if (before !== undefined)
      for (let token = 0; token < tokens; token++) list.push((time - before) / tokens);
    before = time;
  });
  return list;
}
