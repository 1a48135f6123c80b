import { byTime, type Trace } from '../input/event.ts';
import { byCodePoint, Column, getOrMake } from './column.ts';
import { mean, percentile } from './confidence.ts';

export interface Distribution {
  readonly n: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Timing and cache use of the LLM calls of one model or one function. */
export interface TokenTiming {
  readonly calls: number;
  /** Time to first token: from LLM_START to the first LLM_NEW_TOKEN. */
  readonly ttft_ms: Distribution;
  /** Inter-token latency: between neighbouring LLM_NEW_TOKEN events. */
  readonly itl_ms: Distribution;
  readonly latency_ms: Distribution;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cached_tokens: number;
  /** KV efficiency: cached over prompt tokens of the calls that report usage; null without prompt tokens. */
  readonly kv_efficiency: number | null;
  readonly calls_without_usage: number;
}

class Group {
  readonly ttft = new Column();
  readonly itl = new Column();
  readonly latency = new Column();
  calls = 0;
  prompt = 0;
  completion = 0;
  cached = 0;
  withoutUsage = 0;

  finish(): TokenTiming {
    return {
      calls: this.calls,
      ttft_ms: distribution(this.ttft),
      itl_ms: distribution(this.itl),
      latency_ms: distribution(this.latency),
      prompt_tokens: this.prompt,
      completion_tokens: this.completion,
      cached_tokens: this.cached,
      kv_efficiency: this.prompt > 0 ? this.cached / this.prompt : null,
      calls_without_usage: this.withoutUsage,
    };
  }
}

/** TTFT, ITL and KV efficiency from the events themselves, by model and by function; 8 bytes a sample. */
export class TokenTimingCollector {
  readonly #models = new Map<string, Group>();
  readonly #functions = new Map<string, Group>();

  add(trace: Trace): void {
    const open = new Map<
      string,
      { readonly startS: number; lastTokenS: number | undefined; readonly groups: readonly Group[] }
    >();
    for (const event of byTime(trace.events)) {
      if (event.kind !== 'LLM') continue;
      if (event.phase === 'start') {
        const groups = [
          getOrMake(this.#models, event.name, () => new Group()),
          getOrMake(this.#functions, event.functionName, () => new Group()),
        ];
        for (const group of groups) group.calls++;
        open.set(event.uuid, { startS: event.timeS, lastTokenS: undefined, groups });
        continue;
      }
      const call = open.get(event.uuid);
      if (call === undefined) continue;
      for (const group of call.groups) {
        if (event.phase === 'end') {
          group.latency.push((event.timeS - call.startS) * 1000);
          if (event.usage === undefined || event.usage.prompt + event.usage.completion === 0)
            group.withoutUsage++;
          group.prompt += event.usage?.prompt ?? 0;
          group.completion += event.usage?.completion ?? 0;
          group.cached += event.usage?.cached ?? 0;
        } else if (call.lastTokenS === undefined) group.ttft.push((event.timeS - call.startS) * 1000);
        else group.itl.push((event.timeS - call.lastTokenS) * 1000);
      }
      if (event.phase === 'end') open.delete(event.uuid);
      else call.lastTokenS = event.timeS;
    }
  }

  finish(): {
    readonly by_model: Readonly<Record<string, TokenTiming>>;
    readonly by_function: Readonly<Record<string, TokenTiming>>;
  } {
    const all = (groups: ReadonlyMap<string, Group>) =>
      Object.fromEntries(
        [...groups].sort(([a], [b]) => byCodePoint(a, b)).map(([name, group]) => [name, group.finish()]),
      );
    return { by_model: all(this.#models), by_function: all(this.#functions) };
  }
}

function distribution(column: Column): Distribution {
  const ascending = column.ascending();
  const [p50, p90, p99] = [50, 90, 99].map((p) => percentile(ascending, p)) as [number, number, number];
  return { n: ascending.length, mean: mean(ascending), p50, p90, p99 };
}
