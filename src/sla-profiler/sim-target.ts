import { VirtualClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { hash32 } from '../base/random.ts';
import { engineSettings } from '../engine/engine-settings.ts';
import { GeneratedPrompt } from '../engine/prompt.ts';
import { type Finish, SimulatedEngine, type TokenBatch } from '../engine/simulated-engine.ts';
import { BlockHasher } from '../kv/hash.ts';
import type { AnalyticModel } from '../perf/analytic-model.ts';
import { analyticTiming } from '../perf/analytic-model.ts';
import type {
  DecodeProbe,
  DecodeSample,
  EngineOrder,
  EngineUnderTest,
  KvCapacity,
  PrefillSample,
  ProfileTarget,
} from './target.ts';

const BLOCK_SIZE = 16;
const VOCABULARY = 32_000;
const PREFILL_PROBE_OUTPUT = 5;

/** Simulated engines in virtual time: the engine of `kvasir worker`, with the times of an analytic model. */
export class SimTarget implements ProfileTarget {
  readonly name = 'sim';
  readonly identity: unknown;
  readonly takesLoad = false;
  readonly #model: AnalyticModel;

  constructor(model: AnalyticModel) {
    this.#model = model;
    this.identity = model;
  }

  start(order: EngineOrder): Promise<EngineUnderTest> {
    return Promise.resolve(new SimEngine(this.#model, order));
  }
}

interface Answer {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly tokens: number;
}

class SimEngine implements EngineUnderTest {
  readonly #model: AnalyticModel;
  readonly #order: EngineOrder;
  readonly #hasher = new BlockHasher();
  readonly #blocks: number;

  constructor(model: AnalyticModel, order: EngineOrder) {
    this.#model = model;
    this.#order = order;
    this.#blocks = Math.ceil((model.kvTokensPerGpu * order.mapping.gpus) / BLOCK_SIZE);
  }

  kvCapacity(): Promise<KvCapacity> {
    return Promise.resolve({ tokens: this.#blocks * BLOCK_SIZE, blockSize: BLOCK_SIZE });
  }

  prefill({ islTokens, seed }: { islTokens: number; seed: number }): Promise<PrefillSample> {
    const answers = this.#run(1, islTokens, PREFILL_PROBE_OUTPUT, seed);
    return Promise.resolve({ ttftMs: answers.map(({ firstMs }) => firstMs), virtualMs: endOf(answers) });
  }

  /** Prompts are handed over computed, as by a prefill engine, so all requests decode from the first pass on. */
  decode({ islTokens, oslTokens, concurrency, seed }: DecodeProbe): Promise<DecodeSample> {
    const answers = this.#run(concurrency, islTokens, oslTokens, seed);
    // Only while all of them were decoding.
    const fromMs = Math.max(...answers.map(({ firstMs }) => firstMs));
    const untilMs = Math.min(...answers.map(({ lastMs }) => lastMs));
    const itlMs = answers.map(({ firstMs, lastMs, tokens }) => (lastMs - firstMs) / Math.max(1, tokens - 1));
    const steadyMs = untilMs - fromMs;
    const tokensPerS =
      steadyMs > 0 ? (concurrency * (oslTokens - 1) * 1000) / steadyMs : concurrency * (1000 / itlMs[0]!);
    return Promise.resolve({ itlMs, tokensPerS, virtualMs: endOf(answers) });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Sends `count` requests at once to a fresh engine and lets virtual time run until they are answered. */
  #run(count: number, islTokens: number, oslTokens: number, seed: number): Answer[] {
    const clock = new VirtualClock();
    const { role, mapping } = this.#order;
    const settings = engineSettings({
      workerType: role,
      numGpuBlocks: this.#blocks,
      blockSize: BLOCK_SIZE,
      maxNumSeqs: Math.max(1, count),
      // A prompt is one pass, as the model's formula has it.
      maxNumBatchedTokens: Math.max(1, count * islTokens),
      enablePrefixCaching: false,
      timing: analyticTiming(this.#model, mapping.gpus),
      seed,
    });
    const engine = new SimulatedEngine({ settings, clock, hasher: this.#hasher });
    const answers = Array.from({ length: count }, (_, i) => {
      const answer = {
        firstMs: Number.NaN,
        lastMs: Number.NaN,
        tokens: 0,
        finish: undefined as Finish | undefined,
      };
      const prompt = new GeneratedPrompt(islTokens, (into, start) => {
        for (let at = 0; at < into.length; at++) into[at] = hash32(seed, i, start + at) % VOCABULARY;
      });
      engine.submit(
        { id: `probe-${i}`, prompt, maxOutputTokens: oslTokens },
        {
          tokens: ({ tokenIds, atMs }: TokenBatch) => {
            if (answer.tokens === 0) answer.firstMs = atMs;
            answer.lastMs = atMs;
            answer.tokens += tokenIds.length;
          },
          finished: (finish) => {
            answer.finish = finish;
          },
        },
      );
      return answer;
    });
    clock.runUntilIdle();
    const broken = answers.find(({ finish }) => finish?.reason !== 'length');
    if (broken !== undefined) {
      const said = broken.finish?.message ?? 'the simulated engine did not answer';
      const holds = this.#blocks * BLOCK_SIZE;
      throw fail('KV_PROFILE_SIM_REFUSED', { count, tokens: islTokens + oslTokens, holds, said });
    }
    return answers;
  }
}

/** Each probe begins at 0. */
function endOf(answers: readonly Answer[]): number {
  return Math.max(...answers.map(({ lastMs }) => lastMs));
}
