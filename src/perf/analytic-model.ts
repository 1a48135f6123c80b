import { fail } from '../base/errors.ts';

/**
 * A closed form of one engine's speed. `efficiency` is the speed-up over one GPU that a width reaches. Times in ms:
 * TTFT = base + (perToken·isl + perTokenSquared·isl²) / e,
 * ITL = base + (fixed + perRequest·n + perContextToken·Σcontext) / e for n requests in flight.
 */
export interface AnalyticModel {
  readonly efficiencyByGpus: Readonly<Record<string, number>>;
  readonly prefill: {
    readonly baseMs: number;
    readonly perTokenMs: number;
    readonly perTokenSquaredMs: number;
  };
  readonly decode: {
    readonly baseMs: number;
    readonly fixedMs: number;
    readonly perRequestMs: number;
    readonly perContextTokenMs: number;
  };
  readonly kvTokensPerGpu: number;
}

/** An 8-billion-parameter model on H100-like GPUs, roughly. */
export const DEFAULT_MODEL: AnalyticModel = {
  efficiencyByGpus: { 1: 1, 2: 1.75, 4: 3, 8: 5 },
  prefill: { baseMs: 4, perTokenMs: 0.0625, perTokenSquaredMs: 1e-6 },
  decode: { baseMs: 2, fixedMs: 6, perRequestMs: 0.03125, perContextTokenMs: 5e-5 },
  kvTokensPerGpu: 80_000,
};

/** Milliseconds to the first token of one prompt on an idle engine. */
export function analyticTtftMs(model: AnalyticModel, gpus: number, islTokens: number): number {
  const { baseMs, perTokenMs, perTokenSquaredMs } = model.prefill;
  const e = efficiency(model, gpus);
  return baseMs + (islTokens * perTokenMs) / e + (islTokens * islTokens * perTokenSquaredMs) / e;
}

/** Milliseconds of one decode step of `requests` whose contexts sum to `contextTokens`. */
export function analyticItlMs(
  model: AnalyticModel,
  gpus: number,
  requests: number,
  contextTokens: number,
): number {
  const { baseMs, fixedMs, perRequestMs, perContextTokenMs } = model.decode;
  return (
    baseMs + (fixedMs + perRequestMs * requests + contextTokens * perContextTokenMs) / efficiency(model, gpus)
  );
}

/** Requests of the given lengths that fit into the KV cache of `gpus` GPUs. */
export function analyticMaxBatch(
  model: AnalyticModel,
  gpus: number,
  islTokens: number,
  oslTokens: number,
): number {
  return Math.floor((model.kvTokensPerGpu * gpus) / (islTokens + oslTokens));
}

/** Reads a model from JSON data; `path` names the file in errors. Widths between the given ones are interpolated. */
export function parseAnalyticModel(data: unknown, path: string): AnalyticModel {
  const wrong = (field: string): Error =>
    fail('KV_FILE_MALFORMED', {
      path,
      reason: `${field} must be a number above 0 (or 0 for a coefficient)`,
      mend: 'See docs/guides/sla-profiler.md for the format.',
    });
  const record = (value: unknown, field: string): Record<string, unknown> => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw fail('KV_FILE_MALFORMED', {
        path,
        reason: `${field} must be a mapping`,
        mend: 'See docs/guides/sla-profiler.md for the format.',
      });
    }
    return value as Record<string, unknown>;
  };
  const coefficient = (value: unknown, field: string): number => {
    if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value)) throw wrong(field);
    return value;
  };
  const top = record(data, 'the file');
  const known = Object.keys(DEFAULT_MODEL);
  const stranger = Object.keys(top).find((key) => !known.includes(key));
  if (stranger !== undefined)
    throw fail('KV_FILE_MALFORMED', {
      path,
      reason: `unknown field ${stranger}`,
      mend: `Known fields: ${known.join(', ')}.`,
    });
  const merge = <T extends Readonly<Record<string, number>>>(name: 'prefill' | 'decode', defaults: T): T => {
    const given = record(top[name] ?? {}, name);
    const unknown = Object.keys(given).find((key) => !(key in defaults));
    if (unknown !== undefined)
      throw fail('KV_FILE_MALFORMED', {
        path,
        reason: `unknown field ${name}.${unknown}`,
        mend: `Known fields: ${Object.keys(defaults).join(', ')}.`,
      });
    const merged = Object.entries(defaults).map(([key, value]) => [
      key,
      coefficient(given[key] ?? value, `${name}.${key}`),
    ]);
    return Object.fromEntries(merged) as T;
  };
  const efficiencies = Object.entries(
    record(top.efficiencyByGpus ?? DEFAULT_MODEL.efficiencyByGpus, 'efficiencyByGpus'),
  );
  for (const [gpus, value] of efficiencies) {
    if (!(Number(gpus) > 0) || !(coefficient(value, `efficiencyByGpus.${gpus}`) > 0))
      throw wrong(`efficiencyByGpus.${gpus}`);
  }
  const kvTokensPerGpu = coefficient(top.kvTokensPerGpu ?? DEFAULT_MODEL.kvTokensPerGpu, 'kvTokensPerGpu');
  return {
    efficiencyByGpus: Object.fromEntries(efficiencies) as Record<string, number>,
    prefill: merge('prefill', DEFAULT_MODEL.prefill),
    decode: merge('decode', DEFAULT_MODEL.decode),
    kvTokensPerGpu,
  };
}

/** Speed-up of a width: as given, else linear in log2 of the GPUs between its neighbours and beyond the last ones. */
function efficiency(model: AnalyticModel, gpus: number): number {
  const exact = model.efficiencyByGpus[gpus];
  if (exact !== undefined) return exact;
  const points = Object.entries(model.efficiencyByGpus)
    .map(([width, value]) => ({ at: Math.log2(Number(width)), value }))
    .toSorted((a, b) => a.at - b.at);
  if (points.length < 2) return points[0]?.value ?? 1;
  const x = Math.log2(gpus);
  const above = points.findIndex(({ at }) => at > x);
  const upper = above < 0 ? points.length - 1 : Math.max(1, above);
  const [low, high] = [points[upper - 1]!, points[upper]!];
  return low.value + ((high.value - low.value) * (x - low.at)) / (high.at - low.at);
}

/** How long the halves of a simulated engine's pass take under the model (sums run over the requests of the pass). */
export function analyticTiming(
  model: AnalyticModel,
  gpus: number,
): {
  prefillMs(requests: number, inputTokens: number, prefixTokens: number): number;
  decodeMs(requests: number, contextTokens: number): number;
} {
  return {
    prefillMs(requests, inputTokens, prefixTokens) {
      const { baseMs, perTokenMs, perTokenSquaredMs } = model.prefill;
      const fresh = inputTokens - prefixTokens;
      // Attention grows with the square of the context, of which the prefix part was paid before.
      const squares = (inputTokens ** 2 - prefixTokens ** 2) / requests;
      return fresh <= 0
        ? 0
        : baseMs + (perTokenMs * fresh + perTokenSquaredMs * squares) / efficiency(model, gpus);
    },
    decodeMs: (requests, contextTokens) => analyticItlMs(model, gpus, requests, contextTokens),
  };
}
