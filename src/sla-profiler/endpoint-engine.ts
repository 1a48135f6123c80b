import { fail } from '../base/errors.ts';
import type { WorkerRole } from '../formats/deployment/deployment.ts';
import type { DrawnRequest } from './drawn-load.ts';
import type { LoadRequest, ProbeAnswer, ProbeBatch, ProbeClient } from './probe-client.ts';
import { steadySample } from './steady-sample.ts';
import type { DecodeProbe, DecodeSample, EngineUnderTest, KvCapacity, PrefillSample } from './target.ts';

const WARM_UPS = 3;
const PREFILL_PROBE_OUTPUT = 5;
/** Seeds of warm-ups, apart from those of probes. */
const WARM_UP_SEED = 0x5eed_0000;
/** Share of what can be cached that the second pass of a decode point must find so. */
const LEAST_CACHED_SHARE = 0.99;
/** The largest block in use, for engines that do not tell theirs. */
const LARGEST_BLOCK = 128;
/** Share of a prefill probe that may be found in the cache: a first block that all prompts of a model share. */
const MOST_KNOWN_SHARE = 0.01;
/** Seeds that are tried until prompts are new to the engine, and their distance. */
const MOST_SEEDS = 4;
const SEED_STRIDE = 0x0100_0001;
/** Share of the KV cache that different prompts of a load and their answers fill at most. */
const CACHED_SHARE = 0.9;
/** How far a prompt may be from the asked length before the point is worthless. */
const LENGTH_SLACK = 0.02;

export interface EndpointOptions {
  readonly url: string;
  readonly role: WorkerRole;
  readonly client: ProbeClient;
  /** Used when the endpoint does not tell its capacity. */
  readonly kvTokens: number | undefined;
  readonly signal: AbortSignal;
  readonly stop: () => Promise<void>;
}

/** Probes over HTTP, by the reference's rules: warm-ups before prefill, two passes of the same prompts for decode. */
export class EndpointEngine implements EngineUnderTest {
  readonly #options: EndpointOptions;
  /** Prompt lengths that the engine has seen: its first prefills of one are slower. */
  readonly #warm = new Set<number>();

  constructor(options: EndpointOptions) {
    this.#options = options;
  }

  async kvCapacity(): Promise<KvCapacity> {
    const { url, client, kvTokens } = this.#options;
    const facts = await client.facts(url);
    const tokens = kvTokens ?? facts.kvTokens;
    if (tokens === undefined) throw fail('KV_PROFILE_NO_CAPACITY', { url });
    return { tokens, blockSize: facts.blockSize };
  }

  async prefill({ islTokens, seed }: { islTokens: number; seed: number }): Promise<PrefillSample> {
    await this.#warmUp(islTokens);
    const answers = await this.#uncached(seed, (fresh) =>
      this.#send({ count: 1, islTokens, oslTokens: PREFILL_PROBE_OUTPUT, seed: fresh }),
    );
    return { ttftMs: answers.map(({ chunkMs, sentMs }) => chunkMs[0]! - sentMs) };
  }

  /** Pass 1 only fills the cache; in pass 2 nothing is prefilled but each prompt's last block. */
  async decode({ islTokens, oslTokens, concurrency, seed }: DecodeProbe): Promise<DecodeSample> {
    const batch = { count: concurrency, islTokens, oslTokens, seed };
    await this.#send(batch);
    const answers = await this.#send(batch);
    checkCached(answers, (await this.#options.client.facts(this.#options.url)).blockSize);
    checkLengths(answers, oslTokens, this.#options.url);
    const onTrust = answers.some(({ cachedTokens }) => cachedTokens === undefined);
    return { ...steadySample(answers), ...(onTrust && { onTrust }) };
  }

  async load(requests: readonly DrawnRequest[], seed: number): Promise<(number | null)[]> {
    const { role, url } = this.#options;
    const answers = await (role === 'prefill'
      ? this.#uncached(seed, (fresh) =>
          this.#serve(
            requests.map((request, prompt) => ({ ...request, oslTokens: 1, prompt })),
            fresh,
          ),
        )
      : this.#serveCached(requests, seed));
    const latencies = answers.map(({ sentMs, chunkMs, outputTokens, error }) => {
      if (error !== undefined || chunkMs.length === 0) return null;
      if (role === 'prefill') return chunkMs[0]! - sentMs;
      return (chunkMs.at(-1)! - chunkMs[0]!) / Math.max(1, outputTokens - 1);
    });
    if (latencies.every((latency) => latency === null))
      throw fail('KV_ENGINE_BROKE_OFF', { url, reason: answers[0]?.error ?? 'no token came' });
    return latencies;
  }

  stop(): Promise<void> {
    return this.#options.stop();
  }

  /** Answers to prompts that are in the cache: as many different ones as it holds, in turn. */
  async #serveCached(requests: readonly DrawnRequest[], seed: number): Promise<readonly ProbeAnswer[]> {
    const asked = requests.reduce((sum, { islTokens, oslTokens }) => sum + islTokens + oslTokens, 0);
    const { tokens } = await this.kvCapacity();
    const fitting = Math.floor((CACHED_SHARE * tokens * requests.length) / asked);
    const prompts = Math.max(1, Math.min(requests.length, fitting));
    const load = requests.map((request, i) => {
      const prompt = i % prompts;
      return { ...request, islTokens: requests[prompt]!.islTokens, prompt };
    });
    await this.#serve(
      load.slice(0, prompts).map((request) => ({ ...request, atMs: 0, oslTokens: 1 })),
      seed,
    );
    const answers = await this.#serve(load, seed);
    const { blockSize } = await this.#options.client.facts(this.#options.url);
    const answered = answers.filter(({ error }) => error === undefined);
    checkCached(answered, blockSize);
    return answers;
  }

  async #serve(requests: readonly LoadRequest[], seed: number): Promise<readonly ProbeAnswer[]> {
    const { url, client, signal } = this.#options;
    const answers = await client.serve({ url, requests, seed }, signal);
    signal.throwIfAborted();
    return answers;
  }

  /**
   * Sends prompts that the engine has not seen: one that is profiled again, or was when the run was killed, still has
   * those of the same seed in its cache.
   */
  async #uncached(
    seed: number,
    send: (seed: number) => Promise<readonly ProbeAnswer[]>,
  ): Promise<readonly ProbeAnswer[]> {
    for (let attempt = 0; attempt < MOST_SEEDS; attempt++) {
      const answers = await send(seed + attempt * SEED_STRIDE);
      const known = answers.reduce((sum, { cachedTokens = 0 }) => sum + cachedTokens, 0);
      const all = answers.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
      if (known <= MOST_KNOWN_SHARE * all) return answers;
    }
    throw fail('KV_PROFILE_PROMPT_CACHED', { url: this.#options.url });
  }

  async #warmUp(islTokens: number): Promise<void> {
    if (this.#warm.has(islTokens)) return;
    for (let i = 0; i < WARM_UPS; i++)
      await this.#send({ count: 1, islTokens, oslTokens: PREFILL_PROBE_OUTPUT, seed: WARM_UP_SEED + i });
    this.#warm.add(islTokens);
  }

  async #send(batch: Omit<ProbeBatch, 'url'>): Promise<readonly ProbeAnswer[]> {
    const { url, client, signal } = this.#options;
    const answers = await client.send({ ...batch, url }, signal);
    signal.throwIfAborted();
    const broken = answers.find(({ error, chunkMs }) => error !== undefined || chunkMs.length === 0);
    if (broken !== undefined)
      throw fail('KV_ENGINE_BROKE_OFF', { url, reason: broken.error ?? 'no token came' });
    const odd = answers.find(
      ({ promptTokens }) =>
        Math.abs(promptTokens - batch.islTokens) > Math.max(1, LENGTH_SLACK * batch.islTokens),
    );
    if (odd !== undefined) {
      throw fail('KV_ENGINE_BROKE_OFF', {
        url,
        reason: `a prompt of ${batch.islTokens} tokens was counted as ${odd.promptTokens}`,
      });
    }
    return answers;
  }
}

/** An engine that does not know `ignore_eos` ends answers when its model likes to, and its batch shrinks. */
function checkLengths(answers: readonly ProbeAnswer[], oslTokens: number, url: string): void {
  const short = answers.find(({ outputTokens }) => outputTokens < oslTokens * (1 - LENGTH_SLACK));
  if (short === undefined) return;
  const reason = `${oslTokens} tokens were asked for with ignore_eos and min_tokens, ${short.outputTokens} came`;
  throw fail('KV_ENGINE_BROKE_OFF', { url, reason });
}

/** Whole blocks can be reused, all but the one with the last token, which is always computed anew. */
function checkCached(answers: readonly ProbeAnswer[], blockSize: number | undefined): void {
  const reusable = (tokens: number): number =>
    blockSize === undefined
      ? Math.max(0, tokens - LARGEST_BLOCK)
      : Math.floor((tokens - 1) / blockSize) * blockSize;
  let cached = 0;
  let cacheable = 0;
  for (const { promptTokens, cachedTokens } of answers) {
    if (cachedTokens === undefined) continue;
    cached += cachedTokens;
    cacheable += reusable(promptTokens);
  }
  if (cacheable === 0 || cached / cacheable >= LEAST_CACHED_SHARE) return;
  throw fail('KV_PROFILE_CACHE_MISS', { share: ((100 * cached) / cacheable).toFixed(1) });
}
