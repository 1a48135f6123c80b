import { fail } from '../base/errors.ts';
import type { ProbeAnswer, ProbeBatch, ProbeClient } from './probe-client.ts';
import type { DecodeProbe, DecodeSample, EngineUnderTest, PrefillSample } from './target.ts';

const WARM_UPS = 3;
const PREFILL_PROBE_OUTPUT = 5;
/** Seeds of warm-ups, apart from those of probes. */
const WARM_UP_SEED = 0x5eed_0000;
/** Share of what can be cached that the second pass of a decode point must find so. */
const LEAST_CACHED_SHARE = 0.99;
/** The largest block in use, for engines that do not tell theirs. */
const LARGEST_BLOCK = 128;
/** How far a prompt may be from the asked length before the point is worthless. */
const LENGTH_SLACK = 0.02;

export interface EndpointOptions {
  readonly url: string;
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

  async kvTokens(): Promise<number> {
    const { url, client, kvTokens } = this.#options;
    const known = kvTokens ?? (await client.facts(url)).kvTokens;
    if (known === undefined) throw fail('KV_PROFILE_NO_CAPACITY', { url });
    return known;
  }

  async prefill({ islTokens, seed }: { islTokens: number; seed: number }): Promise<PrefillSample> {
    await this.#warmUp(islTokens);
    const [answer] = await this.#send({ count: 1, islTokens, oslTokens: PREFILL_PROBE_OUTPUT, seed });
    return { ttftMs: [answer!.chunkMs[0]! - answer!.sentMs] };
  }

  /** Pass 1 only fills the cache; in pass 2 nothing is prefilled but each prompt's last block. */
  async decode({ islTokens, oslTokens, concurrency, seed }: DecodeProbe): Promise<DecodeSample> {
    const batch = { count: concurrency, islTokens, oslTokens, seed };
    await this.#send(batch);
    const answers = await this.#send(batch);
    checkCached(answers, islTokens, (await this.#options.client.facts(this.#options.url)).blockSize);
    return steadySample(answers);
  }

  stop(): Promise<void> {
    return this.#options.stop();
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

/** Whole blocks can be reused, all but the one with the last token, which is always computed anew. */
function checkCached(
  answers: readonly ProbeAnswer[],
  islTokens: number,
  blockSize: number | undefined,
): void {
  const told = answers.flatMap(({ cachedTokens }) => cachedTokens ?? []);
  const reusable =
    blockSize === undefined
      ? Math.max(0, islTokens - LARGEST_BLOCK)
      : Math.floor((islTokens - 1) / blockSize) * blockSize;
  if (told.length === 0 || reusable === 0) return;
  const share = told.reduce((sum, tokens) => sum + tokens, 0) / (told.length * reusable);
  if (share < LEAST_CACHED_SHARE) throw fail('KV_PROFILE_CACHE_MISS', { share: (100 * share).toFixed(1) });
}

/**
 * Latency and throughput while every request was decoding: from the last first token to the first last one. Ramp-up
 * and tail, when the batch is smaller, would make the engine look faster than it is.
 */
export function steadySample(answers: readonly ProbeAnswer[]): DecodeSample {
  const fromMs = Math.max(...answers.map(({ chunkMs }) => chunkMs[0]!));
  const untilMs = Math.min(...answers.map(({ chunkMs }) => chunkMs.at(-1)!));
  let chunks = 0;
  const itlMs = answers.map(({ chunkMs, outputTokens }) => {
    const inside = chunkMs.filter((at) => at >= fromMs && at <= untilMs);
    const tokensPerChunk = outputTokens / chunkMs.length;
    if (inside.length < 2) return (chunkMs.at(-1)! - chunkMs[0]!) / Math.max(1, outputTokens - 1);
    chunks += (inside.length - 1) * tokensPerChunk;
    return (inside.at(-1)! - inside[0]!) / ((inside.length - 1) * tokensPerChunk);
  });
  const meanItl = itlMs.reduce((sum, value) => sum + value, 0) / itlMs.length;
  const steadyMs = untilMs - fromMs;
  const tokensPerS =
    chunks > 0 && steadyMs > 0 ? (chunks * 1000) / steadyMs : (answers.length * 1000) / meanItl;
  return { itlMs, tokensPerS };
}
