import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { BlockHasher } from '../../kv/hash.ts';
import { addPeerRoutes } from '../peer-routes.ts';
import { constraints, constraintsOf, prompt, promptOf } from '../prompt-input.ts';
import { type ReplicaPeers, replicaEnvelope } from '../replica-peers.ts';
import { check, dpRank, filterOf, partitionOf, partitionWithDefaults, workerId } from '../request-schemas.ts';
import { done } from '../service-server.ts';
import type { SelectionService } from './selection-service.ts';
import type { WorkerCatalog } from './worker-catalog.ts';
import { listedWorker, workerPatchSchema, workerSchema } from './worker-record.ts';

const selectionId = z.string().min(1).max(512);
const selection = z.looseObject({
  ...partitionWithDefaults,
  ...prompt,
  ...constraints,
  selection_id: selectionId.nullish(),
});
const reservation = z.looseObject({
  ...partitionWithDefaults,
  ...prompt,
  ...constraints,
  selection_id: selectionId,
  worker_id: workerId.nullish(),
  dp_rank: dpRank.nullish(),
  effective_prefill_tokens: z.int().min(0).nullish(),
  track_prefill_tokens: z.boolean().nullish(),
});
const outputBlock = z.looseObject({ decay_fraction: z.number().min(0).max(1).nullish() });

/** The selection service over HTTP, with Dynamo's paths and payloads. */
export function addSelectionRoutes(
  app: FastifyInstance,
  service: SelectionService,
  catalog: WorkerCatalog,
  hasher: BlockHasher,
  replicas: ReplicaPeers,
): void {
  const idOf = (params: unknown): string => (params as { id: string }).id;
  const asked = (told: z.infer<typeof selection> | z.infer<typeof reservation>) => ({
    ...promptOf(told, hasher),
    ...constraintsOf(told),
  });
  addWorkerRoutes(app, catalog);
  addPeerRoutes(app, '/replica_sync', replicas);
  app.post('/replica_sync/messages', async ({ body }) => {
    replicas.receive(check(replicaEnvelope, body));
    return done();
  });
  app.get('/ready', async (_request, reply) => {
    const answer = service.ready();
    return reply.code(answer.ready ? 200 : 503).send(answer);
  });
  app.post('/select', async ({ body }) => {
    const told = check(selection, body);
    return service.select(partitionOf(told), asked(told), told.selection_id ?? undefined);
  });
  app.post('/select_and_reserve', async ({ body }, reply) => {
    const told = check(selection, body);
    // A caller that leaves the queue takes its place with it.
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    return service.selectAndReserve(
      partitionOf(told),
      asked(told),
      told.selection_id ?? undefined,
      left.signal,
    );
  });
  app.post('/reservations', async ({ body }, reply) => {
    const told = check(reservation, body);
    const key = partitionOf(told);
    const answer =
      told.worker_id == null
        ? service.reserveSelected(key, told.selection_id)
        : service.reserve(key, told.selection_id, {
            ...reservedPrompt(told, hasher),
            ...constraintsOf(told),
            workerId: told.worker_id,
            dpRank: told.dp_rank ?? undefined,
            effectivePrefillTokens: told.effective_prefill_tokens ?? undefined,
            trackPrefillTokens: told.track_prefill_tokens ?? undefined,
          });
    return reply.code(201).send(answer);
  });
  app.post('/reservations/:id/prefill_complete', async ({ params }) => {
    service.booking(idOf(params)).prefillComplete();
    return done();
  });
  app.post('/reservations/:id/output_block', async ({ params, body }) => {
    const { decay_fraction } = check(outputBlock, body);
    service.booking(idOf(params)).outputBlock(decay_fraction ?? undefined);
    return done();
  });
  app.delete('/reservations/:id', async ({ params }) => {
    service.booking(idOf(params)).free();
    return done();
  });
  app.get('/loads', async ({ query }) => service.loads(filterOf(query)));
  app.post('/potential_loads', async ({ body }) => {
    const told = check(selection, body);
    return service.potentialLoads(partitionOf(told), asked(told));
  });
  app.post('/overlap_scores', async ({ body }) => {
    const told = check(selection, body);
    return service.overlapScores(partitionOf(told), asked(told));
  });
  app.get('/dump', async () => service.dump());
}

function addWorkerRoutes(app: FastifyInstance, catalog: WorkerCatalog): void {
  const idOf = (params: unknown): string => (params as { id: string }).id;
  app.post('/workers', async ({ body }, reply) =>
    reply.code(201).send(listedWorker(catalog.put(check(workerSchema, body)))),
  );
  app.get('/workers', async ({ query }) => catalog.list(filterOf(query)).map(listedWorker));
  app.patch('/workers/:id', async ({ params, body }) =>
    listedWorker(catalog.patch(idOf(params), check(workerPatchSchema, body))),
  );
  app.delete('/workers/:id', async ({ params }) => listedWorker(catalog.remove(idOf(params))));
}

/** A reservation needs no block hashes: nothing is looked up for it. */
function reservedPrompt(told: z.infer<typeof reservation>, hasher: BlockHasher) {
  const block_hashes = told.block_hashes ?? told.sequence_hashes;
  return promptOf({ ...told, block_hashes }, hasher);
}
