import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fail } from '../base/errors.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { HttpClient } from '../transport/http-client.ts';

/** The latest so many. */
const MAX_RESPONSES = 10_000;
const TIMEOUT_MS = 10_000;
const ID = /^[\w.:-]{1,200}$/;

/** Which worker gave which response: an engine that keeps responses has only its own. */
export class ResponseHomes {
  readonly #workers = new Map<string, string>();

  put(responseId: string, workerId: string): void {
    this.#workers.delete(responseId);
    this.#workers.set(responseId, workerId);
    if (this.#workers.size <= MAX_RESPONSES) return;
    const [oldest] = this.#workers.keys();
    this.#workers.delete(oldest!);
  }

  get(responseId: string): string | undefined {
    return this.#workers.get(responseId);
  }
}

interface HomeParts {
  readonly homes: ResponseHomes;
  readonly client: HttpClient;
  /** A worker that serves now. */
  instance(workerId: string): WorkerInstance | undefined;
}

/** Adds what can be asked about a response that an engine keeps: the engine answers. */
export function addResponseRoutes(app: FastifyInstance, parts: HomeParts): void {
  const pass = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { id = '' } = request.params as { id?: string };
    const home = parts.homes.get(id);
    const instance = home === undefined ? undefined : parts.instance(home);
    if (instance === undefined || !ID.test(id)) throw fail('KV_RESPONSE_UNKNOWN', { response: id });
    const method = request.method as 'GET' | 'POST' | 'DELETE';
    const url = instance.url + request.url;
    const { status, text } = await parts.client.text(url, { method, timeoutMs: TIMEOUT_MS });
    return reply.code(status).type('application/json; charset=utf-8').send(text);
  };
  const schema = { summary: 'A response that an engine keeps', tags: ['openai'] };
  app.get('/v1/responses/:id', { schema }, pass);
  app.delete('/v1/responses/:id', { schema, onRequest: withoutBody }, pass);
  app.post('/v1/responses/:id/cancel', { schema, onRequest: withoutBody }, pass);
}

/** Clients name the type of a body that they do not send. */
function withoutBody({ headers }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if ((headers['content-length'] ?? '0') === '0') delete headers['content-type'];
  done();
}
