import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { hintWord } from '../formats/openai/agent-hints.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import { levelOf } from '../kv/policies/thompson-levels.ts';
import type { ThompsonWatch } from '../kv/policies/thompson-watch.ts';
import {
  type FeedbackAck,
  type FindWorker,
  feedbackSchema,
  findWorkerSchema,
  foundWorkerText,
} from './messages.ts';
import { OpenDecisions } from './open-decisions.ts';

export interface RouterServiceParts {
  readonly clock: Clock;
  readonly watch: ThompsonWatch;
  /** After which a decision without feedback is given up. */
  readonly feedbackTimeoutMs: number;
  /** Names of the models that have workers. */
  models(): readonly string[];
  /** The router of a model or adapter; undefined while it has no workers. */
  routerOf(model: string): KvRouter | undefined;
}

const FIND_PATH = '/find_worker';
const FEEDBACK_PATH = '/feedback';
export const THOMPSON_PATHS = [FIND_PATH, FEEDBACK_PATH] as const;

const NO_REUSE = '<no_reuse>';

/** `/find_worker` and `/feedback` of the Thompson router. */
export class RouterService {
  readonly #parts: RouterServiceParts;
  readonly #open: OpenDecisions;

  constructor(parts: RouterServiceParts) {
    this.#parts = parts;
    const { clock, feedbackTimeoutMs, watch } = parts;
    this.#open = new OpenDecisions(clock, feedbackTimeoutMs, (decision) => watch.gaveUp(decision));
  }

  addRoutes(app: FastifyInstance): void {
    app.post(FIND_PATH, async (request, reply) => {
      const { success, data, error } = findWorkerSchema.safeParse(request.body);
      void reply.type('application/json; charset=utf-8');
      if (!success) return reply.code(400).send(JSON.stringify({ error: faultsOf(error) }));
      const models = this.#parts.models();
      if (data.model === undefined && models.length > 1)
        return reply.code(400).send(JSON.stringify({ error: severalModels(models) }));
      return reply.send(this.#find(data, data.model ?? models[0]));
    });
    app.post(FEEDBACK_PATH, async (request, reply) => {
      const ack = this.#learn(request.body);
      return reply.code(ack.ok || ack.error === UNKNOWN ? 200 : 400).send(ack);
    });
  }

  /** Brings the gauges up to date. */
  refresh(): void {
    this.#open.sweep();
    this.#parts.watch.refresh();
  }

  #find(asked: FindWorker, model: string | undefined): string {
    const router = model === undefined ? undefined : this.#parts.routerOf(model);
    const tokens = Uint32Array.from(asked.tokens);
    const reuse = Math.max(0, asked.reuse_budget);
    const prefixId = asked.prefix_id === NO_REUSE ? undefined : asked.prefix_id;
    const selection = router?.select({
      requestId: crypto.randomUUID(),
      tokens,
      // A representative of each level, which the policy turns into the level again.
      expectedOutputTokens: hintWord('osl', levelOf(asked.expected_osl)),
      conversation:
        prefixId === undefined
          ? undefined
          : {
              prefixId,
              remainingCalls: reuse,
              interarrivalMs: hintWord('iat', levelOf(asked.interarrival)),
            },
    });
    if (router === undefined || selection?.kind !== 'selected') return foundWorkerText(undefined, 0, null);
    const overlap = Math.min(1, selection.predictedCachedTokens / selection.isl);
    return foundWorkerText(selection.worker.workerId, overlap, this.#open.add(router, selection));
  }

  #learn(body: unknown): FeedbackAck {
    const { success, data, error } = feedbackSchema.safeParse(body);
    if (!success) return refused(faultsOf(error));
    const open = this.#open.take(data.decision_id);
    if (open === undefined) return refused(UNKNOWN);
    const { router, selection } = open;
    const cancelled = !data.success && data.finish_reason === 'cancelled';
    selection.booking?.free(data.success ? 'done' : cancelled ? 'cancelled' : 'failed');
    const { workerId } = selection.worker;
    const { latency_ms: latencyMs } = data;
    const lesson = router.recordOutcome(selection.decision, {
      outcome: data.success ? 'success' : cancelled ? 'cancelled' : 'failure',
      latencyMs,
      outputTokens: data.tokens_out ?? 0,
    });
    return {
      ok: true,
      used_baseline: lesson?.baseline ?? null,
      reward: lesson?.reward ?? null,
      worker_id: workerId,
      error: null,
    };
  }
}

const UNKNOWN = 'unknown_decision';

function severalModels(models: readonly string[]): string {
  return `model: this router serves several, ${models.join(', ')}: say which one is asked for`;
}

function faultsOf({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}

function refused(error: string): FeedbackAck {
  return { ok: false, used_baseline: null, reward: null, worker_id: null, error };
}
