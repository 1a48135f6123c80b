import { createHash } from 'node:crypto';
import { toError } from '../base/errors.ts';
import { mean } from '../math/summary.ts';
import type { DrawnRequest } from './drawn-load.ts';
import { isTight, type Latency, latencyOf } from './latency.ts';
import type { JournalEntry, PointJournal } from './point-journal.ts';
import type { ProbeBudget } from './probe-budget.ts';
import type { DecodeSample, EngineOrder, EngineUnderTest, KvCapacity, ProfileTarget } from './target.ts';

export interface PrefillPoint {
  readonly islTokens: number;
  readonly ttft: Latency;
}

export interface DecodePoint {
  readonly islTokens: number;
  readonly oslTokens: number;
  readonly concurrency: number;
  readonly itl: Latency;
  readonly tokensPerS: number;
  /** As of {@link DecodeSample}. */
  readonly onTrust?: boolean;
}

/** When a point is measured well enough, and when to give up making it better. */
export interface Precision {
  /** Half-width of the 95 % interval, as a share of the mean, at which a point is tight enough. */
  readonly halfWidthShare: number;
  readonly fewestRepeats: number;
  readonly mostRepeats: number;
}

export interface MeasurementCounts {
  measured: number;
  reused: number;
  failed: number;
  probes: number;
}

/** Told after each point, for progress and the log. */
export interface MeasurementObserver {
  onPoint(description: string, outcome: 'measured' | 'reused' | 'failed', reason?: string): void;
}

/** Raised whenever what a point holds changes: points of other formats in a journal are not taken for these. */
const POINT_FORMAT = 2;

/** Measures points through a target, each at most once: what the journal holds is taken from there. */
export class Measurements {
  readonly counts: MeasurementCounts = { measured: 0, reused: 0, failed: 0, probes: 0 };
  #lastFailure: string | undefined;
  readonly #target: ProfileTarget;
  readonly #journal: PointJournal;
  readonly #precision: Precision;
  readonly #budget: ProbeBudget;
  readonly #seed: number;
  readonly #signal: AbortSignal;
  readonly #observer: MeasurementObserver;

  constructor(options: {
    target: ProfileTarget;
    journal: PointJournal;
    precision: Precision;
    /** After it is spent no point is repeated. */
    budget: ProbeBudget;
    seed: number;
    signal: AbortSignal;
    observer: MeasurementObserver;
  }) {
    this.#target = options.target;
    this.#journal = options.journal;
    this.#precision = options.precision;
    this.#budget = options.budget;
    this.#seed = options.seed;
    this.#signal = options.signal;
    this.#observer = options.observer;
  }

  /** Why the most recent failed point failed. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  /** The run was asked to stop. */
  get stopped(): boolean {
    return this.#signal.aborted;
  }

  /** Runs `use` with the probes of one engine, which is started only when a point is not in the journal yet. */
  async withEngine<T>(order: EngineOrder, use: (engine: EngineProbes) => Promise<T>): Promise<T> {
    let started: Promise<EngineUnderTest> | undefined;
    const start = (): Promise<EngineUnderTest> => {
      started ??= this.#target.start(order, this.#signal);
      return started;
    };
    try {
      return await use(this.#probesOf(order, start));
    } finally {
      await started?.then(
        (engine) => engine.stop(),
        () => {},
      );
    }
  }

  #probesOf(order: EngineOrder, start: () => Promise<EngineUnderTest>): EngineProbes {
    const engine = `${order.role} ${order.mapping.kind}${order.mapping.gpus}`;
    const base = `${order.role}/${order.mapping.kind}${order.mapping.gpus}/${this.#identityOf(order)}`;
    return {
      kvCapacity: () =>
        this.#once(`${base}/kv`, `${engine}, KV capacity`, async () => (await start()).kvCapacity()),
      prefill: (islTokens) =>
        this.#once(`${base}/isl${islTokens}`, `${engine}, ISL ${islTokens}`, async () => ({
          islTokens,
          ttft: latencyOf(
            await this.#repeat(async (seed) => {
              const sample = await (await start()).prefill({ islTokens, seed });
              this.#spendProbe(sample);
              return sample.ttftMs;
            }, islTokens),
          ),
        })),
      decode: (islTokens, oslTokens, concurrency) =>
        this.#once(
          `${base}/isl${islTokens}/osl${oslTokens}/n${concurrency}`,
          `${engine}, ISL ${islTokens}, ${concurrency} in flight`,
          async () => {
            const samples: DecodeSample[] = [];
            const itlMs = await this.#repeat(
              async (seed) => {
                const sample = await (await start()).decode({ islTokens, oslTokens, concurrency, seed });
                this.#spendProbe(sample);
                samples.push(sample);
                return sample.itlMs;
              },
              islTokens * 4099 + concurrency,
            );
            return {
              islTokens,
              oslTokens,
              concurrency,
              itl: latencyOf(itlMs),
              tokensPerS: mean(samples.map(({ tokensPerS }) => tokensPerS))!,
              ...(samples.some(({ onTrust }) => onTrust) && { onTrust: true }),
            };
          },
        ),
      load: (requests, ratePerS, seed) =>
        this.#once(
          `${base}/load${ratePerS}/${requests.length}`,
          `${engine}, ${ratePerS.toFixed(2)} requests/s`,
          async () => (await start()).load!(requests, seed),
        ),
    };
  }

  /** From the journal, else measured and journalled; undefined when it failed, now or before. */
  async #once<T>(key: string, description: string, measure: () => Promise<T>): Promise<T | undefined> {
    const known = this.#journal.get(key);
    if (known !== undefined) return this.#reuse<T>(known, description);
    this.#signal.throwIfAborted();
    const before = this.#budget.spent;
    try {
      const value = await measure();
      const { probes, virtualMs } = this.#budget.spent;
      await this.#journal.append({
        key,
        value,
        probes: probes - before.probes,
        ...(virtualMs > before.virtualMs && { virtualMs: virtualMs - before.virtualMs }),
      });
      this.counts.measured++;
      this.#observer.onPoint(description, 'measured');
      return value;
    } catch (thrown) {
      // A stop is no verdict on the point: the next run measures it.
      if (this.#signal.aborted) throw thrown;
      const reason = toError(thrown).message;
      await this.#journal.append({ key, failed: reason });
      this.counts.failed++;
      this.#lastFailure = reason;
      this.#observer.onPoint(description, 'failed', reason);
      return undefined;
    }
  }

  #reuse<T>(entry: JournalEntry, description: string): T | undefined {
    this.counts.reused++;
    this.#budget.spend({ probes: entry.probes ?? 0, virtualMs: entry.virtualMs ?? 0 });
    this.#lastFailure = entry.failed ?? this.#lastFailure;
    this.#observer.onPoint(description, entry.failed === undefined ? 'reused' : 'failed', entry.failed);
    return entry.value as T | undefined;
  }

  /** Probes with fresh seeds until the mean is tight or a limit is reached; the latencies of each. */
  async #repeat(
    probe: (seed: number) => Promise<readonly number[]>,
    salt: number,
  ): Promise<(readonly number[])[]> {
    const { halfWidthShare, fewestRepeats, mostRepeats } = this.#precision;
    const seen: (readonly number[])[] = [];
    for (let repeat = 0; repeat < mostRepeats; repeat++) {
      seen.push(await probe(this.#seed + salt * 64 + repeat));
      if (this.#budget.exhausted) break;
      if (seen.length >= fewestRepeats && isTight(seen, halfWidthShare)) break;
    }
    return seen;
  }

  #spendProbe({ virtualMs = 0 }: { readonly virtualMs?: number }): void {
    this.counts.probes++;
    this.#budget.spend({ probes: 1, virtualMs });
  }

  #identityOf(order: EngineOrder): string {
    const { halfWidthShare, fewestRepeats, mostRepeats } = this.#precision;
    const facts = [
      POINT_FORMAT,
      this.#target.name,
      this.#target.identity,
      order.deployment.toString(),
      this.#seed,
      halfWidthShare,
      fewestRepeats,
      mostRepeats,
    ];
    return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 12);
  }
}

/** The probes of one engine; each resolves to undefined when the point failed. */
export interface EngineProbes {
  kvCapacity(): Promise<KvCapacity | undefined>;
  prefill(islTokens: number): Promise<PrefillPoint | undefined>;
  decode(islTokens: number, oslTokens: number, concurrency: number): Promise<DecodePoint | undefined>;
  /** As {@link EngineUnderTest.load}; `ratePerS` names the point. */
  load(
    requests: readonly DrawnRequest[],
    ratePerS: number,
    seed: number,
  ): Promise<readonly (number | null)[] | undefined>;
}

/** prefill throughput of one request in flight, tokens/s/GPU. */
export function prefillTokensPerSPerGpu(point: PrefillPoint, gpus: number): number {
  return (point.islTokens / point.ttft.meanMs / gpus) * 1000;
}
