import { fail } from '../base/errors.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { isRefusal, lostEngine, mayTryAnother, refusalMessage } from '../transport/engine-failure.ts';
import { Relay, type RelayOutcome } from '../transport/relay.ts';
import type { DispatchParts } from './dispatch.ts';
import { engineFields } from './engine-body.ts';
import { type Exchange, isChunked, PATHS } from './exchange.ts';
import { bootstrapFields, handoffBody, NIXL_PREFILL } from './handoff-fields.ts';
import { watchForHang } from './hung-worker.ts';
import { keepLease } from './lease-keeper.ts';
import { skipsPrefill } from './prefill-bypass.ts';
import { place, refusalError } from './route.ts';

/** A prompt computed, or being computed, by a worker of its own. */
export interface Handoff {
  readonly worker: WorkerKey;
  readonly url: string;
  /** What the request of the decode hop gets besides. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** When the prompt was done; undefined while both hops run at once. */
  readonly doneMs: number | undefined;
  /** Both hops run at once and meet: a decode worker that comes later finds nobody. */
  readonly meets: boolean;
  /** Calls back once this hop is lost, which the decode hop would wait for in vain; returns how to stop. */
  onLost(listener: (reason: string) => void): () => void;
  /** The request is over: ends what still runs of this hop. */
  release(): void;
}

const NOTHING = (): void => {};
const NEVER = () => NOTHING;

/**
 * Has the prompt computed by a worker that only does that, where the model has such workers and the request can be
 * split: one prompt, one answer. Undefined: the request goes to one worker as a whole. Workers to avoid are told by id.
 */
export async function prefillElsewhere(
  parts: DispatchParts,
  exchange: Exchange,
  avoid: readonly string[] = [],
): Promise<Handoff | undefined> {
  const router = exchange.model.pool.router('prefill');
  if (router === undefined || !canBeSplit(exchange)) return undefined;
  const { model } = exchange;
  if (await skipsPrefill(parts.prefillBypass, exchange, router, model.pool.router('decode'))) {
    parts.metrics.prefillBypassed(model.name);
    return undefined;
  }
  const excluded = new Set<string>(avoid);
  for (let tries = 1; ; tries++) {
    const choice = await place(parts.metrics.stages, exchange, router, { phase: 'prefill', excluded });
    if (choice.kind === 'refused') {
      // Nobody left to do it: the decode worker can compute the prompt as well.
      if (choice.outcome === 'no_workers') return undefined;
      throw refusalError(choice, exchange, 'prefill');
    }
    const instance = exchange.model.pool.instance(choice.worker.workerId);
    if (instance === undefined) {
      // It left at this very moment.
      choice.booking?.free('failed');
      excluded.add(choice.worker.workerId);
      continue;
    }
    parts.requestsOf('prefill').started();
    if (instance.kind === 'sglang' || instance.bootstrapPort !== undefined)
      return runBeside(parts, exchange, router, choice, instance);
    const handoff = await runBefore(parts, exchange, router, choice, instance, tries > parts.retryLimit);
    if (handoff !== 'retry') return handoff;
    excluded.add(instance.workerId);
    parts.suspect(instance.workerId);
    parts.metrics.migrated(exchange.model.name, 'new_request');
  }
}

function canBeSplit({ endpoint, request, prompt, body }: Exchange): boolean {
  if (!isChunked(endpoint)) return false;
  return (request.n ?? 1) === 1 && prompt.length === prompt.tokens.length && body.kv_transfer_params == null;
}

/** vLLM's way: the prompt first; its answer says where the decode worker fetches the blocks. */
async function runBefore(
  parts: DispatchParts,
  exchange: Exchange,
  router: KvRouter,
  selection: Selection,
  instance: WorkerInstance,
  last: boolean,
): Promise<Handoff | 'retry' | undefined> {
  const body = handoffBody(exchange.body, {
    ...engineFields(exchange, { instance, dpRank: selection.worker.dpRank }, parts.forwarding),
    ...NIXL_PREFILL,
  });
  const { circuits } = exchange.model.pool;
  circuits.began(instance.workerId);
  const relay = startHop(parts, exchange, instance, selection, body);
  const stopListening = exchange.client.onLeave(() => relay.cancel());
  const letLeaseGo = keepLease(parts.clock, router, selection.booking);
  const { pool } = exchange.model;
  const stopWatching = watchForHang(parts.client, { pool, instance, relay, canMove: () => true });
  const outcome = await relay.outcome.finally(stopListening).finally(stopWatching).finally(letLeaseGo);
  const answered = outcome.kind === 'answered' && outcome.status === 200;
  const end = answered ? 'done' : outcome.kind === 'cancelled' ? 'cancelled' : 'failed';
  selection.booking?.free(end);
  circuits.ended(instance.workerId, isRefusal(outcome) ? 'refused' : end);
  parts.requestsOf('prefill').ended(0);
  if (!answered) {
    // When enough of them have failed, the decode worker computes the prompt as well.
    if (mayTryAnother(outcome)) return last ? undefined : 'retry';
    throw prefillFailed(outcome, instance);
  }
  const answer = readAnswer(outcome.body, instance);
  const cached = (answer.usage as { prompt_tokens_details?: { cached_tokens?: number } } | undefined)
    ?.prompt_tokens_details?.cached_tokens;
  if (cached !== undefined) router.recordActual(selection.decision, cached);
  const params = answer.kv_transfer_params;
  const fields = typeof params === 'object' && params !== null ? { kv_transfer_params: params } : {};
  const doneMs = parts.clock.nowMs();
  const { worker } = selection;
  return { worker, url: instance.url, fields, doneMs, meets: false, onLost: NEVER, release: NOTHING };
}

function readAnswer(body: Buffer, { url }: WorkerInstance): Readonly<Record<string, unknown>> {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    if (typeof answer === 'object' && answer !== null) return answer as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw fail('KV_PREFILL_FAILED', { url, reason: 'its answer is no JSON object' });
}

/** SGLang's way: both workers get the request at once and meet under a number. */
function runBeside(
  parts: DispatchParts,
  exchange: Exchange,
  router: KvRouter,
  selection: Selection,
  instance: WorkerInstance,
): Handoff {
  const { dpRank } = selection.worker;
  const fields = bootstrapFields(instance, dpRank, parts.random);
  const own = engineFields(exchange, { instance, dpRank }, parts.forwarding);
  const body = Buffer.from(JSON.stringify({ ...exchange.body, ...own, ...fields }));
  exchange.model.pool.circuits.began(instance.workerId);
  const relay = startHop(parts, exchange, instance, selection, body);
  const letLeaseGo = keepLease(parts.clock, router, selection.booking);
  const { pool } = exchange.model;
  const stopWatching = watchForHang(parts.client, { pool, instance, relay, canMove: () => true });
  const listeners = new Set<(reason: string) => void>();
  let lost: string | undefined;
  void relay.outcome.then((outcome) => {
    letLeaseGo();
    stopWatching();
    lost = lossOf(outcome);
    const end = lost !== undefined ? 'failed' : outcome.kind === 'cancelled' ? 'cancelled' : 'done';
    selection.booking?.free(end);
    exchange.model.pool.circuits.ended(instance.workerId, end);
    parts.requestsOf('prefill').ended(0);
    if (lost === undefined) return;
    parts.log.warn({ url: instance.url, reason: lost }, 'a prefill worker lost its part of a request');
    parts.suspect(instance.workerId);
    for (const listener of listeners) listener(lost);
  });
  return {
    worker: selection.worker,
    url: instance.url,
    // Newer ones ask for the rank by name, where older ones go by the room.
    fields: instance.dpSize > 1 ? { ...fields, disagg_prefill_dp_rank: dpRank } : fields,
    doneMs: undefined,
    meets: true,
    onLost: (listener) => {
      if (lost !== undefined) listener(lost);
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    release: () => relay.cancel(),
  };
}

/** Why the decode worker will wait in vain; undefined if it will not. */
function lossOf(outcome: RelayOutcome): string | undefined {
  if (outcome.kind === 'broke') return outcome.reason;
  if (outcome.kind === 'timeout') return `it was silent for ${outcome.afterMs} ms`;
  if (outcome.kind === 'answered' && outcome.status >= 400)
    return `it answered ${outcome.status}, ${refusalMessage(outcome.body).text}`;
  return undefined;
}

function startHop(
  parts: DispatchParts,
  exchange: Exchange,
  instance: WorkerInstance,
  { worker }: Selection,
  body: Buffer,
): Relay {
  const rank = instance.dpSize > 1 ? { 'x-data-parallel-rank': String(worker.dpRank) } : {};
  return new Relay(
    {
      pool: parts.client.pool(instance.url),
      path: new URL(instance.url + PATHS[exchange.endpoint]).pathname,
      headers: { ...exchange.headers, ...rank },
      body,
      headersTimeoutMs: parts.headersTimeoutMs,
      idleTimeoutMs: parts.idleTimeoutMs,
    },
    { begin: NOTHING, data: () => true },
    parts.clock,
  );
}

function prefillFailed(outcome: RelayOutcome, { url }: WorkerInstance): Error {
  switch (outcome.kind) {
    case 'answered':
      return fail('KV_PREFILL_FAILED', {
        url,
        reason: `${outcome.status}, ${refusalMessage(outcome.body).text}`,
      });
    case 'broke':
    case 'timeout':
      return lostEngine(outcome, url, false);
    case 'streamed':
      return fail('KV_PREFILL_FAILED', { url, reason: 'it streamed what should be one answer' });
    case 'cancelled':
      return fail('KV_INTERRUPTED', { signal: 'the client' });
  }
}
