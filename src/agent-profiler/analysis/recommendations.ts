import type { CacheWhatIf } from './cache-what-if.ts';
import type { SpikeSummary } from './concurrency-spikes.ts';
import type { MovedText } from './moved-text.ts';
import type { TokenTiming } from './token-timing.ts';
import type { Waste } from './waste.ts';

/** Advice in plain words, with what following it would save over the profiled requests. */
export interface Recommendation {
  readonly title: string;
  readonly advice: string;
  /** Seconds summed over all requests; 0 where it cannot be told. */
  readonly saved_seconds: number;
  readonly saved_tokens: number;
}

export interface Findings {
  readonly requests: number;
  readonly waste: Waste;
  readonly cache: CacheWhatIf;
  readonly moved: MovedText;
  readonly timing: { readonly by_model: Readonly<Record<string, TokenTiming>> };
  readonly spikes: SpikeSummary | undefined;
}

const NOTABLE_SHARE = 0.05;

/** Ranked by saved seconds, then saved tokens. */
export function recommend(findings: Findings): readonly Recommendation[] {
  const found = [
    caching,
    order,
    repeats,
    serialTools,
    slowTool,
    orchestration,
    crowding,
    openSpans,
    usage,
  ].flatMap((rule) => rule(findings) ?? []);
  return found.sort((a, b) => b.saved_seconds - a.saved_seconds || b.saved_tokens - a.saved_tokens);
}

type Rule = (findings: Findings) => Recommendation | undefined;

const caching: Rule = ({ cache, timing }) => {
  const { prompt_tokens: prompt, cached_tokens: cached, ideal_cached_tokens: ideal } = cache.reported;
  const missed = ideal - cached;
  if (missed <= prompt * NOTABLE_SHARE) return undefined;
  const whole = cache.savings.at(-1)!;
  const enough = cache.savings.find(({ saved_tokens: saved }) => saved >= 0.9 * whole.saved_tokens);
  const size =
    enough?.cache_tokens === undefined
      ? ''
      : ` A cache of ${count(enough.cache_tokens)} tokens gives nine tenths of it.`;
  const found =
    `${percent(ideal / prompt)} of the prompt tokens repeat the head of an earlier prompt, ` +
    `but the engines reported ${percent(cached / prompt)} as cached. `;
  return {
    title: 'Reuse prompt prefixes',
    advice:
      cached > ideal / 2
        ? `${found}The rest met an engine that did not have it, or not yet: route by KV overlap, and let one call fill the cache before others with the same prefix start beside each other.${size}`
        : `${found}Turn prefix caching on and route by KV overlap.${size}`,
    saved_seconds: missed * secondsPerPromptToken(Object.values(timing.by_model)),
    saved_tokens: missed,
  };
};

const order: Rule = ({ moved, timing }) => {
  if (moved.worst === undefined || moved.share < 2 * NOTABLE_SHARE) return undefined;
  const { functionName, calls, head } = moved.worst;
  return {
    title: 'Put what stays the same first in prompts',
    advice:
      `${percent(moved.share)} of the prompt tokens are text that earlier prompts had too, but behind something that differs, so that no prefix ` +
      `cache can serve it. Most of it in ${calls} calls of ${functionName}, whose prompts part after ${quote(head)}. Move what changes ` +
      '(times, ids, user input) behind what does not.',
    saved_seconds: moved.tokens * secondsPerPromptToken(Object.values(timing.by_model)),
    saved_tokens: moved.tokens,
  };
};

function quote(head: string): string {
  return head === '' ? 'their first character' : `“…${head.replaceAll(/\s+/g, ' ')}”`;
}

/** Prefill cost of a token that was not cached, from the time to first token, where the traces have it. */
function secondsPerPromptToken(models: readonly TokenTiming[]): number {
  let seconds = 0;
  let tokens = 0;
  for (const model of models) {
    const reporting = model.latency_ms.n - model.calls_without_usage;
    if (model.ttft_ms.n === 0 || reporting <= 0) continue;
    seconds += (model.ttft_ms.mean / 1000) * model.ttft_ms.n;
    tokens += ((model.prompt_tokens - model.cached_tokens) / reporting) * model.ttft_ms.n;
  }
  return tokens === 0 ? 0 : seconds / tokens;
}

const repeats: Rule = ({ waste: { repeatedPrompts, llmCalls } }) =>
  repeatedPrompts.calls === 0
    ? undefined
    : {
        title: 'Keep answers to repeated prompts',
        advice: `${repeatedPrompts.calls} of ${llmCalls} LLM calls sent a prompt that had been sent before, word for word. Keep the answers, or ask once and share.`,
        saved_seconds: repeatedPrompts.seconds,
        saved_tokens: repeatedPrompts.tokens,
      };

const serialTools: Rule = ({ waste: { serialTools: serial } }) =>
  serial.savableS <= 0
    ? undefined
    : {
        title: 'Run tools side by side',
        advice: `${serial.groups} times several tools ran one after another with nothing between them. If they do not need each other's results, start them together.`,
        saved_seconds: serial.savableS,
        saved_tokens: 0,
      };

const slowTool: Rule = ({ waste }) => {
  const [name, seconds] = [...waste.toolSeconds].sort(([, a], [, b]) => b - a)[0] ?? ['', 0];
  if (seconds <= (waste.llmS + waste.toolS) / 4) return undefined;
  return {
    title: `Speed up the tool ${name}`,
    advice: `It took ${seconds.toFixed(1)} s, ${percent(seconds / (waste.llmS + waste.toolS))} of the time in calls. Halving it saves half of that.`,
    saved_seconds: seconds / 2,
    saved_tokens: 0,
  };
};

const orchestration: Rule = ({ waste }) => {
  const wholeS = waste.functionSelfS + waste.llmS + waste.toolS;
  if (wholeS <= 0 || waste.functionSelfS / wholeS < NOTABLE_SHARE * 2) return undefined;
  return {
    title: 'Look at the time between calls',
    advice: `${waste.functionSelfS.toFixed(1)} s (${percent(waste.functionSelfS / wholeS)}) passed inside functions while no model or tool was working. Parsing, waiting for locks and network set-up live there.`,
    saved_seconds: waste.functionSelfS / 2,
    saved_tokens: 0,
  };
};

const crowding: Rule = ({ spikes, waste }) => {
  if (spikes === undefined) return undefined;
  const levels = Object.entries(spikes.average_latency_by_concurrency)
    .map(([level, s]) => [Number(level), s] as const)
    .filter(([level]) => level > 0);
  const calm = levels.filter(([level]) => level <= Math.max(1, spikes.p50_concurrency));
  const busy = levels.filter(([level]) => level > spikes.p90_concurrency);
  if (calm.length === 0 || busy.length === 0) return undefined;
  const average = (rows: readonly (readonly [number, number])[]): number =>
    rows.reduce((sum, [, s]) => sum + s, 0) / rows.length;
  const [calmS, busyS] = [average(calm), average(busy)];
  if (busyS < 1.3 * calmS) return undefined;
  return {
    title: 'Smooth the concurrency spikes',
    advice: `Calls took ${busyS.toFixed(2)} s above ${spikes.p90_concurrency} at once, against ${calmS.toFixed(2)} s in calm times. Limit how many requests run at once, or add replicas for the peak.`,
    saved_seconds: (busyS - calmS) * waste.llmCalls * 0.1,
    saved_tokens: 0,
  };
};

const openSpans: Rule = ({ waste: { openSpans: open } }) => {
  const total = [...open.values()].reduce((sum, n) => sum + n, 0);
  if (total === 0) return undefined;
  const names = [...open].sort(([, a], [, b]) => b - a).map(([name, n]) => `${name} ${n}`);
  const others = names.length > 3 ? ` and ${names.length - 3} others` : '';
  return {
    title: 'Find out why spans never end',
    advice: `${total} spans have a start but no end: ${names.slice(0, 3).join(', ')}${others}. Tools and model calls that raise an error leave such spans, and so do cancelled runs and lost events. Errors that are tried again cost their time twice.`,
    saved_seconds: 0,
    saved_tokens: 0,
  };
};

const usage: Rule = ({ waste: { callsWithoutUsage: without, llmCalls } }) =>
  without === 0
    ? undefined
    : {
        title: 'Report token usage',
        advice: `${without} of ${llmCalls} LLM calls carry no token counts. Set stream_options.include_usage, or upgrade the client; forecasts and hints are blind without them.`,
        saved_seconds: 0,
        saved_tokens: 0,
      };

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
