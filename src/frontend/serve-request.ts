import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { fail, KvasirError } from '../base/errors.ts';
import { wholeInstanceIds } from '../formats/openai/instance-ids.ts';
import { requestedMaxTokens } from '../formats/openai/request.ts';
import type { RouterOverrides } from '../kv/route-request.ts';
import { ClientPresence } from '../transport/client-presence.ts';
import type { AgentHintReader } from './agent-hints.ts';
import { type DispatchParts, dispatch } from './dispatch.ts';
import { type Endpoint, type Exchange, isChunked } from './exchange.ts';
import type { KeyQuota, QuotaClaim } from './key-quota.ts';
import type { ModelDirectory, ServedModel } from './model-directory.ts';
import type { Prompt, PromptEncoder } from './prompt.ts';
import { pinsDecode, readControls } from './request-controls.ts';
import { PROMPT_FIELDS, type ReadRequest, readRequest } from './request-reader.ts';
import { requireReady } from './worker-pool.ts';

export interface ServeParts extends DispatchParts {
  readonly directory: ModelDirectory;
  /** Whether `nvext` in bodies is heeded. */
  readonly nvext: boolean;
  readonly agentHints: AgentHintReader;
  /** Whether the client's `Authorization` goes on to the engine. */
  readonly forwardAuthorization: boolean;
  /** Limits of the key that a request came with. */
  quotaOf(request: FastifyRequest): KeyQuota | undefined;
}

const REQUEST_ID = /^[\w.:-]{1,200}$/;
const FORWARDED = ['traceparent', 'tracestate', 'x-session-id'];

/** Serves one request from its parsed body to the last byte of its answer; the guard ends with it. */
export async function serveRequest(
  parts: ServeParts,
  endpoint: Endpoint,
  httpRequest: FastifyRequest,
  reply: FastifyReply,
  overrides?: RouterOverrides,
): Promise<FastifyReply> {
  const body = httpRequest.body as Readonly<Record<string, unknown>> | null;
  const stream = body?.stream === true;
  const name = typeof body?.model === 'string' ? body.model : '';
  const client = new ClientPresence(reply);
  const guard = parts.metrics.begin(
    name,
    endpoint,
    stream ? 'stream' : 'unary',
    traceId(httpRequest.headers),
  );
  client.onLeave(() => guard.disconnected());
  let claim: QuotaClaim | undefined;
  let exchange: Exchange | undefined;
  try {
    claim = parts.quotaOf(httpRequest)?.claim();
    exchange = await prepare(parts, endpoint, httpRequest, reply, { client, guard, stream, overrides });
    claim?.prompt(exchange.prompt.length);
    if (!client.left) await dispatch(parts, exchange);
  } catch (thrown) {
    // Nobody is left to be told, and the guard knows.
    if (client.left) return reply;
    // The next one is to find those that are back.
    if (thrown instanceof KvasirError && thrown.code === 'KV_NO_WORKERS') parts.hurry();
    if (thrown instanceof KvasirError && thrown.code === 'KV_ENGINE_TIMEOUT') guard.fail('response_timeout');
    else guard.failWith(thrown);
    throw thrown;
  } finally {
    claim?.end(exchange?.collector.outputTokens ?? 0);
    guard.end();
  }
  return reply;
}

async function prepare(
  parts: ServeParts,
  endpoint: Endpoint,
  { body: parsed, rawBody, headers }: FastifyRequest,
  reply: FastifyReply,
  begun: Pick<Exchange, 'client' | 'guard' | 'stream' | 'overrides'>,
): Promise<Exchange> {
  const receivedMs = parts.clock.nowMs();
  const id = requestId(headers);
  const stage = parts.metrics.stages.enter('preprocess');
  try {
    const body = wholeInstanceIds(parsed, rawBody);
    const read = readRequest(endpoint, body);
    const { request } = read;
    const model = parts.directory.find(request.model);
    const controls = readControls(
      headers,
      parts.nvext ? (request.nvext ?? undefined) : undefined,
      request.cache_salt ?? undefined,
      parts.agentHints,
    );
    const encoder = requireReady(model.pool);
    const collector = begun.guard.collect();
    const param = PROMPT_FIELDS[endpoint];
    const prompt = await tokenise(parts, read, encoder, param);
    collector.setInputTokens(prompt.length);
    // Others may be cut to fit, as their servers like.
    if (isChunked(endpoint)) checkLength(model, request, prompt, param);
    return {
      ...begun,
      endpoint,
      requestId: id,
      request,
      raw: rawBody ?? Buffer.alloc(0),
      body: body as Readonly<Record<string, unknown>>,
      model,
      prompt,
      controls: pinsDecode(controls) ? controls : { ...controls, ...homePin(parts, request, model) },
      headers: engineHeaders(headers, id, parts.forwardAuthorization),
      receivedMs,
      collector,
      reply,
    };
  } finally {
    stage.end();
  }
}

/** A response that goes on with another one is the worker's that has it, as long as that serves. */
function homePin(
  { homes }: ServeParts,
  { previous_response_id: previous }: Exchange['request'],
  { pool }: ServedModel,
): { readonly decodeWorkerId?: string } {
  const home = typeof previous === 'string' ? homes.get(previous) : undefined;
  return home !== undefined && pool.instance(home) !== undefined ? { decodeWorkerId: home } : {};
}

async function tokenise(
  parts: ServeParts,
  read: ReadRequest,
  encoder: PromptEncoder,
  param: string,
): Promise<Prompt> {
  const startMs = parts.clock.nowMs();
  const prompt = await read.encode(encoder);
  parts.metrics.tokenized(parts.clock.nowMs() - startMs);
  if (prompt.tokens.length > 0) return prompt;
  throw fail('KV_REQUEST_INVALID', { param, reason: `${param}: is empty`, mend: 'Send at least one token.' });
}

/** Refuses what no worker of the model could hold; only exact tokens can tell. */
function checkLength(
  { pool }: ServedModel,
  request: Exchange['request'],
  { longest }: Prompt,
  param: string,
): void {
  const { contextLength } = pool;
  if (contextLength === undefined || pool.encoder?.exact !== true) return;
  const output = requestedMaxTokens(request) ?? 1;
  const requested = longest + output;
  if (requested <= contextLength) return;
  throw fail('KV_CONTEXT_LENGTH', { limit: contextLength, requested, prompt: longest, output, param });
}

function engineHeaders(
  headers: IncomingHttpHeaders,
  id: string,
  forwardAuthorization: boolean,
): Record<string, string> {
  const out: Record<string, string> = { 'content-type': 'application/json', 'x-request-id': id };
  const names = forwardAuthorization ? [...FORWARDED, 'authorization'] : FORWARDED;
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') out[name] = value;
  }
  return out;
}

/** The client's, where it may go into headers and logs. */
function requestId(headers: IncomingHttpHeaders): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : crypto.randomUUID();
}

function traceId({ traceparent }: IncomingHttpHeaders): string | undefined {
  return typeof traceparent === 'string' ? /^\w{2}-(\w{32})-/.exec(traceparent)?.[1] : undefined;
}
