import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import type { ThompsonBandit } from './thompson-bandit.ts';
import { FEATURE_NAMES } from './thompson-scores.ts';

const VERSION = 1;
// Half of what was learned is forgotten in a day of absence: fleets and their neighbours change.
const HALF_LIFE_MS = 86_400_000;
const N = FEATURE_NAMES.length;

const belief = z.strictObject({
  a: z.array(z.number()).length(N * N),
  b: z.array(z.number()).length(N),
  alpha: z.number().min(1),
  beta: z.number().min(1),
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
});

/** What a bandit has learned, for a file. */
export function banditState({ parameters, beliefs, rewards }: ThompsonBandit, wallMs: number): object {
  return {
    schema: 'kvasir.thompson',
    version: VERSION,
    saved_at_ms: wallMs,
    rules: parameters.rules,
    features: FEATURE_NAMES,
    lambda: parameters.lambda,
    forget_rate: parameters.forgetRate,
    workers: Object.fromEntries(
      [...beliefs].map(([worker, { model, alpha, beta }]) => [
        worker,
        { a: model.a, b: model.b, alpha, beta },
      ]),
    ),
    baselines: rewards.entries(),
  };
}

/** Takes in what was saved, weaker by its age. Throws `KV_THOMPSON_STATE` for what another bandit has learned. */
export function restoreBandit(bandit: ThompsonBandit, saved: unknown, wallMs: number): void {
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
  const share = 0.5 ** (Math.max(0, wallMs - data.saved_at_ms) / HALF_LIFE_MS);
  for (const [worker, { a, b, alpha, beta }] of Object.entries(data.workers)) {
    const into = bandit.belief(worker);
    into.model.restore(a, b);
    into.model.age(share);
    into.alpha = 1 + share * (alpha - 1);
    into.beta = 1 + share * (beta - 1);
  }
  bandit.rewards.restore(data.baselines);
}
