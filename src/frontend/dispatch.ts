import { fail, type KvasirError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { requestedMaxTokens } from '../formats/openai/request.ts';
import { SALT_PREFIX } from '../kv/intake/block-salts.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouteRequest } from '../kv/route-request.ts';
import type { Refusal } from '../kv/select.ts';
import type { Selection } from '../kv/selection.ts';
import type { FrontendMetrics } from '../metrics/frontend-metrics.ts';
import type { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { AnswerMeter } from './answer-meter.ts';
import { type AttemptParts, attempt } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { upstreamBody, usageFields } from './upstream-body.ts';

export interface DispatchParts extends AttemptParts {
  readonly log: Log;
  readonly metrics: FrontendMetrics;
  readonly requests: RouterRequestMetrics;
  /** How many other workers are tried when an engine fails before its first byte. */
  readonly retryLimit: number;
  /** An engine failed: have a look at it. */
  suspect(workerId: string): void;
}

/** Places the request, sends it, and tries other workers while nothing has reached the client. */
export async function dispatch(parts: DispatchParts, exchange: Exchange): Promise<void> {
  const { model, controls } = exchange;
  const excluded = new Set<string>();
  const attempts = controls.workerId === undefined ? 1 + parts.retryLimit : 1;
  let lost: KvasirError | undefined;
  for (let n = 1; n <= attempts; n++) {
    const router = model.pool.router('decode');
    if (router === undefined)
      throw lost ?? fail('KV_NO_WORKERS', { model: model.name, reason: 'none is ready' });
    const selection = await route(parts, exchange, router, excluded);
    if (exchange.client.left) {
      selection.booking?.free('cancelled');
      return;
    }
    const instance = model.pool.instance(selection.worker.workerId);
    if (instance === undefined) {
      selection.booking?.free('failed');
      throw fail('KV_INTERNAL', { reason: `worker ${selection.worker.workerId} has left its pool` });
    }
    const others = router.fleet.size > excluded.size + 1;
    const result = await send(parts, exchange, router, selection, instance, n === attempts || !others);
    if (result.kind === 'settled') return;
    excluded.add(instance.workerId);
    lost = fail('KV_ENGINE_UNREACHABLE', { url: instance.url, reason: result.reason });
    parts.suspect(instance.workerId);
    parts.metrics.migrated(model.name, 'new_request');
    parts.log.warn(
      { url: instance.url, reason: result.reason },
      'engine failed before it answered: trying another',
    );
  }
}

/** Waits for a worker and books it; throws what the client is told when there is none, or if the client leaves. */
async function route(
  parts: DispatchParts,
  exchange: Exchange,
  router: KvRouter,
  excluded: ReadonlySet<string>,
): Promise<Selection> {
  const stage = parts.metrics.stages.enter('route', 'aggregated');
  try {
    const choice = await router.admit(routeRequest(exchange, excluded), exchange.client.signal);
    if (choice.kind === 'refused') throw refusalError(choice, exchange);
    return choice;
  } finally {
    stage.end();
  }
}

function routeRequest(exchange: Exchange, excludedWorkers: ReadonlySet<string>): RouteRequest {
  const { model, controls, prompt, request } = exchange;
  const { workerId, dpRank, priority, strictPriority, policyClass, sessionId, sessionFinal } = controls;
  return {
    // Not the client's id, which need not be unique.
    requestId: crypto.randomUUID(),
    tokens: prompt.tokens,
    namespace: { loraName: model.loraName, cacheSalt: controls.cacheSalt },
    expectedOutputTokens: controls.expectedOutputTokens ?? requestedMaxTokens(request),
    controls: {
      workerId,
      dpRank,
      excludedWorkers,
      priority,
      strictPriority,
      policyClass,
      sessionId,
      sessionFinal,
    },
  };
}

function refusalError({ outcome, reason }: Refusal, { model, controls }: Exchange): KvasirError {
  switch (outcome) {
    case 'no_workers':
      return fail('KV_NO_WORKERS', { model: model.name, reason });
    case 'all_overloaded':
    case 'pinned_overloaded':
    case 'queue_full':
      return fail('KV_OVERLOADED', { reason });
    case 'pin_not_allowed':
    case 'worker_required':
      return fail('KV_WORKER_REFUSED', { worker: controls.workerId ?? '(none)', reason });
    case 'duplicate':
      return fail('KV_INTERNAL', { reason });
  }
}

function send(
  parts: DispatchParts,
  exchange: Exchange,
  router: KvRouter,
  selection: Selection,
  instance: WorkerInstance,
  last: boolean,
) {
  const { raw, body, request, stream, collector, controls, headers } = exchange;
  const { workerId, dpRank } = selection.worker;
  const worker = { workerId, dpRank, workerType: 'decode' } as const;
  collector.attribute(worker, worker);
  const usage = usageFields(stream, request.stream_options);
  const salt = controls.cacheSalt === undefined ? {} : { cache_salt: `${SALT_PREFIX}${controls.cacheSalt}` };
  const meter = new AnswerMeter({
    exchange,
    selection,
    router,
    requests: parts.requests,
    stages: parts.metrics.stages,
    url: instance.url,
    nowMs: () => parts.clock.nowMs(),
  });
  return attempt(parts, exchange, meter, {
    instance,
    body: upstreamBody(raw, body, { ...usage.fields, ...salt }),
    headers: instance.dpSize > 1 ? { ...headers, 'x-data-parallel-rank': String(dpRank) } : headers,
    answerHeaders: {
      'x-request-id': exchange.requestId,
      'x-kvasir-worker-id': workerId,
      'x-kvasir-dp-rank': String(dpRank),
      'x-kvasir-overlap-blocks': String(Math.round(selection.overlapBlocks)),
    },
    stripUsage: usage.stripUsage,
    last,
  });
}
