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

/**
 * Turns latencies into rewards of 0..1: 1 / (1 + latency / baseline), so that 0.5 is as usual. Latency is taken per
 * output token where there are some, with baselines of its own. The reference compares a worker with itself, which
 * makes every worker average in the end; by `fleet` it is compared with all workers at the same kind of request.
 */
export class Rewards {
  readonly #averages = new Map<string, number>();
  readonly #alpha: number;
  readonly #scope: 'worker' | 'fleet';

  constructor(alpha: number, scope: 'worker' | 'fleet') {
    this.#alpha = alpha;
    this.#scope = scope;
  }

  /** Baselines move only on success, after the reward is computed. */
  judge(context: RewardContext, latencyMs: number, outputTokens: number, success: boolean): Reward {
    const perToken = outputTokens > 0;
    const metric = perToken ? latencyMs / outputTokens : latencyMs;
    const keys = this.#keys(context, perToken);
    const known = keys.find((key) => this.#averages.has(key));
    const baseline = known === undefined ? Math.max(1, metric) : this.#averages.get(known)!;
    if (!success) return { metric, perToken, baseline, reward: 0 };
    const reward = 1 / (1 + metric / Math.max(LEAST_BASELINE, baseline));
    for (const key of keys) {
      const before = this.#averages.get(key);
      const after = before === undefined ? metric : this.#alpha * metric + (1 - this.#alpha) * before;
      this.#averages.set(key, after);
    }
    return { metric, perToken, baseline, reward };
  }

  /** Average latency of the whole fleet. */
  global(perToken: boolean): number | undefined {
    return this.#averages.get(`all|${modeOf(perToken)}`);
  }

  bucket(context: RewardContext, perToken: boolean): number | undefined {
    return this.#averages.get(this.#keys(context, perToken)[0]!);
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

  #keys({ worker, osl, prefill }: RewardContext, perToken: boolean): readonly string[] {
    const mode = modeOf(perToken);
    const kind = `${osl}|${prefill}|${mode}`;
    return this.#scope === 'fleet'
      ? [`fleet|${kind}`, `all|${mode}`]
      : [`worker|${worker}|${kind}`, `worker|${worker}|${mode}`, `all|${mode}`];
  }
}

function modeOf(perToken: boolean): string {
  return perToken ? 'token' : 'request';
}
