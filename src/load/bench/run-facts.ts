import type { VllmHeader } from '../export/vllm-json.ts';

/** What was run, beside what was measured: it stands at the head of every report. */
export interface RunFacts {
  readonly url: string;
  readonly model: string;
  /** How prompts travelled. */
  readonly prompt: string;
  readonly backend: string;
  readonly tokenizer?: string | undefined;
  readonly label?: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Requests per second asked for; infinite without a rate. */
  readonly requestRate: number;
  readonly burstiness: number;
  readonly ramp?: VllmHeader['ramp'];
  readonly maxConcurrency?: number | undefined;
  /** undefined unless a trace was replayed. */
  readonly speedup?: number | undefined;
  readonly cacheState: string;
  readonly startedAt: Date;
  /** Share of prompt tokens that an infinite cache would have held, over the whole plan. */
  readonly theoreticalKve?: number | undefined;
}

export function vllmHeader(facts: RunFacts): VllmHeader {
  const {
    startedAt,
    model,
    tokenizer,
    backend,
    label,
    metadata,
    requestRate,
    burstiness,
    maxConcurrency,
    ramp,
  } = facts;
  return {
    ...{ date: startedAt, backend, label, modelId: model, tokenizerId: tokenizer ?? model },
    ...{ metadata, requestRate, burstiness, maxConcurrency, ramp },
  };
}

/** Facts as they come back from JSON, which knows neither dates nor infinity; what is missing is unknown. */
export function reviveFacts(value: Readonly<Record<string, unknown>>): RunFacts {
  const { requestRate, startedAt } = value;
  return {
    ...{
      url: '',
      model: 'unknown',
      prompt: 'unknown',
      backend: 'openai',
      metadata: {},
      burstiness: 1,
      cacheState: 'unknown',
    },
    ...value,
    requestRate: typeof requestRate === 'number' ? requestRate : Number.POSITIVE_INFINITY,
    startedAt: new Date(typeof startedAt === 'string' ? startedAt : 0),
  };
}
