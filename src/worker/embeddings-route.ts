import type { FastifyInstance } from 'fastify';
import { fail } from '../base/errors.ts';
import { hash32 } from '../base/random.ts';
import { embeddingBody, parseEmbeddingRequest } from '../formats/openai/embeddings.ts';
import { promptsOf } from './generation-request.ts';
import type { Service } from './openai-routes.ts';

const DIMENSIONS = 384;
const MAX_DIMENSIONS = 8192;

/** Adds embeddings: of length one, the same for the same text, and the nearer the more tokens two texts share. */
export function addEmbeddingsRoute(app: FastifyInstance, service: () => Service): void {
  app.post('/v1/embeddings', (request, reply) => {
    const { tokenizer, model, metrics, contextLength } = service();
    const handled = metrics.dynamo.work.arrived(request.rawBody?.length ?? 0);
    reply.raw.once('close', handled.end);
    const {
      input,
      model: asked,
      dimensions,
      encoding_format: encoding,
    } = parseEmbeddingRequest(request.body);
    if (asked !== model) throw fail('KV_MODEL_UNKNOWN', { model: asked, served: model, param: 'model' });
    const length = dimensions ?? DIMENSIONS;
    if (length > MAX_DIMENSIONS) throw invalid('dimensions', `${length} exceed ${MAX_DIMENSIONS}`);
    const prompts = promptsOf(input, tokenizer);
    for (const prompt of prompts)
      if (prompt.length > contextLength)
        throw fail('KV_CONTEXT_LENGTH', {
          limit: contextLength,
          requested: prompt.length,
          prompt: prompt.length,
          output: 0,
          param: 'input',
        });
    const vectors = prompts.map((prompt) => embedding(prompt, length));
    const tokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    return embeddingBody(model, vectors, encoding ?? 'float', tokens);
  });
}

/** The sum of a direction for each token, which its id decides. */
function embedding(tokens: Uint32Array, length: number): Float32Array {
  const sums = new Float32Array(length);
  for (const token of tokens)
    for (let at = 0; at < length; at += 32) {
      const signs = hash32(token, at, 6);
      for (let bit = 0; bit < 32 && at + bit < length; bit++) sums[at + bit]! += (signs >>> bit) & 1 ? 1 : -1;
    }
  const norm = Math.hypot(...sums) || 1;
  return sums.map((sum) => sum / norm);
}

function invalid(param: string, reason: string): Error {
  return fail('KV_REQUEST_INVALID', { param, reason: `${param}: ${reason}`, mend: 'Ask for less.' });
}
