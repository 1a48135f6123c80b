import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { OpenAiTarget } from '../load/openai-target.ts';
import { type LoadPlan, type PlannedRequest, singleTurns } from '../load/plan.ts';
import { PromptWriter } from '../load/prompt-words.ts';
import type { RequestRecord } from '../load/record.ts';
import { runLoad } from '../load/run-load.ts';
import { syntheticPlan } from '../load/synthetic-plan.ts';
import type {
  EndpointFacts,
  ProbeAnswer,
  ProbeBatch,
  ProbeClient,
  ProbeLoad,
} from '../sla-profiler/probe-client.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import { parseEngineSpec } from '../transport/engine-spec.ts';
import { HttpClient } from '../transport/http-client.ts';

const FACTS_TIMEOUT_MS = 5000;
/** Token ids of probes, inside every vocabulary and clear of special tokens. */
const PROBE_IDS = { first: 1000, size: 8000 };

/** Probes of the SLA profiler, sent by the load generator as token ids, so that lengths are exact. */
export class LoadProbeClient implements ProbeClient {
  readonly #http = new HttpClient();
  readonly #clock = new RealClock();
  readonly #model: string | undefined;
  readonly #apiKey: string | undefined;
  readonly #facts = new Map<string, EndpointFacts>();

  /** `model` is asked for; undefined: the first that the endpoint lists. */
  constructor(model: string | undefined, apiKey?: string) {
    this.#model = model;
    this.#apiKey = apiKey;
  }

  async facts(url: string): Promise<EndpointFacts> {
    const known = this.#facts.get(url);
    if (known !== undefined) return known;
    const engine = await describeEngine(this.#http, parseEngineSpec(url, '--endpoint'), '0', {
      timeoutMs: FACTS_TIMEOUT_MS,
      ...(this.#apiKey !== undefined && { headers: { authorization: `Bearer ${this.#apiKey}` } }),
    });
    const model = this.#model ?? engine.models[0];
    if (model === undefined) throw fail('KV_ENGINE_UNREACHABLE', { url, reason: 'it lists no model' });
    const { totalKvBlocks, blockSize, dpSize } = engine;
    const kvTokens =
      totalKvBlocks === undefined || blockSize === undefined ? undefined : totalKvBlocks * blockSize * dpSize;
    const facts = { model, kvTokens, blockSize };
    this.#facts.set(url, facts);
    return facts;
  }

  forget(url: string): void {
    this.#facts.delete(url);
  }

  send(batch: ProbeBatch, signal: AbortSignal): Promise<readonly ProbeAnswer[]> {
    const { url, count, islTokens, oslTokens, seed } = batch;
    const plan = syntheticPlan({
      requests: count,
      isl: islTokens,
      osl: oslTokens,
      concurrency: count,
      seed,
    });
    return this.#run(url, plan, seed, signal);
  }

  serve({ url, requests, seed }: ProbeLoad, signal: AbortSignal): Promise<readonly ProbeAnswer[]> {
    const planned = requests.map(
      ({ islTokens, oslTokens, prompt }, index): PlannedRequest => ({
        id: `load-${index}`,
        index,
        phase: 'measure',
        prompt: { kind: 'parts', parts: [{ id: prompt, length: islTokens }] },
        inputLength: islTokens,
        outputLength: oslTokens,
      }),
    );
    const sessions = singleTurns(
      planned,
      requests.map(({ atMs }) => atMs),
    );
    return this.#run(url, { loop: 'open', sessions }, seed, signal);
  }

  async #run(
    url: string,
    plan: LoadPlan,
    seed: number,
    signal: AbortSignal,
  ): Promise<readonly ProbeAnswer[]> {
    const { model } = await this.facts(url);
    const writer = new PromptWriter({ seed, ids: PROBE_IDS });
    const target = new OpenAiTarget({
      url,
      writer,
      model,
      apiKey: this.#apiKey,
      form: 'token-ids',
      ignoreEos: true,
      minTokens: true,
      continuousUsage: false,
      extra: {},
    });
    try {
      const { records } = await runLoad(plan, target, { signal, clock: this.#clock });
      return records.toSorted((a, b) => a.index - b.index).map(answerOf);
    } finally {
      await target.stop();
    }
  }

  async stop(): Promise<void> {
    await this.#http.stop();
  }
}

function answerOf(record: RequestRecord): ProbeAnswer {
  return {
    sentMs: record.intendedMs ?? record.wroteMs ?? record.sentMs,
    chunkMs: record.chunkMs.filter((_, i) => record.chunkTokens[i]! > 0),
    outputTokens:
      record.usage?.completionTokens ?? record.chunkTokens.reduce((sum, tokens) => sum + tokens, 0),
    promptTokens: record.usage?.promptTokens ?? record.inputLength,
    cachedTokens: record.usage?.cachedTokens,
    error: record.outcome === 'completed' ? undefined : (record.error ?? record.outcome),
  };
}
