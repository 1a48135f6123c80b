import { z } from 'zod';
import { embeddingRequestSchema } from '../formats/openai/embeddings.ts';
import { chatRequestSchema, completionRequestSchema } from '../formats/openai/request.ts';
import { responsesRequestSchema } from '../formats/openai/responses-request.ts';

export const OPENAPI_INFO = {
  openapi: '3.1.0',
  info: {
    title: 'Kvasir frontend',
    description: 'OpenAI-compatible serving with routing by KV-cache reuse and load.',
    version: '1',
  },
};

const body = (schema: z.ZodType): object => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
const threshold = z.number().min(0).nullish();

/** Descriptions for `/openapi.json`; nothing is validated by them. */
export const ROUTE_SCHEMAS = {
  chat_completions: { summary: 'Answer a chat', tags: ['openai'], body: body(chatRequestSchema) },
  completions: { summary: 'Continue a text', tags: ['openai'], body: body(completionRequestSchema) },
  embeddings: { summary: 'Embed texts', tags: ['openai'], body: body(embeddingRequestSchema) },
  responses: { summary: 'Answer by the Responses API', tags: ['openai'], body: body(responsesRequestSchema) },
  models: { summary: 'Models served now', tags: ['openai'] },
  model: { summary: 'One model', tags: ['openai'] },
  health: { summary: '200 when some model can take requests, else 503', tags: ['operation'] },
  live: { summary: '200 while the process runs', tags: ['operation'] },
  busyThresholds: { summary: 'Overload thresholds of every model', tags: ['operation'] },
  setBusyThreshold: {
    summary: 'Set overload thresholds of a model, or read them',
    tags: ['operation'],
    body: body(
      z.object({
        model: z.string(),
        active_decode_blocks_threshold: threshold,
        active_prefill_tokens_threshold: threshold,
        active_prefill_tokens_threshold_frac: threshold,
      }),
    ),
  },
  decisions: {
    summary: 'The latest routing decisions with the costs of every candidate',
    tags: ['operation'],
    querystring: body(z.object({ limit: z.string().optional(), model: z.string().optional() })),
  },
  ranks: {
    summary: 'State of every rank: how far its blocks are known and why, load, predictions, circuit',
    tags: ['operation'],
    querystring: body(z.object({ model: z.string().optional() })),
  },
  index: {
    summary: 'Ids of the blocks that the index holds of each rank',
    tags: ['operation'],
    querystring: body(z.object({ model: z.string().optional(), worker_id: z.string().optional() })),
  },
} as const;
