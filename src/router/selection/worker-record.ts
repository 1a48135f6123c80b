import { z } from 'zod';
import type { WorkerInfo } from '../../kv/fleet.ts';
import { blockSize, dpRank, dpSize, partitionWithDefaults, workerId } from '../request-schemas.ts';

/** What a worker's record may hold besides its names; each is optional and may be patched in later. */
const facts = {
  endpoint: z.string().min(1).nullish(),
  kv_events_endpoint: z.string().min(1).nullish(),
  /** By data-parallel rank. */
  kv_events_endpoints: z.record(z.string().regex(/^\d{1,9}$/), z.string().min(1)).nullish(),
  replay_endpoint: z.string().min(1).nullish(),
  /** Of workers that serve all that they hold, as Kvasir's do at `/kv/snapshot`. */
  snapshot_endpoint: z.url().nullish(),
  block_size: blockSize.nullish(),
  data_parallel_start_rank: dpRank.nullish(),
  data_parallel_size: dpSize.nullish(),
  max_num_batched_tokens: z.int().min(1).nullish(),
  total_kv_blocks: z.int().min(1).nullish(),
  stable_routing_id: z.string().nullish(),
  taints: z.array(z.string()).nullish(),
};

export const workerSchema = z.looseObject({ ...partitionWithDefaults, worker_id: workerId, ...facts });
export const workerPatchSchema = z.looseObject(facts);

export type WorkerRecord = z.infer<typeof workerSchema>;
export type WorkerPatch = z.infer<typeof workerPatchSchema>;

/** Why requests cannot go to the worker yet; none when they can. */
export function lacks({ endpoint, block_size }: WorkerRecord): readonly string[] {
  return [
    ...(endpoint == null ? ['endpoint is required'] : []),
    ...(block_size == null ? ['block_size must be greater than 0'] : []),
  ];
}

/** The record as it is listed. */
export function listedWorker(record: WorkerRecord): object {
  const { tenant_id: _, ...shown } = record;
  const missing = lacks(record);
  return {
    ...shown,
    worker_id: BigInt(record.worker_id),
    schedulable: missing.length === 0,
    ...(missing.length > 0 && { missing }),
  };
}

export function workerInfo(record: WorkerRecord): WorkerInfo {
  return {
    workerId: record.worker_id,
    dpStart: record.data_parallel_start_rank ?? 0,
    dpSize: record.data_parallel_size ?? 1,
    totalKvBlocks: record.total_kv_blocks ?? undefined,
    maxNumBatchedTokens: record.max_num_batched_tokens ?? undefined,
    taints: record.taints ?? undefined,
  };
}
