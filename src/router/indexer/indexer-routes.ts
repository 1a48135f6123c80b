import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import type { BlockHasher } from '../../kv/hash.ts';
import { addPeerRoutes } from '../peer-routes.ts';
import type { Peers } from '../peers.ts';
import {
  blockSize,
  check,
  dpRank,
  filterOf,
  hashes,
  partition,
  partitionOf,
  tokenIds,
  workerId,
} from '../request-schemas.ts';
import { learnDecisions } from '../routing-decisions.ts';
import { done } from '../service-server.ts';
import type { Indexer } from './indexer.ts';

const registration = z.looseObject({
  ...partition,
  instance_id: workerId,
  endpoint: z.string().min(1),
  block_size: blockSize,
  dp_rank: dpRank.default(0),
  replay_endpoint: z.string().min(1).nullish(),
  /** Of workers that serve all that they hold, as Kvasir's do at `/kv/snapshot`. */
  snapshot_endpoint: z.url().nullish(),
  /** Salt of all its blocks whose events name none; `additionalsalt` is Mooncake's spelling. */
  additional_salt: z.string().nullish(),
  additionalsalt: z.string().nullish(),
});
const removal = z.looseObject({
  model_name: partition.model_name,
  routing_group: z.string().min(1).optional(),
  instance_id: workerId,
  dp_rank: dpRank.optional(),
});
const query = z.looseObject({
  ...partition,
  token_ids: tokenIds,
  lora_name: z.string().nullish(),
  cache_salt: z.string().nullish(),
});
const hashQuery = z.looseObject({ ...partition, block_hashes: hashes, cache_salt: z.string().nullish() });

/** The indexer over HTTP, with Dynamo's paths and payloads. */
export function addIndexerRoutes(
  app: FastifyInstance,
  indexer: Indexer,
  peers: Peers,
  hasher: BlockHasher,
): void {
  app.post('/register', async ({ body }, reply) => {
    const told = check(registration, body);
    indexer.register({
      key: partitionOf(told),
      blockSize: told.block_size,
      worker: { workerId: told.instance_id, dpRank: told.dp_rank },
      endpoint: told.endpoint,
      replay: told.replay_endpoint ?? undefined,
      snapshot: told.snapshot_endpoint ?? undefined,
      // Empty is as good as none.
      cacheSalt: told.additional_salt || told.additionalsalt || undefined,
    });
    return reply.code(201).send(done());
  });
  app.post('/unregister', async ({ body }) => {
    const told = check(removal, body);
    const { model_name: modelName, routing_group: routingGroup } = told;
    indexer.unregister({ modelName, routingGroup }, told.instance_id, told.dp_rank);
    return done();
  });
  app.get('/workers', async ({ query: asked }) => {
    return indexer.workers(filterOf(asked));
  });
  app.post('/query', async ({ body }) => {
    const { lora_name, cache_salt, token_ids, ...rest } = check(query, body);
    return indexer.query(partitionOf(rest), {
      tokens: token_ids,
      namespace: { loraName: lora_name ?? undefined, cacheSalt: cache_salt ?? undefined },
    });
  });
  app.post('/query_by_hash', async ({ body }) => {
    const { cache_salt, block_hashes, ...rest } = check(hashQuery, body);
    if (cache_salt != null)
      throw fail('KV_REQUEST_INVALID', {
        param: 'cache_salt',
        reason: 'cache_salt: hashes that are computed already cannot be salted',
        mend: 'Salt them before, or ask /query with tokens.',
      });
    const key = partitionOf(rest);
    const size = indexer.blockSizeOf(key);
    return indexer.query(key, {
      hashes: { sequence: hasher.chain(block_hashes) },
      isl: size * block_hashes.length,
    });
  });
  app.post('/routing_decisions', async ({ body }) => learnDecisions(body, (key) => indexer.routersOf(key)));
  app.get('/dump', async () => indexer.dump());
  addPeerRoutes(app, '', peers);
  // Logs go to stderr, whose rotation is its reader's: there is nothing to reopen.
  app.post('/reopen_logs', async () => done());
}
