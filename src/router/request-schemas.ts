import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { tokenIdsSchema } from '../formats/openai/prompt-schema.ts';
import { DEFAULT_NAME, type PartitionFilter, type PartitionKey } from './partitions.ts';

const MAX_U64 = 2n ** 64n - 1n;
const MAX_U32 = 2 ** 32 - 1;
const MAX_RANKS = 4096;

/** A u64 as a number, a bigint or decimal text; decimal text inside. */
export const workerId = z
  .union([z.int().min(0), z.bigint().min(0n).max(MAX_U64), z.string().regex(/^\d{1,20}$/)])
  .transform(String);
export const dpRank = z.int().min(0).max(MAX_U32);
export const dpSize = z.int().min(1).max(MAX_RANKS);
export const blockSize = z
  .int()
  .min(1)
  .max(2 ** 20);
/** Hashes travel as i64 or u64; u64 inside. */
export const hashes = z
  .array(
    z.union([
      z.int(),
      z
        .bigint()
        .min(-(2n ** 63n))
        .max(MAX_U64),
    ]),
  )
  .transform((list) => BigUint64Array.from(list, (each) => BigInt.asUintN(64, BigInt(each))));
export const tokenIds = tokenIdsSchema(0).transform((list) => Uint32Array.from(list));
const name = z.string().min(1).max(512);

/** Model and routing group of a request; `tenant_id`, the group's old name, is read and has no effect. */
export const partition = {
  model_name: name,
  routing_group: name.default(DEFAULT_NAME),
  tenant_id: z.string().optional(),
};
export const partitionWithDefaults = { ...partition, model_name: name.default(DEFAULT_NAME) };

export function partitionOf(body: {
  readonly model_name: string;
  readonly routing_group: string;
}): PartitionKey {
  return { modelName: body.model_name, routingGroup: body.routing_group };
}

const filter = z.looseObject({ model_name: z.string().optional(), routing_group: z.string().optional() });

/** What a query string asks for. */
export function filterOf(query: unknown): PartitionFilter {
  const { model_name: modelName, routing_group: routingGroup } = check(filter, query);
  return { modelName, routingGroup };
}

/** Checks a body or a query; throws KV_REQUEST_INVALID with the first thing that is wrong. */
export function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  throw fail('KV_REQUEST_INVALID', {
    param: path,
    reason: `${path === '' ? 'body' : path}: ${issue?.message ?? 'is not valid'}`,
    mend: 'See docs/guides/router-services.md for the fields.',
  });
}
