import { z } from 'zod';

/** What the processor asks; further fields are Kvasir's. */
export const findWorkerSchema = z.object({
  tokens: z
    .array(
      z
        .int()
        .min(0)
        .max(2 ** 32 - 1),
    )
    .min(1),
  prefix_id: z.string().default('<no_reuse>'),
  /** Calls left after this one. */
  reuse_budget: z.int().default(0),
  expected_osl: z.string().nullish(),
  interarrival: z.string().nullish(),
  model: z.string().optional(),
});
export type FindWorker = z.infer<typeof findWorkerSchema>;

/** `worker_id` is -1, and `decision_id` null, when there is no worker. `worker` is the id in full. */
export const foundWorkerSchema = z.object({
  worker: z.string().optional(),
  worker_id: z.number(),
  prefix_hit_rate: z.number().optional(),
  decision_id: z.string().nullable(),
  error: z.unknown().optional(),
});

export const feedbackSchema = z.object({
  decision_id: z.string().min(1),
  latency_ms: z.number().min(0),
  success: z.boolean().default(true),
  tokens_in: z.int().min(0).nullish(),
  tokens_out: z.int().min(0).nullish(),
  /** `cancelled`: the client left, of which nothing is learned. */
  finish_reason: z.string().nullish(),
});
export type Feedback = z.input<typeof feedbackSchema>;

export interface FeedbackAck {
  readonly ok: boolean;
  readonly used_baseline: number | null;
  readonly reward: number | null;
  readonly worker_id: string | null;
  readonly error: string | null;
}

/** A find_worker answer; ids exceed the whole numbers of JavaScript, so the text is put together by hand. */
export function foundWorkerText(
  workerId: string | undefined,
  hitRate: number,
  decisionId: string | null,
): string {
  const rest = JSON.stringify({ prefix_hit_rate: hitRate, decision_id: decisionId, worker: workerId });
  return `{"worker_id":${workerId ?? -1},${rest.slice(1)}`;
}
