import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { snapshotBody } from '../formats/kv-events/snapshot.ts';
import { type EngineFacts, modelList } from '../formats/openai/model-card.ts';
import { chatRendering, chatRequestSchema } from '../formats/openai/request.ts';
import type { ChatMessage } from '../tokenizer/tokenizer.ts';
import { type Exposition, serveMetrics } from '../transport/http-server-metrics.ts';
import type { KvEventStream } from './kv-event-stream.ts';
import type { Service } from './openai-routes.ts';

/** What the routes besides generation need to know. */
export interface EngineRoutesOptions {
  readonly model: string;
  readonly contextLength: number;
  readonly createdS: number;
  readonly version: string;
  /** What discovery learns about the engine. */
  readonly facts: () => EngineFacts;
  readonly service: () => Service;
  readonly ready: () => boolean;
  readonly live: () => boolean;
  readonly streams: () => readonly KvEventStream[];
  readonly resetCache: () => boolean;
  readonly scrape: (accept: string | undefined) => Promise<Exposition>;
}

const tokenizeSchema = z.union([
  z.looseObject({ prompt: z.string(), return_token_strs: z.boolean().nullish() }),
  chatRequestSchema.omit({ model: true }).extend({ return_token_strs: z.boolean().nullish() }),
]);
const detokenizeSchema = z.looseObject({
  tokens: z.array(
    z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
  ),
});

/** The routes of vLLM's server besides generation, and the snapshot of the KV cache. */
export function addEngineRoutes(app: FastifyInstance, options: EngineRoutesOptions): void {
  const { model, contextLength, createdS, service } = options;
  app.get('/v1/models', () =>
    modelList([
      {
        id: model,
        ownedBy: 'kvasir',
        contextLength,
        parent: undefined,
        engine: options.facts(),
        created: createdS,
      },
    ]),
  );
  app.get('/health', (_request, reply) => reply.code(options.ready() ? 200 : 503).send());
  app.get('/live', (_request, reply) => reply.code(options.live() ? 200 : 503).send());
  app.get('/ping', (_request, reply) => reply.code(options.ready() ? 200 : 503).send());
  app.get('/version', () => ({ version: options.version }));
  app.get('/load', () => ({ server_load: service().engine.inFlight }));
  app.post('/reset_prefix_cache', { bodyLimit: 1024 }, () => ({ success: options.resetCache() }));
  serveMetrics(app, '/metrics', options.scrape);
  addTokenRoutes(app, options);
  addSnapshotRoute(app, options);
}

function addTokenRoutes(app: FastifyInstance, { contextLength, service }: EngineRoutesOptions): void {
  app.post('/tokenize', (request) => {
    const { tokenizer } = service();
    const body = parse(tokenizeSchema, request.body, 'a prompt, or messages');
    const tokens =
      'prompt' in body
        ? tokenizer.encode(body.prompt as string)
        : tokenizer.encodeChat(body.messages as readonly ChatMessage[], chatRendering(body));
    return {
      count: tokens.length,
      max_model_len: contextLength,
      tokens: Array.from(tokens),
      token_strs: body.return_token_strs ? Array.from(tokens, (id) => tokenizer.decode([id])) : null,
    };
  });
  app.post('/detokenize', (request) => {
    const { tokens } = parse(detokenizeSchema, request.body, 'a list of token ids');
    return { prompt: service().tokenizer.decode(tokens) };
  });
}

function addSnapshotRoute(app: FastifyInstance, { streams }: EngineRoutesOptions): void {
  app.get<{ Querystring: { dp_rank?: string } }>('/kv/snapshot', async (request) => {
    const all = streams();
    const { dp_rank: asked } = request.query;
    const chosen = asked === undefined ? all : all.filter((_, rank) => String(rank) === asked);
    if (chosen.length === 0) {
      const reason = `dp_rank: ${JSON.stringify(asked)} is not a rank`;
      throw fail('KV_REQUEST_INVALID', {
        param: 'dp_rank',
        reason,
        mend: `Ranks are 0 to ${all.length - 1}.`,
      });
    }
    return snapshotBody(await Promise.all(chosen.map((stream) => stream.heldBlocks())));
  });
}

function parse<T>(schema: z.ZodType<T>, body: unknown, wanted: string): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw fail('KV_REQUEST_INVALID', {
    reason: `the body does not hold ${wanted}`,
    mend: 'See /openapi.json.',
  });
}
