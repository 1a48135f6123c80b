import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../base/random.ts';
import { ThompsonBandit } from './thompson-bandit.ts';
import { type Draws, randomDraws } from './thompson-draws.ts';
import { FleetLatency } from './thompson-fleet.ts';
import { decodeCost, iatFactor, levelOf, prefillLevel } from './thompson-levels.ts';
import { LinearModel } from './thompson-linear.ts';
import { KVASIR_THOMPSON, REFERENCE_THOMPSON } from './thompson-parameters.ts';
import { Rewards } from './thompson-rewards.ts';
import { features, loadFactor, prefillCost, softmaxOfScores, type WorkerView } from './thompson-scores.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/thompson/router.json', import.meta.url), 'utf8'),
);

interface SelectCase {
  readonly prefix_id: string;
  readonly reuse_budget: number;
  readonly osl: string;
  readonly iat: string | null;
  readonly u: number;
  readonly scores: readonly number[];
  readonly probs: readonly number[];
  readonly chosen: number;
}

function close(actual: ArrayLike<number>, expected: readonly number[], digits = 10): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, digits);
}

/** The draws of the recorded runs: no noise, means, and one uniform number. */
function fixedDraws(): Draws & { u: number } {
  return {
    u: 0,
    normals: (n) => new Float64Array(n),
    beta: (a, b) => a / (a + b),
    uniform() {
      return this.u;
    },
  };
}

describe('the linear model', () => {
  const { steps, sample, v, forget, lambda } = golden.lints_toy;

  test('learns as recorded, and draws as recorded', () => {
    const model = new LinearModel(3, lambda, forget);
    for (const { x, reward, A, b, mu } of steps) {
      model.reward(x, reward);
      close(model.a, A.flat(), 12);
      close(model.b, b, 12);
      close(model.mean, mu, 12);
    }
    const draws = { ...fixedDraws(), normals: () => Float64Array.from(sample.z as number[]) };
    expect(model.sampleByCoefficients(sample.x, v, draws)).toBeCloseTo(sample.value, 8);
    const { mean, deviation } = model.predict(sample.x);
    expect(mean).toBeCloseTo(sample.mean_dot_x, 8);
    expect(v * deviation).toBeCloseTo(sample.std, 8);
  });

  test('forgets by age towards nothing learned', () => {
    const model = new LinearModel(2, 1, 0.995);
    model.learn([1, 0.5], 1);
    model.age(0);
    expect([model.a, model.b]).toEqual([
      [1, 0, 0, 1],
      [0, 0],
    ]);
  });
});

describe('rewards', () => {
  test('are as recorded, baselines included', () => {
    const rewards = new Rewards(0.2);
    for (const {
      worker,
      osl,
      prefill_bin: prefill,
      latency_ms,
      tokens_out,
      success,
      ...expected
    } of golden.reward) {
      const context = { worker: String(worker), osl, prefill };
      const got = rewards.judge(context, latency_ms, tokens_out ?? 0, success);
      expect(got.metric).toBeCloseTo(expected.metric, 12);
      expect(got.perToken).toBe(expected.per_tok);
      expect(got.baseline).toBeCloseTo(expected.baseline_used, 12);
      expect(got.reward).toBeCloseTo(expected.reward, 12);
      expect(rewards.bucket(context, got.perToken) ?? got.baseline).toBeCloseTo(expected.bucket_after, 12);
    }
  });

  test.each(golden.reward_fallback_floor as [number, number][])(
    'of a first metric %d is %d',
    (metric, reward) => {
      const context = { worker: '1', osl: 'LOW', prefill: 'LOW' } as const;
      expect(new Rewards(0.2).judge(context, metric, 1, true).reward).toBeCloseTo(reward, 12);
    },
  );

  test('make every worker average in the end', () => {
    const rewards = new Rewards(0.2);
    const judge = (worker: string, ms: number) =>
      rewards.judge({ worker, osl: 'LOW', prefill: 'LOW' }, ms, 10, true).reward;
    let last = [0, 0];
    for (let i = 0; i < 100; i++) last = [judge('fast', 100), judge('slow', 400)];
    expect(last.map((reward) => Number(reward.toFixed(3)))).toEqual([0.5, 0.5]);
  });
});

describe('the usual latency of a fleet', () => {
  // Latencies that follow the law which the regression assumes, up to a worker's slowness.
  const usualMs = (prefillTokens: number, decodeBlocks: number, output: number) =>
    5 * (1 + prefillTokens) ** 0.4 * (1 + decodeBlocks) ** 0.2 * (1 + output) ** 0.7;

  test('is told by load and size of the job, not by who did it', () => {
    const fleet = new FleetLatency();
    const random = new SeededRandom(1);
    const workers = [{ slowness: 0 }, { slowness: 0 }] as const;
    expect(fleet.expectMs({ prefillTokens: 1, decodeBlocks: 1 }, 1)).toBeUndefined();
    for (let i = 0; i < 2000; i++) {
      // The slow worker, at twice the latency, is given less to do.
      const slow = i % 2 === 0;
      const load = { prefillTokens: random.nextInt(4000), decodeBlocks: random.nextInt(slow ? 100 : 400) };
      const output = 1 + random.nextInt(500);
      fleet.learn(
        workers[slow ? 1 : 0],
        load,
        output,
        usualMs(load.prefillTokens, load.decodeBlocks, output) * (slow ? 2 : 1),
      );
    }
    expect(workers[1].slowness - workers[0].slowness).toBeCloseTo(Math.log(2), 1);
    for (const decodeBlocks of [10, 50, 90, 300]) {
      const ratio =
        fleet.expectMs({ prefillTokens: 2000, decodeBlocks }, 200)! / usualMs(2000, decodeBlocks, 200);
      expect(ratio).toBeGreaterThan(1.1);
      expect(ratio).toBeLessThan(1.9);
    }
  });
});

const { features_and_select: fixture, negative_score_bug: bug } = golden.fixtures;

function viewsOf(
  metrics: Record<string, { gpu: number; queue: number }>,
  overlap: Record<string, number>,
): WorkerView[] {
  return Object.entries(metrics).map(([worker, { gpu, queue }]) => ({
    worker,
    gpu,
    queue,
    overlap: overlap[worker] ?? 0,
    work: 0,
    load: { prefillTokens: 0, decodeBlocks: 0 },
  }));
}

function banditWith(prefixes: Record<string, Record<string, number>>, draws: Draws): ThompsonBandit {
  const bandit = new ThompsonBandit(REFERENCE_THOMPSON, draws);
  for (const [prefix, stored] of Object.entries(prefixes))
    bandit.sessions.store(prefix, {
      worker: String(stored.worker ?? stored.last_worker),
      reuseRemaining: stored.reuse_remaining!,
      decodeCost: stored.decode_cost!,
      prefillCost: stored.prefill_cost!,
      iatFactor: stored.iat_factor!,
      expiresS: Number.POSITIVE_INFINITY,
    });
  return bandit;
}

describe('by the reference’s rules', () => {
  test.each(Object.keys(golden.features))('features and load of worker %s are as recorded', (worker) => {
    const expected = golden.features[worker];
    const bandit = banditWith(fixture.prefix_state, fixedDraws());
    const view = viewsOf(fixture.metrics, fixture.overlap).find((each) => each.worker === worker)!;
    const { last_worker, reuse_after, osl, iat } = fixture.features_request;
    const request = {
      tokens: fixture.isl_tokens,
      reuse: reuse_after,
      decodeCost: decodeCost(osl),
      iatFactor: iatFactor(iat),
      last: String(last_worker),
    };
    const outstanding = bandit.sessions.outstanding(worker);
    expect(outstanding).toBeCloseTo(expected.outstanding[1], 12);
    close(features(REFERENCE_THOMPSON, request, view, outstanding), expected.x, 12);
    expect(loadFactor(REFERENCE_THOMPSON, request, view, outstanding)).toBeCloseTo(expected.load, 12);
    const cost = prefillCost(REFERENCE_THOMPSON, request.tokens, view.overlap);
    expect([cost, prefillLevel(cost)]).toEqual([expected.prefill_cost, expected.prefill_bin]);
  });

  test.each(golden.select as SelectCase[])('selects as recorded: $label', (given) => {
    const { prefix_id, reuse_budget, osl, iat, u, scores, probs, chosen } = given;
    const draws = fixedDraws();
    draws.u = u;
    const bandit = banditWith(fixture.prefix_state, draws);
    const views = viewsOf(fixture.metrics, fixture.overlap);
    const request = {
      decision: 'd',
      tokens: fixture.isl_tokens,
      prefixId: prefix_id,
      reuse: reuse_budget,
      osl: levelOf(osl),
      iat: levelOf(iat),
    };
    const choice = bandit.choose(request, views, 1000);
    close(choice.scores, scores, 12);
    close(choice.probabilities, probs, 12);
    expect(views[choice.row]!.worker).toBe(String(chosen));
  });

  test('a loaded worker with a negative score is preferred to an idle one, as recorded', () => {
    const { prefix_id, last_worker, stored } = bug.session;
    const bandit = banditWith({ [prefix_id]: { ...stored, worker: last_worker } }, fixedDraws());
    const { isl_tokens, reuse_budget, osl, iat } = bug.request;
    const request = { decision: 'd', tokens: isl_tokens, prefixId: prefix_id, reuse: reuse_budget, osl, iat };
    const choice = bandit.choose(request, viewsOf(bug.workers, bug.overlap), 1000);
    close(choice.scores, golden.negative_score_bug.scores, 12);
    close(choice.probabilities, golden.negative_score_bug.probs, 12);
  });

  test('a run of decisions, outcomes and a timeout goes as recorded', () => {
    const draws = fixedDraws();
    const bandit = new ThompsonBandit(REFERENCE_THOMPSON, draws);
    const scraped = { 11: { gpu: 0.2, queue: 0 }, 22: { gpu: 0.05, queue: 1 } };
    let number = 0;
    for (const event of golden.e2e) {
      const beta = () =>
        Object.fromEntries(
          ['11', '22'].map((w) => [w, [bandit.beliefs.of(w).alpha, bandit.beliefs.of(w).beta]]),
        );
      if (event.op === 'find_worker') {
        draws.u = event.u;
        const decision = `d${number++}`;
        const views = viewsOf(scraped, event.overlap).map((view) => ({
          ...view,
          queue: Math.max(view.queue, bandit.pendingOf(view.worker)),
        }));
        const request = {
          decision,
          tokens: event.ntokens,
          prefixId: event.prefix_id,
          reuse: event.reuse_budget,
          osl: levelOf(event.osl),
          iat: levelOf(event.iat),
        };
        const { row } = bandit.choose(request, views, event.t);
        expect([views[row]!.worker, views[row]!.overlap, decision]).toEqual([
          String(event.out.worker_id),
          event.out.prefix_hit_rate,
          event.out.decision_id,
        ]);
        close(bandit.featuresOf(decision)!, event.x, 12);
        for (const [prefix, { worker, reuse_remaining }] of Object.entries(event.prefixes) as [
          string,
          never,
        ][])
          expect(bandit.sessions.find(prefix)).toMatchObject({
            worker: String(worker),
            reuseRemaining: reuse_remaining,
          });
        expect(bandit.sessions.size).toBe(Object.keys(event.prefixes).length);
      } else if (event.op === 'feedback') {
        const lesson = bandit.learn(event.decision_id, {
          success: event.success,
          latencyMs: event.latency_ms,
          outputTokens: event.tokens_out,
        });
        if (!event.out.ok) expect(lesson).toBeUndefined();
        else {
          expect(lesson!.worker).toBe(String(event.out.worker_id));
          expect(lesson!.reward).toBeCloseTo(event.out.reward, 12);
          expect(lesson!.baseline).toBeCloseTo(event.out.used_baseline, 12);
        }
        expect(beta()).toEqual(event.beta);
      } else {
        expect(beta()).toEqual(event.beta);
        expect(bandit.pending).toEqual(event.pending);
        for (const worker of ['11', '22']) {
          const { model } = bandit.beliefs.of(worker);
          close(model.b, event.linb[worker], 12);
          const trace = model.a.filter((_, i) => i % 10 === 0).reduce((sum, value) => sum + value, 0);
          expect(trace).toBeCloseTo(event.trace_A[worker], 10);
        }
        expect(bandit.rewards.global(true)).toBeCloseTo(event.ema_global.True, 12);
        expect(bandit.rewards.global(false)).toBeUndefined();
      }
    }
  });

  test.each(golden.softmax as { scores: number[]; temp: number; probs: number[] }[])(
    'softmax of $scores at $temp',
    ({ scores, temp, probs }) => close(softmaxOfScores(scores, temp, REFERENCE_THOMPSON), probs, 12),
  );

  test.each(Object.entries(golden.norm_level as Record<string, string>))(
    'level of "%s" is %s',
    (word, level) => expect(levelOf(word === 'None' ? null : word)).toBe(level),
  );

  test('the Beta bandit counts as recorded', () => {
    const bandit = new ThompsonBandit({ ...REFERENCE_THOMPSON, timeoutReward: 0 }, fixedDraws());
    const belief = bandit.beliefs.of('w');
    expect([belief.alpha, belief.beta]).toEqual([1, 1]);
    for (const [reward, alpha, beta] of golden.beta as [number, number, number][]) {
      bandit.reward('w', reward);
      close([belief.alpha, belief.beta], [alpha, beta], 12);
    }
  });
});

describe('by Kvasir’s rules', () => {
  const request = { tokens: 512, prefixId: undefined, reuse: 0, osl: 'MEDIUM', iat: 'MEDIUM' } as const;
  const views: WorkerView[] = ['a', 'b', 'c'].map((worker, i) => ({
    worker,
    gpu: 0,
    queue: 0,
    overlap: 0,
    work: i === 2 ? 8192 : 512,
    load: { prefillTokens: 512, decodeBlocks: 10 },
  }));

  test('learns to leave a slow worker that costs the same, and spares the dearest from the start', () => {
    const bandit = new ThompsonBandit(KVASIR_THOMPSON, randomDraws(new SeededRandom(3)));
    const counts = [0, 0, 0];
    for (let i = 0; i < 2000; i++) {
      const { row } = bandit.choose({ ...request, decision: i }, views, i);
      if (i >= 1000) counts[row]!++;
      bandit.learn(i, { success: true, latencyMs: row === 0 ? 1000 : 3000, outputTokens: 100 });
    }
    expect(counts[0]).toBeGreaterThan(900);
    expect(counts[2]).toBeLessThan(30);
  });

  test('a client that leaves teaches nothing', () => {
    const bandit = new ThompsonBandit(KVASIR_THOMPSON, fixedDraws());
    const { row } = bandit.choose({ ...request, decision: 1 }, views, 0);
    bandit.cancel(1);
    const { alpha, beta } = bandit.beliefs.of(views[row]!.worker);
    expect([alpha, beta, bandit.pending, bandit.pendingOf(views[row]!.worker)]).toEqual([1, 1, [], 0]);
    expect(bandit.learn(1, { success: true, latencyMs: 1, outputTokens: 1 })).toBeUndefined();
  });

  test('a long request is no failure', () => {
    const bandit = new ThompsonBandit(KVASIR_THOMPSON, fixedDraws());
    const { row } = bandit.choose({ ...request, decision: 1 }, views, 0);
    bandit.choose({ ...request, decision: 2 }, views, 500);
    expect(bandit.learn(1, { success: true, latencyMs: 500_000, outputTokens: 5000 })?.reward).toBe(0.5);
    expect(bandit.beliefs.of(views[row]!.worker).beta).toBe(1.5);
  });

  test('abandoned conversations weigh on nobody for ever, and there are never too many', () => {
    const bandit = new ThompsonBandit({ ...KVASIR_THOMPSON, maxSessions: 3 }, fixedDraws());
    for (let i = 0; i < 9; i++)
      bandit.choose({ ...request, decision: i, prefixId: `p${i}`, reuse: 5, iatMs: 100 }, views, i);
    expect(bandit.sessions.size).toBe(3);
    bandit.choose({ ...request, decision: 99 }, views, 100);
    expect(bandit.sessions.size).toBe(0);
    expect(bandit.sessions.outstanding('a')).toBe(0);
  });

  test('every candidate keeps a share of the draws', () => {
    const bandit = new ThompsonBandit({ ...KVASIR_THOMPSON, exploration: 0.03 }, fixedDraws());
    const { probabilities } = bandit.choose({ ...request, decision: 1 }, views, 0);
    expect(probabilities[2]).toBeCloseTo(0.01, 10);
    expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
  });
});

test('beta draws have the mean and variance of their law', () => {
  const draws = randomDraws(new SeededRandom(11));
  const values = Array.from({ length: 20_000 }, () => draws.beta(2, 6));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  expect(Math.abs(mean - 0.25)).toBeLessThan(0.005);
  expect(Math.abs(variance - 12 / (64 * 9))).toBeLessThan(0.001);
});
