import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  blockSize,
  check,
  dpRank,
  dpSize,
  filterOf,
  hashes,
  partition,
  partitionOf,
  workerId,
} from '../request-schemas.ts';
import { done } from '../service-server.ts';
import type { SlotTracker } from './slot-tracker.ts';

const requestId = z.string().min(1).max(512);
const tokens = z.int().min(0).default(0);

const registration = z.looseObject({
  ...partition,
  worker_id: workerId,
  block_size: blockSize,
  dp_start: dpRank.default(0),
  dp_size: dpSize.default(1),
});
const removal = z.looseObject({ ...partition, worker_id: workerId });
const addition = z.looseObject({
  ...partition,
  request_id: requestId,
  worker_id: workerId,
  dp_rank: dpRank.default(0),
  sequence_hashes: hashes,
  new_isl_tokens: tokens,
});
const lifecycle = z.looseObject({ ...partition, request_id: requestId });
const potential = z.looseObject({ ...partition, sequence_hashes: hashes, new_isl_tokens: tokens });

/** The slot tracker over HTTP, with Dynamo's paths and payloads; hashes are i64. */
export function addSlotRoutes(app: FastifyInstance, tracker: SlotTracker): void {
  app.post('/register', async ({ body }, reply) => {
    const told = check(registration, body);
    const { worker_id, dp_start, dp_size } = told;
    const worker = { workerId: worker_id, dpStart: dp_start, dpSize: dp_size };
    tracker.register(partitionOf(told), told.block_size, worker);
    return reply.code(201).send(done());
  });
  app.post('/unregister', async ({ body }) => {
    const told = check(removal, body);
    tracker.unregister(partitionOf(told), told.worker_id);
    return done();
  });
  app.post('/add', async ({ body }, reply) => {
    const told = check(addition, body);
    tracker.add(partitionOf(told), {
      requestId: told.request_id,
      workerId: told.worker_id,
      dpRank: told.dp_rank,
      sequenceHashes: told.sequence_hashes,
      newTokens: told.new_isl_tokens,
    });
    return reply.code(201).send(done());
  });
  app.post('/prefill_complete', async ({ body }) => {
    const told = check(lifecycle, body);
    tracker.prefillComplete(partitionOf(told), told.request_id);
    return done();
  });
  app.post('/free', async ({ body }) => {
    const told = check(lifecycle, body);
    tracker.free(partitionOf(told), told.request_id);
    return done();
  });
  app.get('/workers', async ({ query }) => tracker.workers(filterOf(query)));
  app.get('/loads', async ({ query }) => tracker.loads(filterOf(query)));
  app.post('/potential_loads', async ({ body }) => {
    const told = check(potential, body);
    return tracker.potentialLoads(partitionOf(told), told.sequence_hashes, told.new_isl_tokens);
  });
}
