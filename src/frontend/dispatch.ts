import { fail, type KvasirError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import { SALT_PREFIX } from '../kv/intake/block-salts.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';
import type { FrontendMetrics } from '../metrics/frontend-metrics.ts';
import type { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { AnswerMeter } from './answer-meter.ts';
import { type AttemptParts, type AttemptResult, attempt } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { type Handoff, prefillElsewhere } from './prefill-hop.ts';
import { place, refusalError } from './route.ts';
import { upstreamBody, usageFields } from './upstream-body.ts';
import type { Hop } from './worker-pool.ts';

export interface DispatchParts extends AttemptParts {
  readonly log: Log;
  readonly metrics: FrontendMetrics;
  requestsOf(hop: Hop): RouterRequestMetrics;
  readonly random: Random;
  /** How many other workers are tried when an engine fails before its first byte. */
  readonly retryLimit: number;
  /** An engine failed: have a look at it. */
  suspect(workerId: string): void;
}

/** Places the request, sends it, and tries other workers while nothing has reached the client. */
export async function dispatch(parts: DispatchParts, exchange: Exchange): Promise<void> {
  const handoff = await prefillElsewhere(parts, exchange);
  try {
    if (!exchange.client.left) await dispatchDecode(parts, exchange, handoff);
  } finally {
    handoff?.release();
  }
}

async function dispatchDecode(
  parts: DispatchParts,
  exchange: Exchange,
  handoff: Handoff | undefined,
): Promise<void> {
  const { model, controls } = exchange;
  const excluded = new Set<string>();
  const attempts = controls.workerId === undefined ? 1 + parts.retryLimit : 1;
  let lost: KvasirError | undefined;
  for (let n = 1; n <= attempts; n++) {
    const router = model.pool.router('decode');
    if (router === undefined)
      throw lost ?? fail('KV_NO_WORKERS', { model: model.name, reason: 'none is ready' });
    const phase = handoff === undefined ? 'aggregated' : 'decode';
    const selection = await place(parts.metrics.stages, exchange, router, { phase, excluded });
    if (selection.kind === 'refused') throw refusalError(selection, exchange, 'decode');
    if (exchange.client.left) {
      selection.booking?.free('cancelled');
      return;
    }
    const instance = model.pool.instance(selection.worker.workerId);
    if (instance === undefined) {
      selection.booking?.free('failed');
      throw fail('KV_INTERNAL', { reason: `worker ${selection.worker.workerId} has left its pool` });
    }
    const last = n === attempts || router.fleet.size <= excluded.size + 1;
    const result = await send(parts, exchange, { router, selection, instance, handoff, last });
    if (result.kind === 'settled') return;
    excluded.add(instance.workerId);
    lost = fail('KV_ENGINE_UNREACHABLE', { url: instance.url, reason: result.reason });
    parts.suspect(instance.workerId);
    parts.metrics.migrated(model.name, 'new_request');
    const facts = { url: instance.url, reason: result.reason };
    parts.log.warn(facts, 'engine failed before it answered: trying another');
  }
}

interface Placed {
  readonly router: KvRouter;
  readonly selection: Selection;
  readonly instance: WorkerInstance;
  readonly handoff: Handoff | undefined;
  /** No other worker is left to try. */
  readonly last: boolean;
}

function send(parts: DispatchParts, exchange: Exchange, placed: Placed): Promise<AttemptResult> {
  const { router, selection, instance, handoff, last } = placed;
  const { raw, body, request, stream, collector, controls, headers } = exchange;
  const { workerId, dpRank } = selection.worker;
  const decode = { workerId, dpRank, workerType: 'decode' } as const;
  collector.attribute(handoff === undefined ? decode : { ...handoff.worker, workerType: 'prefill' }, decode);
  const usage = usageFields(stream, request.stream_options);
  const salt = controls.cacheSalt === undefined ? {} : { cache_salt: `${SALT_PREFIX}${controls.cacheSalt}` };
  const meter = new AnswerMeter({
    exchange,
    selection,
    router,
    requests: parts.requestsOf('decode'),
    stages: parts.metrics.stages,
    url: instance.url,
    prefillDoneMs: handoff?.doneMs,
    nowMs: () => parts.clock.nowMs(),
  });
  return attempt(parts, exchange, meter, {
    instance,
    body: upstreamBody(raw, body, { ...usage.fields, ...salt, ...handoff?.fields }),
    headers: instance.dpSize > 1 ? { ...headers, 'x-data-parallel-rank': String(dpRank) } : headers,
    answerHeaders: {
      'x-request-id': exchange.requestId,
      'x-kvasir-worker-id': workerId,
      'x-kvasir-dp-rank': String(dpRank),
      ...(handoff && { 'x-kvasir-prefill-worker-id': handoff.worker.workerId }),
      'x-kvasir-overlap-blocks': String(Math.round(selection.overlapBlocks)),
    },
    stripUsage: usage.stripUsage,
    last,
  });
}
