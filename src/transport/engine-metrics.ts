import { fail } from '../base/errors.ts';
import { type EngineLoad, readEngineLoads } from '../formats/engine-load/engine-load.ts';
import { readIterationStats } from '../formats/engine-load/iteration-stats.ts';
import { parseExposition } from '../formats/prometheus-text/parse.ts';
import type { HttpClient } from './http-client.ts';

/** What an engine's own metrics say at one moment. */
export interface EngineMetrics {
  /** Its exposition; empty if it has none. */
  readonly text: string;
  readonly loads: readonly EngineLoad[];
  /** The `Date` of the answer. */
  readonly date: string | undefined;
}

interface Look {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Reads an engine's `/metrics`. That of `trtllm-serve` is JSON: its exposition is elsewhere. Throws
 * `KV_ENGINE_UNREACHABLE` when there is no good answer.
 */
export async function readEngineMetrics(client: HttpClient, url: string, look: Look): Promise<EngineMetrics> {
  const { status, text, date } = await client.text(`${url}/metrics`, look);
  if (status !== 200)
    throw fail('KV_ENGINE_UNREACHABLE', { url: `${url}/metrics`, reason: `it answered ${status}` });
  if (!/^\s*\[/.test(text)) return { text, loads: readEngineLoads(parseExposition(text)), date };
  const exposition = await client.text(`${url}/prometheus/metrics`, look).catch(() => undefined);
  const own = exposition?.status === 200 ? exposition.text : '';
  const iterations = readIterationStats(parseList(text)) ?? [];
  const loads = iterations.length > 0 ? iterations : readEngineLoads(parseExposition(own));
  return { text: own, loads, date };
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
