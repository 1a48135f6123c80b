import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import { snapshotBody } from '../formats/kv-events/snapshot.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import type { EngineFacts } from '../formats/openai/model-card.ts';
import { SSE_DONE, sseFrame } from '../formats/sse/frame.ts';
import type { HandledRequest, WorkHandlerMetrics } from '../metrics/work-handler-metrics.ts';
import { connectionProblem, type HttpClient } from '../transport/http-client.ts';
import { EventStream } from '../transport/http-server-sse.ts';
import { Relay, type RelayListener, type RelayOutcome } from '../transport/relay.ts';
import type { EngineCache } from './engine-cache.ts';

export interface UpstreamRoutesOptions {
  /** Base URL of the engine. */
  readonly upstream: string;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly work: () => WorkHandlerMetrics;
  /** Added to the cards of its models. */
  readonly facts: () => EngineFacts;
  /** What the engine holds, where it does not tell itself. */
  readonly cache: EngineCache | undefined;
  /** Longest wait for an answer to begin, and for its next part. */
  readonly timeoutMs: number;
}

/** Paths of requests that the engine works on; all others are passed on uncounted. */
const GENERATION = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/generate',
];
const PASSED_HEADERS = [
  'authorization',
  'content-type',
  'x-request-id',
  'x-data-parallel-rank',
  'endpoint-load-metrics-format',
  'traceparent',
  'tracestate',
];
/** Of answers: what clients of an engine read. */
const ANSWER_HEADERS = ['endpoint-load-metrics', 'retry-after', 'x-request-id'];
const PLAIN_TIMEOUT_MS = 10_000;
const DONE = Buffer.from(SSE_DONE);

/** Puts the engine's own API behind this port, byte for byte. */
export function addUpstreamRoutes(app: FastifyInstance, options: UpstreamRoutesOptions): void {
  for (const url of GENERATION)
    app.route({
      // SGLang takes both at `/generate`.
      method: url === '/generate' ? ['POST', 'PUT'] : 'POST',
      url,
      handler: (request, reply) => relay(url, request, reply, options),
    });
  app.get('/v1/models', async (request) => {
    const body = await plain(request, options);
    const data = (JSON.parse(body.text) as { data?: object[] }).data ?? [];
    return { object: 'list', data: data.map((card) => ({ ...card, kvasir: options.facts() })) };
  });
  if (options.cache !== undefined) addSnapshotRoute(app, options.cache);
  app.route({
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    url: '/*',
    handler: async (request, reply) => {
      const { status, type, text } = await plain(request, options);
      return reply.code(status).type(type).send(text);
    },
  });
}

/** 404 as long as it is not known exactly: who asks then goes on with the engine's own replay. */
function addSnapshotRoute(app: FastifyInstance, cache: EngineCache): void {
  app.get<{ Querystring: { dp_rank?: string } }>('/kv/snapshot', (request, reply) => {
    const held = cache.heldBlocks(Number(request.query.dp_rank ?? 0));
    if (held !== undefined) return snapshotBody([held]);
    return reply
      .code(404)
      .send(errorBody(fail('KV_SNAPSHOT_UNKNOWN', { rank: request.query.dp_rank ?? '0' })));
  });
}

async function relay(
  path: string,
  request: FastifyRequest,
  reply: FastifyReply,
  options: UpstreamRoutesOptions,
): Promise<void> {
  const { upstream, client, clock, timeoutMs, work } = options;
  const body = request.rawBody ?? Buffer.alloc(0);
  const handled = work().arrived(body.length);
  reply.raw.once('close', handled.end);
  const answer = new StreamedRelay(reply, handled);
  const running = new Relay(
    {
      pool: client.pool(upstream),
      path: new URL(upstream + path).pathname,
      headers: headersOf(request),
      body,
      headersTimeoutMs: timeoutMs,
      idleTimeoutMs: timeoutMs,
    },
    answer,
    clock,
  );
  answer.relay = running;
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) running.cancel();
  });
  await settle(await running.outcome, { reply, answer, handled, upstream });
}

interface Settling {
  readonly reply: FastifyReply;
  readonly answer: StreamedRelay;
  readonly handled: HandledRequest;
  readonly upstream: string;
}

async function settle(outcome: RelayOutcome, { reply, answer, handled, upstream }: Settling): Promise<void> {
  switch (outcome.kind) {
    case 'streamed':
      answer.end();
      return;
    case 'answered': {
      const { status, headers, body } = outcome;
      if (status >= 400) handled.failed('generate');
      handled.sending(body.length);
      const type = headers['content-type'] ?? 'application/json; charset=utf-8';
      for (const name of ANSWER_HEADERS)
        if (headers[name] !== undefined) void reply.header(name, headers[name]);
      await reply.code(status).type(type).send(body);
      return;
    }
    case 'cancelled':
      handled.cancelled();
      handled.failed('publish_response');
      if (!reply.sent) reply.hijack();
      return;
    default: {
      handled.failed('response_stream');
      const reason = outcome.kind === 'broke' ? outcome.reason : `silent for ${outcome.afterMs} ms`;
      const error = fail(answer.begun ? 'KV_ENGINE_BROKE_OFF' : 'KV_ENGINE_UNREACHABLE', {
        url: upstream,
        reason,
      });
      if (!answer.begun) throw error;
      answer.break(sseFrame(JSON.stringify(errorBody(error))));
    }
  }
}

/** Writes an engine's event stream to the client as it comes. */
class StreamedRelay implements RelayListener {
  readonly #reply: FastifyReply;
  readonly #handled: HandledRequest;
  #stream: EventStream | undefined;
  relay: Pick<Relay, 'resume' | 'complete'> | undefined;

  constructor(reply: FastifyReply, handled: HandledRequest) {
    this.#reply = reply;
    this.#handled = handled;
  }

  get begun(): boolean {
    return this.#stream !== undefined;
  }

  begin(_headers: IncomingHttpHeaders): void {
    this.#stream = new EventStream(this.#reply);
  }

  data(bytes: Buffer): boolean {
    this.#handled.sending(bytes.length);
    // One that comes in two pieces is followed by the end of the stream as well.
    if (bytes.subarray(-DONE.length).equals(DONE)) this.relay?.complete();
    if (this.#stream!.write(bytes)) return true;
    this.#stream!.onDrain(() => this.relay?.resume());
    return false;
  }

  end(): void {
    this.#stream?.end();
  }

  /** The engine is lost in the middle: the client is told in the stream. */
  break(frame: string): void {
    this.#stream?.write(frame);
    this.#stream?.write(SSE_DONE);
    this.end();
  }
}

async function plain(
  request: FastifyRequest,
  { client, upstream }: UpstreamRoutesOptions,
): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  try {
    const { statusCode, headers, body } = await client.pool(upstream).request({
      path: new URL(upstream).pathname.replace(/\/$/, '') + request.url,
      method: request.method as 'GET' | 'POST' | 'PUT' | 'DELETE',
      headers: headersOf(request),
      body: request.rawBody ?? null,
      signal: AbortSignal.timeout(PLAIN_TIMEOUT_MS),
    });
    const type = headers['content-type'];
    return { status: statusCode, type: String(type ?? 'text/plain'), text: await body.text() };
  } catch (cause) {
    const reason = connectionProblem(toError(cause).cause ?? cause);
    throw fail('KV_ENGINE_UNREACHABLE', { url: upstream, reason }, cause);
  }
}

function headersOf({ headers }: FastifyRequest): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of PASSED_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  return passed;
}
