import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { hintWord } from '../formats/openai/agent-hints.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import { levelOf } from '../kv/policies/thompson-levels.ts';
import type { ThompsonRouterMetrics } from '../metrics/thompson-router-metrics.ts';
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
  readonly metrics: ThompsonRouterMetrics;
  /** After which a decision without feedback is given up. */
  readonly feedbackTimeoutMs: number;
  /** The router of a model, or of the only one; undefined while it has no workers. */
  routerOf(model: string | undefined): KvRouter | undefined;
}

const NO_REUSE = '<no_reuse>';
const MAX_PREFIXES = 65_536;

/** `/find_worker` and `/feedback` of the Thompson router. */
export class RouterService {
  readonly #parts: RouterServiceParts;
  readonly #open: OpenDecisions;
  /** Worker of each conversation that expects further calls. */
  readonly #prefixes = new Map<string, string>();

  constructor(parts: RouterServiceParts) {
    this.#parts = parts;
    this.#open = new OpenDecisions(parts.clock, parts.feedbackTimeoutMs, () => parts.metrics.timedOut());
  }

  addRoutes(app: FastifyInstance): void {
    app.post('/find_worker', async (request, reply) => {
      const { success, data, error } = findWorkerSchema.safeParse(request.body);
      void reply.type('application/json; charset=utf-8');
      if (!success) return reply.code(400).send(JSON.stringify({ error: faultsOf(error) }));
      return reply.send(this.#find(data));
    });
    app.post('/feedback', async (request, reply) => {
      const ack = this.#learn(request.body);
      return reply.code(ack.ok || ack.error === UNKNOWN ? 200 : 400).send(ack);
    });
  }

  /** Brings the gauges up to date. */
  refresh(): void {
    this.#open.sweep();
    this.#parts.metrics.setSizes(this.#open.size, this.#prefixes.size);
  }

  #find(asked: FindWorker): string {
    const router = this.#parts.routerOf(asked.model);
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
    const { workerId } = selection.worker;
    const overlap = Math.min(1, selection.predictedCachedTokens / selection.isl);
    const last = prefixId === undefined ? undefined : this.#prefixes.get(prefixId);
    if (prefixId !== undefined) this.#remember(prefixId, reuse > 0 ? workerId : undefined);
    this.#parts.metrics.decided({
      workerId,
      overlap,
      stayed: last === undefined ? undefined : last === workerId,
      reuseBudget: reuse,
      tokens: tokens.length,
    });
    return foundWorkerText(workerId, overlap, this.#open.add(router, selection));
  }

  #remember(prefixId: string, workerId: string | undefined): void {
    this.#prefixes.delete(prefixId);
    if (workerId === undefined) return;
    this.#prefixes.set(prefixId, workerId);
    if (this.#prefixes.size > MAX_PREFIXES) this.#prefixes.delete(this.#prefixes.keys().next().value!);
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
    if (lesson !== undefined) this.#parts.metrics.learned({ workerId, latencyMs, ...lesson });
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

function faultsOf({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}

function refused(error: string): FeedbackAck {
  return { ok: false, used_baseline: null, reward: null, worker_id: null, error };
}
