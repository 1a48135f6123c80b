import type { Level } from './thompson-levels.ts';

/** What a latency is compared with: moving averages, the most specific first. */
export interface RewardContext {
  readonly worker: string;
  readonly osl: Level;
  readonly prefill: Level;
}

export interface Reward {
  readonly metric: number;
  readonly perToken: boolean;
  readonly baseline: number;
  readonly reward: number;
}

const LEAST_BASELINE = 0.001;

/** Reward of a latency against the usual one, 0..1: half is as usual. */
export function rewardOf(latency: number, baseline: number): number {
  return 1 / (1 + latency / Math.max(LEAST_BASELINE, baseline));
}

/**
 * The reference's rewards: latency, per output token where there are some, against moving averages of the same worker
 * at the same kind of request. In the end every worker is average.
 */
export class Rewards {
  readonly #averages = new Map<string, number>();
  readonly #alpha: number;

  constructor(alpha: number) {
    this.#alpha = alpha;
  }

  /** Baselines move only on success, after the reward is computed. */
  judge(context: RewardContext, latencyMs: number, outputTokens: number, success: boolean): Reward {
    const perToken = outputTokens > 0;
    const metric = perToken ? latencyMs / outputTokens : latencyMs;
    const keys = keysOf(context, perToken);
    const known = keys.find((key) => this.#averages.has(key));
    const baseline = known === undefined ? Math.max(1, metric) : this.#averages.get(known)!;
    if (!success) return { metric, perToken, baseline, reward: 0 };
    for (const key of keys) {
      const before = this.#averages.get(key);
      const after = before === undefined ? metric : this.#alpha * metric + (1 - this.#alpha) * before;
      this.#averages.set(key, after);
    }
    return { metric, perToken, baseline, reward: rewardOf(metric, baseline) };
  }

  /** Average latency of the whole fleet. */
  global(perToken: boolean): number | undefined {
    return this.#averages.get(`all|${modeOf(perToken)}`);
  }

  bucket(context: RewardContext, perToken: boolean): number | undefined {
    return this.#averages.get(keysOf(context, perToken)[0]!);
  }

  entries(): readonly (readonly [string, number])[] {
    return [...this.#averages];
  }

  restore(entries: readonly (readonly [string, number])[]): void {
    for (const [key, value] of entries) this.#averages.set(key, value);
  }

  forget(worker: string): void {
    for (const key of this.#averages.keys())
      if (key.startsWith(`worker|${worker}|`)) this.#averages.delete(key);
  }
}

function keysOf({ worker, osl, prefill }: RewardContext, perToken: boolean): readonly string[] {
  const mode = modeOf(perToken);
  return [`worker|${worker}|${osl}|${prefill}|${mode}`, `worker|${worker}|${mode}`, `all|${mode}`];
}

function modeOf(perToken: boolean): string {
  return perToken ? 'token' : 'request';
}
