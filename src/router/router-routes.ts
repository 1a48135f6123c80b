import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { BIG_JSON, wholeBody } from '../base/big-json.ts';
import { fail } from '../base/errors.ts';
import { tokenIdsSchema } from '../formats/openai/prompt-schema.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouterOverrides } from '../kv/route-request.ts';
import { constraints, constraintsOf, overrides, type PromptInput, prompt, promptOf } from './prompt-input.ts';
import { refusalError } from './refusal.ts';
import { check } from './request-schemas.ts';
import { overlapRow } from './selection/overlap-row.ts';

export interface RouterRoutesParts {
  /** The router that chooses among a model's workers; the only model's where none is named. Throws for an unknown one. */
  routerOf(model: string | undefined): { readonly router: KvRouter; readonly model: string };
  /** All routers, for bookings that name no model. */
  routers(): readonly KvRouter[];
  /** Routes a completion to a worker and passes its answer on. */
  complete(
    request: FastifyRequest,
    reply: FastifyReply,
    overrides: RouterOverrides | undefined,
  ): Promise<FastifyReply>;
  readonly hasher: BlockHasher;
}

/** Beginnings of the paths below. */
export const ROUTER_PATHS = ['/generate', '/best_worker_id', '/get_overlap_scores', '/router'];

const requestId = z.string().min(1).max(512);
const question = z.looseObject({ model: z.string().optional(), ...prompt, ...constraints });
const best = z.looseObject({ ...question.shape, request_id: requestId.nullish() });
const generation = z.looseObject({
  model: z.string().optional(),
  token_ids: tokenIdsSchema(1),
  stop_conditions: z.looseObject({}).nullish(),
  sampling_options: z.looseObject({}).nullish(),
  stream: z.boolean().default(true),
  router_config_override: overrides,
});
const method = z.discriminatedUnion('method', [
  z.looseObject({ method: z.literal('new'), ...best.shape, tokens: prompt.token_ids }),
  z.looseObject({ method: z.literal('potential_loads'), ...question.shape, tokens: prompt.token_ids }),
  z.looseObject({ method: z.literal('mark_prefill'), request_id: requestId }),
  z.looseObject({ method: z.literal('mark_free'), request_id: requestId }),
]);

/** The standalone router's methods: it chooses, and keeps account, for those who send requests themselves. */
export function addRouterRoutes(app: FastifyInstance, parts: RouterRoutesParts): void {
  const { hasher } = parts;
  app.post('/generate', async (request, reply) => {
    const told = check(generation, wholeBody(request));
    const completion = BIG_JSON.stringify(completionOf(told, (model) => parts.routerOf(model).model));
    request.rawBody = Buffer.from(completion);
    request.body = JSON.parse(completion);
    return parts.complete(request, reply, told.router_config_override ?? undefined);
  });
  app.post('/best_worker_id', async (request, reply) => {
    wholeIds(reply);
    const told = check(best, wholeBody(request));
    return chosen(parts.routerOf(told.model).router, told, told.request_id ?? undefined, hasher);
  });
  app.post('/get_overlap_scores', async (request, reply) => {
    wholeIds(reply);
    const told = check(question, wholeBody(request));
    const { router } = parts.routerOf(told.model);
    const rows = inspected(router, told, hasher);
    const { tokens, isl } = promptOf(told, hasher);
    return {
      block_size: router.blockSize,
      num_blocks: Math.floor((isl ?? tokens?.length ?? 0) / router.blockSize),
      workers: rows.map(overlapRow),
      shared_cache: { enabled: false, total_hit_blocks: 0, ranges: [], error: null },
    };
  });
  app.post('/router', async (request, reply) => {
    wholeIds(reply);
    const told = check(method, wholeBody(request));
    switch (told.method) {
      case 'new': {
        const { router } = parts.routerOf(told.model);
        const asked = { ...told, token_ids: told.tokens ?? told.token_ids };
        return { method: 'new', ...(await chosen(router, asked, told.request_id ?? randomUUID(), hasher)) };
      }
      case 'potential_loads': {
        const { router } = parts.routerOf(told.model);
        const asked = { ...told, token_ids: told.tokens ?? told.token_ids };
        return { method: 'potential_loads', loads: loads(router, asked, hasher) };
      }
      case 'mark_prefill':
        bookingOf(parts, told.request_id).prefillComplete();
        return { method: 'prefill_marked', success: true };
      case 'mark_free':
        bookingOf(parts, told.request_id).free();
        return { method: 'free_marked', success: true };
    }
  });
}

/** Worker ids exceed 2^53, which the server's own JSON does not write. */
function wholeIds(reply: FastifyReply): void {
  reply.serializer(BIG_JSON.stringify).type('application/json; charset=utf-8');
}

type Question = z.infer<typeof question>;

/** The best worker; with an id the request is booked on it, else it is only asked. */
async function chosen(router: KvRouter, told: Question, id: string | undefined, hasher: BlockHasher) {
  const asked = { ...promptOf(told, hasher), ...constraintsOf(told) };
  const selection =
    id === undefined
      ? router.select({ requestId: 'best', queryOnly: true, ...asked })
      : await router.admit({ requestId: id, ...asked });
  if (selection.kind === 'refused') throw refusalError(selection);
  return {
    worker_id: BigInt(selection.worker.workerId),
    dp_rank: selection.worker.dpRank,
    overlap_blocks: Math.round(selection.overlapBlocks),
    ...(id !== undefined && { request_id: id }),
  };
}

function inspected(router: KvRouter, told: PromptInput & Question, hasher: BlockHasher) {
  const rows = router.inspect({
    requestId: 'inspect',
    queryOnly: true,
    ...promptOf(told, hasher),
    ...constraintsOf(told),
  });
  if ('kind' in rows) throw refusalError(rows);
  return rows;
}

function loads(router: KvRouter, told: Question, hasher: BlockHasher): readonly object[] {
  const { tokens, isl } = promptOf(told, hasher);
  const length = isl ?? tokens?.length ?? 0;
  return inspected(router, told, hasher).map((row) => ({
    worker_id: BigInt(row.worker.workerId),
    dp_rank: row.worker.dpRank,
    potential_prefill_tokens: row.prefillTokens + Math.max(0, length - row.cachedTokens),
    potential_decode_blocks: row.activeBlocks + row.additionalBlocks,
    active_requests: row.activeRequests,
  }));
}

function bookingOf({ routers }: RouterRoutesParts, id: string) {
  for (const router of routers()) {
    const booking = router.bookingOf(id);
    if (booking !== undefined) return booking;
  }
  throw fail('KV_RECORD_UNKNOWN', { what: 'request', id, mend: 'It may have ended already.' });
}

/** A preprocessed request as a completion of token ids; what stops and samples keeps its name there. */
function completionOf(
  {
    token_ids,
    model,
    stop_conditions,
    sampling_options,
    stream,
    router_config_override: _,
    ...rest
  }: z.infer<typeof generation>,
  nameOf: (model: string | undefined) => string,
): object {
  const given = (options: object | null | undefined): object =>
    Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value != null));
  return {
    ...rest,
    ...given(sampling_options),
    ...given(stop_conditions),
    model: nameOf(model),
    prompt: token_ids,
    stream,
  };
}
