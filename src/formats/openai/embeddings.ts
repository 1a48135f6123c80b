import { z } from 'zod';
import { type CompletionPrompt, completionPromptSchema } from './prompt-schema.ts';
import { parseBody, sharedFields } from './request.ts';

export const embeddingRequestSchema = z.looseObject({
  ...sharedFields,
  input: completionPromptSchema,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
});

export type EmbeddingRequest = z.infer<typeof embeddingRequestSchema> & { readonly input: CompletionPrompt };

/** Throws `KV_REQUEST_INVALID`. */
export function parseEmbeddingRequest(body: unknown): EmbeddingRequest {
  return parseBody(embeddingRequestSchema, body) as EmbeddingRequest;
}

/** The answer to a request for embeddings: each vector as numbers, or as base64 of its 32-bit floats. */
export function embeddingBody(
  model: string,
  vectors: readonly Float32Array[],
  encoding: 'float' | 'base64',
  promptTokens: number,
): object {
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding:
        encoding === 'float'
          ? Array.from(vector)
          : Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}
