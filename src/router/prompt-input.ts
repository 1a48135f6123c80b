import { z } from 'zod';
import { fail } from '../base/errors.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { RouteRequest, RouterOverrides } from '../kv/route-request.ts';
import { hashes, tokenIds, workerId } from './request-schemas.ts';

/** A prompt as tokens, or as the hashes of its blocks and its length. */
export const prompt = {
  token_ids: tokenIds.nullish(),
  /** Of each block by itself. */
  block_hashes: hashes.nullish(),
  /** Of each block with all before it; what active blocks are booked under. */
  sequence_hashes: hashes.nullish(),
  isl_tokens: z.int().min(1).nullish(),
  lora_name: z.string().nullish(),
  cache_salt: z.string().nullish(),
};

const promptSchema = z.looseObject(prompt);
export type PromptInput = z.infer<typeof promptSchema>;
export type PromptRequest = Pick<RouteRequest, 'tokens' | 'hashes' | 'trackingHashes' | 'isl' | 'namespace'>;

/** The prompt as a router takes it. Throws KV_REQUEST_INVALID for one that is not told. */
export function promptOf(input: PromptInput, hasher: BlockHasher): PromptRequest {
  const { token_ids, block_hashes, sequence_hashes, isl_tokens, lora_name, cache_salt } = input;
  if (token_ids != null)
    return {
      tokens: token_ids,
      namespace: { loraName: lora_name ?? undefined, cacheSalt: cache_salt ?? undefined },
    };
  if (block_hashes == null) throw missing('block_hashes');
  if (sequence_hashes == null) throw missing('sequence_hashes');
  if (isl_tokens == null) throw missing('isl_tokens');
  if (block_hashes.length !== sequence_hashes.length)
    throw fail('KV_REQUEST_INVALID', {
      param: 'sequence_hashes',
      reason: `sequence_hashes: ${sequence_hashes.length} of them do not go with ${block_hashes.length} block_hashes`,
      mend: 'Give one of each for every full block.',
    });
  return {
    hashes: { sequence: hasher.chain(block_hashes) },
    trackingHashes: sequence_hashes,
    isl: isl_tokens,
  };
}

function missing(name: string): Error {
  return fail('KV_REQUEST_INVALID', {
    param: name,
    reason: `${name}: is required without token_ids`,
    mend: 'Give token_ids, or block_hashes, sequence_hashes and isl_tokens.',
  });
}

export const overrides = z
  .looseObject({
    overlap_score_credit: z.number().min(0).nullish(),
    prefill_load_scale: z.number().min(0).nullish(),
    router_temperature: z.number().min(0).nullish(),
    assume_kv_reuse: z.boolean().nullish(),
    track_prefill_tokens: z.boolean().nullish(),
    shared_cache_multiplier: z.number().min(0).max(1).nullish(),
    overlap_score_weight: z.number().min(0).nullish(),
  })
  .transform(
    (given): RouterOverrides => ({
      overlapScoreCredit: given.overlap_score_credit ?? undefined,
      prefillLoadScale: given.prefill_load_scale ?? undefined,
      temperature: given.router_temperature ?? undefined,
      assumeKvReuse: given.assume_kv_reuse ?? undefined,
      trackPrefillTokens: given.track_prefill_tokens ?? undefined,
      sharedCacheMultiplier: given.shared_cache_multiplier ?? undefined,
      overlapScoreWeight: given.overlap_score_weight ?? undefined,
    }),
  )
  .nullish();

/** Where a request may go and how soon, besides its prompt. */
export const constraints = {
  router_config_override: overrides,
  expected_output_tokens: z.int().min(0).nullish(),
  priority_jump: z.number().nullish(),
  strict_priority: z.int().min(0).nullish(),
  session_id: z.string().max(256).nullish(),
  session_context: z
    .looseObject({ session_id: z.string().max(256), session_final: z.boolean().nullish() })
    .nullish(),
  pinned_worker: z.looseObject({ worker_id: workerId, dp_rank: z.int().min(0).nullish() }).nullish(),
  allowed_worker_ids: z.array(workerId).nullish(),
  routing_constraints: z
    .looseObject({
      required_taints: z.array(z.string()).nullish(),
      preferred_taints: z.record(z.string(), z.number()).nullish(),
    })
    .nullish(),
};
const constraintsSchema = z.looseObject(constraints);

export function constraintsOf(
  input: z.infer<typeof constraintsSchema>,
): Pick<RouteRequest, 'controls' | 'overrides' | 'expectedOutputTokens'> {
  const { session_context: session, pinned_worker: pinned, routing_constraints: wanted } = input;
  return {
    overrides: input.router_config_override ?? undefined,
    expectedOutputTokens: input.expected_output_tokens ?? undefined,
    controls: {
      workerId: pinned?.worker_id,
      dpRank: pinned?.dp_rank ?? undefined,
      anyRank: true,
      allowedWorkers: input.allowed_worker_ids == null ? undefined : new Set(input.allowed_worker_ids),
      requiredTaints: wanted?.required_taints ?? undefined,
      preferredTaints:
        wanted?.preferred_taints == null ? undefined : new Map(Object.entries(wanted.preferred_taints)),
      sessionId: session?.session_id ?? input.session_id ?? undefined,
      sessionFinal: session?.session_final ?? undefined,
      priority: input.priority_jump ?? undefined,
      strictPriority: input.strict_priority ?? undefined,
    },
  };
}
