import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { wholeBody } from '../base/big-json.ts';
import { fail } from '../base/errors.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import { answerQuery } from './query-answer.ts';
import { check, hashes, partition, tokenIds } from './request-schemas.ts';
import { learnDecisions } from './routing-decisions.ts';

export interface ServedIndexParts {
  /** The routers of a model; none for an unknown one. */
  routersOf(model: string): readonly KvRouter[];
  readonly hasher: BlockHasher;
}

/** Beginnings of the paths below. */
export const SERVED_INDEX_PATHS = ['/query', '/query_by_hash', '/routing_decisions'];

const query = z.looseObject({
  ...partition,
  token_ids: tokenIds,
  lora_name: z.string().nullish(),
  cache_salt: z.string().nullish(),
});
const hashQuery = z.looseObject({ ...partition, block_hashes: hashes });

/** The lookups of the indexer service, answered from the index of a frontend. */
export function addServedIndexRoutes(app: FastifyInstance, { routersOf, hasher }: ServedIndexParts): void {
  const known = (model: string): readonly [KvRouter, ...KvRouter[]] => {
    const [first, ...others] = routersOf(model);
    if (first !== undefined) return [first, ...others];
    throw fail('KV_RECORD_UNKNOWN', {
      what: 'model',
      id: model,
      mend: 'GET /v1/models lists those that are served.',
    });
  };
  app.post('/query', async ({ body }) => {
    const { model_name, token_ids, lora_name, cache_salt } = check(query, body);
    const namespace = { loraName: lora_name ?? undefined, cacheSalt: cache_salt ?? undefined };
    return answerQuery(known(model_name), { tokens: token_ids, namespace });
  });
  app.post('/routing_decisions', async (request) =>
    learnDecisions(wholeBody(request), ({ modelName }) => routersOf(modelName)),
  );
  app.post('/query_by_hash', async (request) => {
    const { model_name, block_hashes } = check(hashQuery, wholeBody(request));
    const routers = known(model_name);
    const isl = routers[0].blockSize * block_hashes.length;
    return answerQuery(routers, { hashes: { sequence: hasher.chain(block_hashes) }, isl });
  });
}
