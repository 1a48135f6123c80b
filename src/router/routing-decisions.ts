import { z } from 'zod';
import type { KvRouter } from '../kv/kv-router.ts';
import type { PartitionKey } from './partitions.ts';
import { check, dpRank, hashes, partition, partitionOf, workerId } from './request-schemas.ts';

const MAX_DECISIONS = 1024;
const MAX_TTL_MS = 86_400_000;

const decision = z.looseObject({
  ...partition,
  worker_id: workerId,
  dp_rank: dpRank.default(0),
  /** How long the prompt is taken to stay cached. */
  ttl_ms: z.number().gt(0).max(MAX_TTL_MS),
  /** Chained, of the prompt's full blocks. */
  sequence_hashes: hashes,
});
const routingDecisions = z.looseObject({ decisions: z.array(decision).max(MAX_DECISIONS) });

/**
 * Takes in where other routers sent prompts; later lookups count these as cached there for a time. Decisions on workers
 * that are not known here are counted and forgotten. Throws KV_REQUEST_INVALID.
 */
export function learnDecisions(
  body: unknown,
  routersOf: (partition: PartitionKey) => readonly KvRouter[],
): { readonly status: 'ok'; readonly unknown: number } {
  const { decisions } = check(routingDecisions, body);
  let unknown = 0;
  for (const told of decisions) {
    const worker = { workerId: told.worker_id, dpRank: told.dp_rank };
    const known = routersOf(partitionOf(told)).some((router) =>
      router.learnRoute(worker, told.sequence_hashes, told.ttl_ms),
    );
    if (!known) unknown++;
  }
  return { status: 'ok', unknown };
}
