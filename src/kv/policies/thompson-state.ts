import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import type { ThompsonBandit } from './thompson-bandit.ts';
import { FLEET_SIZE } from './thompson-fleet.ts';
import { FEATURE_NAMES } from './thompson-scores.ts';

const VERSION = 2;
const N = FEATURE_NAMES.length;

const belief = z.strictObject({
  a: z.array(z.number()).length(N * N),
  b: z.array(z.number()).length(N),
  alpha: z.number().min(1),
  beta: z.number().min(1),
  slowness: z.number(),
  /** How long the worker had been away. */
  absent_s: z.number().min(0),
});
const schema = z.strictObject({
  schema: z.literal('kvasir.thompson'),
  version: z.literal(VERSION),
  saved_at_ms: z.number(),
  rules: z.enum(['reference', 'kvasir']),
  features: z.array(z.string()),
  lambda: z.number().positive(),
  forget_rate: z.number(),
  workers: z.record(z.string(), belief),
  baselines: z.array(z.tuple([z.string(), z.number().positive()])),
  fleet: z.strictObject({
    a: z.array(z.number()).length(FLEET_SIZE * FLEET_SIZE),
    b: z.array(z.number()).length(FLEET_SIZE),
    lessons: z.number().int().min(0),
  }),
});

/** What a bandit has learned, for a file. */
export function banditState(
  { parameters, beliefs, rewards, fleet }: ThompsonBandit,
  nowS: number,
  wallMs: number,
): object {
  return {
    schema: 'kvasir.thompson',
    version: VERSION,
    saved_at_ms: wallMs,
    rules: parameters.rules,
    features: FEATURE_NAMES,
    lambda: parameters.lambda,
    forget_rate: parameters.forgetRate,
    workers: Object.fromEntries(
      [...beliefs.entries()].map(([worker, { model, alpha, beta, slowness }]) => [
        worker,
        { a: model.a, b: model.b, alpha, beta, slowness, absent_s: beliefs.absentS(worker, nowS) },
      ]),
    ),
    baselines: rewards.entries(),
    fleet: { a: fleet.model.a, b: fleet.model.b, lessons: fleet.lessons },
  };
}

/**
 * Takes in what was saved, weaker by its age. Its workers count as away until they are seen. Throws
 * `KV_THOMPSON_STATE` for what another bandit has learned, and then changes nothing.
 */
export function restoreBandit(bandit: ThompsonBandit, saved: unknown, nowS: number, wallMs: number): void {
  const parsed = schema.safeParse(saved);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw fail('KV_THOMPSON_STATE', { reason: `${path.join('.') || 'the state'}: ${message}` });
  }
  const { data } = parsed;
  const { parameters } = bandit;
  const unlike =
    data.rules !== parameters.rules
      ? `it was learned by the rules of ${data.rules}`
      : data.lambda !== parameters.lambda
        ? `its lambda is ${data.lambda}`
        : data.features.join() !== FEATURE_NAMES.join()
          ? 'its features are others'
          : undefined;
  if (unlike !== undefined) throw fail('KV_THOMPSON_STATE', { reason: unlike });
  const { beliefs, rewards, fleet } = bandit;
  const ageS = Math.max(0, wallMs - data.saved_at_ms) / 1000;
  for (const [worker, { a, b, alpha, beta, slowness, absent_s: absentS }] of Object.entries(data.workers)) {
    const into = beliefs.of(worker);
    into.model.restore(a, b);
    into.alpha = alpha;
    into.beta = beta;
    into.slowness = slowness;
    beliefs.leave(worker, nowS - ageS - absentS);
  }
  rewards.restore(data.baselines);
  fleet.model.restore(data.fleet.a, data.fleet.b);
  fleet.lessons = data.fleet.lessons;
}
