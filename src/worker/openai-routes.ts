import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fail, type KvasirError, toError } from '../base/errors.ts';
import {
  type AnswerHead,
  type AnswerKind,
  answerBody,
  answerChunks,
  type ToolCallHead,
} from '../formats/openai/answer.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import { responseBody, responseChunks } from '../formats/openai/response-answer.ts';
import { responseErrorFrame } from '../formats/openai/response-event.ts';
import type { ResponsesRequest } from '../formats/openai/responses-request.ts';
import type { HandledRequest } from '../metrics/work-handler-metrics.ts';
import { EventStream } from '../transport/http-server-sse.ts';
import { Generation, type GenerationParts } from './generation.ts';
import {
  chatGeneration,
  completionGeneration,
  type GenerationRequest,
  responseGeneration,
} from './generation-request.ts';
import { handoffParams } from './handoff.ts';
import type { Handoffs } from './handoffs.ts';
import { LogprobsWriter } from './logprobs.ts';
import { type Framing, type Prefix, StreamedAnswer } from './streamed-answer.ts';
import { WholeAnswer } from './whole-answer.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

/** A worker that is ready to generate. */
export interface Service extends GenerationParts {
  readonly model: string;
  readonly url: () => string;
  readonly metrics: WorkerMetrics;
  readonly dpSize: number;
  /** Requests in flight beyond which more are refused. */
  readonly maxRequests: number;
  readonly handoffs: Handoffs;
}

/** Chunks of a response are frames already. */
const RESPONSE_FRAMES: Framing = {
  frame: (frames) => frames,
  error: (error) => responseErrorFrame(errorBody(error)),
  end: '',
};
const MAX_ID_LENGTH = 256;

/** Adds the generation routes; `service` throws while the engine is not ready. */
export function addOpenaiRoutes(app: FastifyInstance, service: () => Service): void {
  app.post('/v1/chat/completions', (request, reply) => serve('chat', request, reply, service));
  app.post('/v1/completions', (request, reply) => serve('completion', request, reply, service));
  app.post('/v1/responses', (request, reply) => serve('response', request, reply, service));
}

type Api = AnswerKind | 'response';

const READERS = {
  chat: chatGeneration,
  completion: completionGeneration,
  response: responseGeneration,
} as const;
const ID_PREFIXES = { chat: 'chatcmpl-', completion: 'cmpl-', response: 'resp_' } as const;

async function serve(
  api: Api,
  request: FastifyRequest,
  reply: FastifyReply,
  serviceOf: () => Service,
): Promise<unknown> {
  const service = serviceOf();
  const handled = service.metrics.dynamo.work.arrived(request.rawBody?.length ?? 0);
  reply.raw.once('close', handled.end);
  try {
    const left = new AbortController();
    whenClientLeaves(reply, () => left.abort());
    const generation = await service.handoffs.before(readRequest(api, request, service), left.signal);
    if (left.signal.aborted) return await abandon(reply, handled);
    const head = headOf(api, request, service);
    const prefixes = prefixesOf(generation, service);
    const logprobsOf = logprobsWriters(generation, prefixes, service);
    const response = api === 'response' ? (request.body as ResponsesRequest) : undefined;
    const exchange = { generation, head, response, prefixes, logprobsOf, reply, service, handled };
    return await (generation.stream ? stream(exchange) : answer(exchange));
  } catch (thrown) {
    const error = toError(thrown);
    handled.failed(error.code === 'KV_REQUEST_INVALID' ? 'deserialization' : 'generate');
    throw error;
  }
}

/** The client left before the engine had seen anything of its request. */
function abandon(reply: FastifyReply, handled: HandledRequest): Promise<void> {
  handled.cancelled();
  handled.failed('publish_response');
  reply.hijack();
  return Promise.resolve();
}

interface Exchange {
  readonly generation: GenerationRequest;
  readonly head: AnswerHead;
  /** Of the Responses API. */
  readonly response: ResponsesRequest | undefined;
  readonly prefixes: readonly Prefix[];
  readonly logprobsOf: (index: number, ids: readonly number[]) => object | undefined;
  readonly reply: FastifyReply;
  readonly service: Service;
  readonly handled: HandledRequest;
}

async function answer(exchange: Exchange): Promise<void> {
  const { generation, head, response, prefixes, logprobsOf, reply, service, handled } = exchange;
  const collected = new WholeAnswer(prefixes.map(({ text }) => text));
  const running = new Generation(service, generation, collected, service.clock.nowMs());
  whenClientLeaves(reply, () => {
    running.cancel();
    handled.cancelled();
    handled.failed('publish_response');
    collected.abandon();
  });
  const ended = await collected.choices;
  if (ended === undefined) {
    reply.hijack();
    return;
  }
  const choices = ended.map((choice, index) => ({
    ...choice,
    call: callOf(head, running, index),
    logprobs: logprobsOf(index, [...prefixes[index]!.ids, ...collected.ids[index]!]),
  }));
  const extra = handoffExtra(generation, head, service);
  await service.handoffs.after(generation, head.id);
  const usage = running.usage();
  const body =
    response === undefined
      ? answerBody(generation.kind, head, choices, usage, extra)
      : responseBody(head, response, choices[0]!, usage);
  const text = JSON.stringify(body);
  handled.sending(Buffer.byteLength(text));
  await reply.type('application/json; charset=utf-8').send(text);
}

function stream(exchange: Exchange): Promise<void> {
  const { generation, head, response, prefixes, logprobsOf, reply, service, handled } = exchange;
  return new Promise((resolve, reject) => {
    const streamed: StreamedAnswer = new StreamedAnswer({
      ...(response === undefined
        ? { chunks: answerChunks(generation.kind, head) }
        : { chunks: responseChunks(head, response), framing: RESPONSE_FRAMES }),
      prefixes,
      callOf: (index) => callOf(head, running, index),
      logprobsOf,
      includeUsage: generation.includeUsage,
      continuousUsage: generation.continuousUsage,
      open: () => new EventStream(reply),
      promptTokensOf: (index) => running.promptTokensOf(index),
      usage: () => running.usage(),
      sending: handled.sending,
      over: (error?: KvasirError) => (error === undefined ? resolve() : reject(error)),
    });
    const { clock } = service;
    const running: Generation = new Generation(service, generation, streamed, clock.nowMs());
    whenClientLeaves(reply, () => {
      running.cancel();
      handled.cancelled();
      handled.failed('publish_response');
      // Nobody is left to answer; the reply must not be touched by the framework either.
      if (!reply.sent) reply.hijack();
      resolve();
    });
  });
}

/** Where the KV of a prompt is that another engine shall go on with; as in vLLM only of a single choice. */
function handoffExtra(
  { handoff, prompts, choices }: GenerationRequest,
  head: AnswerHead,
  { url, metrics, engine }: Service,
): Readonly<Record<string, unknown>> {
  if (handoff !== 'source' || prompts.length * choices !== 1) return {};
  const { hostname, port } = new URL(url());
  const source = {
    engineId: metrics.dynamo.process.instanceId.toString(16),
    requestId: head.id,
    host: hostname,
    port: Number(port),
    promptTokens: prompts[0]!.length,
    blockSize: engine.settings.blockSize,
  };
  return { kv_transfer_params: handoffParams(source) };
}

/** Calls back if the connection closes before the response has ended. */
function whenClientLeaves(reply: FastifyReply, listener: () => void): void {
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) listener();
  });
}

function readRequest(api: Api, request: FastifyRequest, service: Service): GenerationRequest {
  const { tokenizer, model, engine, dpSize, maxRequests } = service;
  const generation = { ...READERS[api](request.body, tokenizer), ...rankHeader(request) };
  if (generation.model !== model)
    throw fail('KV_MODEL_UNKNOWN', { model: generation.model, served: model, param: 'model' });
  if (generation.dpRank !== undefined && generation.dpRank >= dpSize) {
    const reason = `data-parallel rank ${generation.dpRank} does not exist`;
    throw fail('KV_REQUEST_INVALID', { reason, mend: `Ranks are 0 to ${dpSize - 1}.` });
  }
  if (engine.inFlight >= maxRequests) throw fail('KV_ENGINE_QUEUE_FULL', { inFlight: engine.inFlight });
  return generation;
}

/** vLLM's header that pins a request to a rank. */
function rankHeader(request: FastifyRequest): { readonly dpRank?: number } {
  const header = request.headers['x-data-parallel-rank'];
  if (header === undefined) return {};
  if (typeof header === 'string' && /^\d{1,4}$/.test(header)) return { dpRank: Number(header) };
  const reason = `header x-data-parallel-rank: ${JSON.stringify(header)} is not a rank`;
  throw fail('KV_REQUEST_INVALID', { reason, mend: 'Send a whole number from 0.' });
}

function headOf(api: Api, request: FastifyRequest, service: Service): AnswerHead {
  const asked = request.headers['x-request-id'];
  const id =
    typeof asked === 'string' && asked !== '' && asked.length <= MAX_ID_LENGTH
      ? asked
      : randomUUID().replaceAll('-', '');
  return {
    id: `${ID_PREFIXES[api]}${id}`,
    created: Math.floor(service.clock.wallMs() / 1000),
    model: service.model,
  };
}

function prefixesOf({ prompts, choices, echo }: GenerationRequest, { tokenizer }: Service): Prefix[] {
  return prompts.flatMap((prompt) => {
    const prefix = echo ? { text: tokenizer.decode(prompt), ids: [...prompt] } : { text: '', ids: [] };
    return Array.from({ length: choices }, () => prefix);
  });
}

function callOf({ id }: AnswerHead, running: Generation, index: number): ToolCallHead | undefined {
  const name = running.toolOf(index);
  return name === undefined ? undefined : { id: `call_${id.replace(/^[a-z]+[-_]/, '')}_${index}`, name };
}

/** Writes log probabilities where the request asks for them; an echoed prompt's first. */
function logprobsWriters(
  { kind, logprobs }: GenerationRequest,
  prefixes: readonly Prefix[],
  { tokenizer }: Service,
): Exchange['logprobsOf'] {
  if (logprobs === undefined) return () => undefined;
  const writers = prefixes.map(({ ids }) => new LogprobsWriter(kind, logprobs, tokenizer, ids.length > 0));
  return (index, ids) => writers[index]!.write(ids);
}
