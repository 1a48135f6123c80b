import { fail, type KvasirError } from '../base/errors.ts';
import { requestedMaxTokens } from '../formats/openai/request.ts';
import type { CandidateExplanation } from '../kv/decision-log.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouteRequest, RouterOverrides } from '../kv/route-request.ts';
import type { Refusal } from '../kv/select.ts';
import type { Selection } from '../kv/selection.ts';
import type { StageMetrics } from '../metrics/stage-metrics.ts';
import type { Exchange } from './exchange.ts';
import { type HopPin, pinOf } from './hop-pin.ts';
import type { Prompt } from './prompt.ts';
import type { Hop } from './worker-pool.ts';

/** One hop of a request: `decode` after a prefill elsewhere, `aggregated` when one worker does both. */
export interface HopRequest {
  readonly phase: 'prefill' | 'decode' | 'aggregated';
  /** Workers that have failed it. */
  readonly excluded: ReadonlySet<string>;
  /** Blocks cached where it decodes still count, as the next request may be served there as a whole. */
  readonly keepsCredit?: boolean;
  /** In place of the client's, when part of the answer has joined it. */
  readonly prompt?: Prompt | undefined;
}

/** For a prompt that was computed elsewhere: its blocks come over the wire, so what is cached here is no gain. */
const AFTER_HANDOFF: RouterOverrides = {
  overlapScoreCredit: 0,
  assumeKvReuse: false,
  trackPrefillTokens: false,
};

const { overlapScoreCredit: _, ...AFTER_HANDOFF_WARM } = AFTER_HANDOFF;

/** Waits until the hop has a worker, and books it. Rejects if the client leaves meanwhile. */
export async function place(
  stages: StageMetrics,
  exchange: Exchange,
  router: KvRouter,
  hop: HopRequest,
): Promise<Selection | Refusal> {
  const stage = stages.enter('route', hop.phase);
  try {
    const { signal } = exchange.client;
    const request = await routeRequest(exchange, router, hop);
    const doubtful = request.controls?.workerId === undefined ? exchange.model.pool.circuits.leftOut() : [];
    if (doubtful.length > 0) {
      const excludedWorkers = new Set([...hop.excluded, ...doubtful]);
      const controls = { ...request.controls, excludedWorkers };
      const choice = await router.admit({ ...request, controls }, signal);
      if (choice.kind === 'selected' || choice.outcome !== 'no_workers') return choice;
      // All are doubtful: any of them is better than none.
    }
    return await router.admit(request, signal);
  } finally {
    stage.end();
  }
}

/** The worker that would be cheapest for a hop, if any; nothing is booked. */
export async function foresee(
  exchange: Exchange,
  router: KvRouter,
  phase: HopRequest['phase'],
): Promise<CandidateExplanation | undefined> {
  const candidates = router.inspect(await routeRequest(exchange, router, { phase, excluded: new Set() }));
  return 'kind' in candidates ? undefined : candidates[0];
}

function pinFor({ model, controls }: Exchange, router: KvRouter, phase: HopRequest['phase']): HopPin {
  const other = model.pool.router(phase === 'prefill' ? 'decode' : 'prefill');
  return pinOf(phase, controls, router.fleet, other?.fleet);
}

async function routeRequest(exchange: Exchange, router: KvRouter, hop: HopRequest): Promise<RouteRequest> {
  const { phase, excluded } = hop;
  const { model, controls, request } = exchange;
  const prompt = hop.prompt ?? exchange.prompt;
  const { priority, strictPriority, policyClass, sessionId, sessionFinal } = controls;
  const pin = pinFor(exchange, router, phase);
  const session = phase === 'prefill' ? {} : { sessionId, sessionFinal };
  const namespace = { loraName: model.loraName, cacheSalt: controls.cacheSalt };
  const { askHeld } = model.pool;
  const heldByRank =
    askHeld === undefined || phase === 'decode'
      ? undefined
      : await askHeld({ tokens: prompt.tokens, namespace });
  const afterHandoff = hop.keepsCredit === true ? AFTER_HANDOFF_WARM : AFTER_HANDOFF;
  return {
    // Not the client's id, which need not be unique.
    requestId: crypto.randomUUID(),
    tokens: prompt.tokens,
    namespace,
    heldByRank,
    expectedOutputTokens:
      phase === 'prefill' ? 1 : (controls.expectedOutputTokens ?? requestedMaxTokens(request)),
    conversation: controls.conversation,
    controls: { ...pin, ...session, excludedWorkers: excluded, priority, strictPriority, policyClass },
    overrides: { ...exchange.overrides, ...(phase === 'decode' ? afterHandoff : byLoadAlone(exchange)) },
  };
}

/** Embeddings leave nothing in a cache, and find nothing there. */
function byLoadAlone({ endpoint }: Exchange): RouterOverrides {
  return endpoint === 'embeddings' ? { overlapScoreCredit: 0, assumeKvReuse: false } : {};
}

/** What the client is told when no worker was chosen. */
export function refusalError(
  { outcome, reason }: Refusal,
  { model, controls }: Exchange,
  hop: Hop,
): KvasirError {
  switch (outcome) {
    case 'no_workers':
      return fail('KV_NO_WORKERS', { model: model.name, reason });
    case 'all_overloaded':
    case 'pinned_overloaded':
    case 'queue_full':
      return fail('KV_OVERLOADED', { reason });
    case 'pin_not_allowed':
    case 'worker_required': {
      const { backendWorkerId, decodeWorkerId, prefillWorkerId } = controls;
      const worker = (hop === 'prefill' ? prefillWorkerId : decodeWorkerId) ?? backendWorkerId ?? '(none)';
      return fail('KV_WORKER_REFUSED', { worker, reason });
    }
    case 'duplicate':
      return fail('KV_INTERNAL', { reason });
  }
}
