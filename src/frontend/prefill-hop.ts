import { fail } from '../base/errors.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { Relay, type RelayOutcome } from '../transport/relay.ts';
import type { DispatchParts } from './dispatch.ts';
import { engineFields } from './engine-body.ts';
import { lostEngine, mayTryAnother, refusalMessage } from './engine-error.ts';
import { type Exchange, PATHS } from './exchange.ts';
import { bootstrapFields, handoffBody, NIXL_PREFILL } from './handoff-fields.ts';
import { place, refusalError } from './route.ts';

/** A prompt computed, or being computed, by a worker of its own. */
export interface Handoff {
  readonly worker: WorkerKey;
  /** What the request of the decode hop gets besides. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** When the prompt was done; undefined while both hops run at once. */
  readonly doneMs: number | undefined;
  /** The request is over: ends what still runs of this hop. */
  release(): void;
}

const NOTHING = (): void => {};

/**
 * Has the prompt computed by a worker that only does that, where the model has such workers and the request can be
 * split: one prompt, one answer. Undefined: the request goes to one worker as a whole.
 */
export async function prefillElsewhere(
  parts: DispatchParts,
  exchange: Exchange,
): Promise<Handoff | undefined> {
  const router = exchange.model.pool.router('prefill');
  if (router === undefined || !canBeSplit(exchange)) return undefined;
  const excluded = new Set<string>();
  for (let tries = 1; ; tries++) {
    const choice = await place(parts.metrics.stages, exchange, router, { phase: 'prefill', excluded });
    if (choice.kind === 'refused') {
      // Nobody left to do it: the decode worker can compute the prompt as well.
      if (choice.outcome === 'no_workers') return undefined;
      throw refusalError(choice, exchange, 'prefill');
    }
    const instance = exchange.model.pool.instance(choice.worker.workerId);
    if (instance === undefined) {
      choice.booking?.free('failed');
      throw fail('KV_INTERNAL', { reason: `worker ${choice.worker.workerId} has left its pool` });
    }
    parts.requestsOf('prefill').started();
    if (instance.kind === 'sglang') return runBeside(parts, exchange, choice, instance);
    const handoff = await runBefore(parts, exchange, router, choice, instance, tries > parts.retryLimit);
    if (handoff !== 'retry') return handoff;
    excluded.add(instance.workerId);
    parts.suspect(instance.workerId);
    parts.metrics.migrated(exchange.model.name, 'new_request');
  }
}

function canBeSplit({ request, prompt, body }: Exchange): boolean {
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
    ...engineFields(exchange, instance.kind, parts.forwarding),
    ...NIXL_PREFILL,
  });
  const relay = startHop(parts, exchange, instance, selection, body);
  const stopListening = exchange.client.onLeave(() => relay.cancel());
  const outcome = await relay.outcome.finally(stopListening);
  const answered = outcome.kind === 'answered' && outcome.status === 200;
  selection.booking?.free(answered ? 'done' : outcome.kind === 'cancelled' ? 'cancelled' : 'failed');
  parts.requestsOf('prefill').ended(0);
  if (!answered) {
    if (!last && mayTryAnother(outcome)) return 'retry';
    throw prefillFailed(outcome, instance);
  }
  const answer = JSON.parse(outcome.body.toString('utf8')) as Record<string, unknown>;
  const cached = (answer.usage as { prompt_tokens_details?: { cached_tokens?: number } } | undefined)
    ?.prompt_tokens_details?.cached_tokens;
  if (cached !== undefined) router.recordActual(selection.decision, cached);
  const params = answer.kv_transfer_params;
  const fields = typeof params === 'object' && params !== null ? { kv_transfer_params: params } : {};
  return { worker: selection.worker, fields, doneMs: parts.clock.nowMs(), release: NOTHING };
}

/** SGLang's way: both workers get the request at once and meet under a number. */
function runBeside(
  parts: DispatchParts,
  exchange: Exchange,
  selection: Selection,
  instance: WorkerInstance,
): Handoff {
  const fields = bootstrapFields(instance, selection.worker.dpRank, parts.random);
  const own = engineFields(exchange, instance.kind, parts.forwarding);
  const body = Buffer.from(JSON.stringify({ ...exchange.body, ...own, ...fields }));
  const relay = startHop(parts, exchange, instance, selection, body);
  void relay.outcome.then((outcome) => {
    const failed = outcome.kind === 'broke' || outcome.kind === 'timeout';
    if (failed)
      parts.log.warn(
        { url: instance.url, outcome: outcome.kind },
        'a prefill worker lost its part of a request',
      );
    selection.booking?.free(failed ? 'failed' : 'done');
    parts.requestsOf('prefill').ended(0);
  });
  return { worker: selection.worker, fields, doneMs: undefined, release: () => relay.cancel() };
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
