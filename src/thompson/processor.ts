import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { fail, type KvasirError, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type CachedBlocks, readChunk } from '../formats/openai/answer-chunk.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import type { RequestExtensions } from '../formats/openai/request.ts';
import { upstreamBody, usageFields } from '../formats/openai/upstream-body.ts';
import type { Usage } from '../formats/openai/usage.ts';
import { SSE_DONE, sseFrame } from '../formats/sse/frame.ts';
import { RelaySplitter } from '../formats/sse/relay-splitter.ts';
import { Conversations } from '../kv/conversations.ts';
import { interarrivalLevel, outputLevel } from '../kv/policies/thompson-levels.ts';
import type { ThompsonMetrics } from '../metrics/thompson-metrics.ts';
import { ClientPresence } from '../transport/client-presence.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { lostEngine, refusalBody } from '../transport/engine-failure.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { EventStream } from '../transport/http-server-sse.ts';
import { Relay, type RelayOutcome } from '../transport/relay.ts';
import { readConversationHints } from './conversation-hints.ts';
import type { RouterClient } from './router-client.ts';

/** A request that has been understood, with its place to go. */
export interface ReadRequest {
  /** As the workers call it. */
  readonly model: string;
  readonly tokens: Uint32Array;
  instance(workerId: string): WorkerInstance | undefined;
  /** The next worker in turn. */
  inTurn(): WorkerInstance;
}

export interface ProcessorParts {
  readonly clock: Clock;
  readonly client: HttpClient;
  readonly log: Log;
  readonly metrics: ThompsonMetrics;
  /** Absent: all requests go to the workers in turn. */
  readonly router: RouterClient | undefined;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Throws for what is no valid request. */
  read(path: string, body: unknown): Promise<ReadRequest>;
}

interface Answer {
  readonly tokens: number;
  readonly finishes: number;
  readonly usage: Usage | undefined;
  readonly cachedBlocks: CachedBlocks | undefined;
}

/** Serves requests: asks the router, passes the worker's answer on, and tells the router how it went. */
export class Processor {
  readonly #parts: ProcessorParts;
  readonly #conversations: Conversations;
  /** Workers that have told of cached tokens once: where these leave them out, they mean 0. */
  readonly #tellers = new Set<string>();

  constructor(parts: ProcessorParts) {
    this.#parts = parts;
    this.#conversations = new Conversations(parts.clock);
  }

  async serve(path: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { metrics, clock } = this.#parts;
    const client = new ClientPresence(reply);
    const observed = metrics.begin();
    let settle: ((success: boolean, reason: string, tokensOut: number) => void) | undefined;
    try {
      const read = await this.#parts.read(path, request.body);
      const body = request.body as Readonly<Record<string, unknown>>;
      const { instance, decisionId } = await this.#route(read, body, headersOf(request));
      observed.sent();
      const startMs = clock.nowMs();
      settle = (success, finish_reason, tokensOut) => {
        settle = undefined;
        if (decisionId === null) return;
        const told = { decision_id: decisionId, latency_ms: clock.nowMs() - startMs, success, finish_reason };
        this.#parts.router?.tell({ ...told, tokens_in: read.tokens.length, tokens_out: tokensOut });
      };
      if (client.left) return reply;
      const { answer, failure, reason } = await this.#relay(
        path,
        request,
        reply,
        instance,
        client,
        read.model,
      );
      if (failure !== undefined) {
        metrics.engineFailed();
        settle(false, reason, answer.tokens);
        if (!reply.sent && !reply.raw.headersSent) throw failure;
      } else if (answer.finishes > 0) {
        const tokensOut = answer.usage?.completionTokens || answer.tokens;
        observed.succeeded(read.tokens.length, tokensOut, this.#cacheUse(instance, answer));
        settle(true, reason, tokensOut);
      } else settle(false, 'cancelled', answer.tokens);
      return reply;
    } finally {
      settle?.(false, 'cancelled', 0);
      observed.end();
    }
  }

  async #route(read: ReadRequest, { nvext }: Readonly<Record<string, unknown>>, header: HeaderReader) {
    const { router, metrics, log } = this.#parts;
    const hints = this.#hints(nvext as RequestExtensions | null | undefined, header);
    const asked = { ...hints, tokens: [...read.tokens], model: read.model };
    try {
      const found = await router?.find(asked);
      if (found !== undefined) {
        const instance = read.instance(found.worker);
        if (instance !== undefined) {
          metrics.decided(found.worker);
          return { instance, decisionId: found.decisionId };
        }
        if (found.decisionId !== null)
          router?.tell({
            decision_id: found.decisionId,
            latency_ms: 0,
            success: false,
            finish_reason: 'cancelled',
          });
        throw new Error(`worker ${found.worker} is not known here`);
      }
    } catch (thrown) {
      metrics.routerFailed();
      log.warn(
        { reason: toError(thrown).message },
        'the router did not pick a worker: the next in turn serves',
      );
    }
    return { instance: read.inTurn(), decisionId: null };
  }

  #hints(nvext: RequestExtensions | null | undefined, header: HeaderReader) {
    const hints = readConversationHints(nvext, header);
    const prefix = hints.prefixId ?? `auto-${crypto.randomUUID().replaceAll('-', '')}`;
    const iatMs = Number(hints.iat);
    const { remainingCalls } = this.#conversations.next(
      prefix,
      hints.totalRequests ?? 1,
      Number.isFinite(iatMs) && iatMs > 0 ? iatMs : undefined,
    );
    return {
      prefix_id: prefix,
      reuse_budget: hints.goesOn ? 1 : remainingCalls,
      expected_osl: outputLevel(hints.osl),
      interarrival: interarrivalLevel(hints.iat),
    };
  }

  /** Only what is known counts: an engine that never tells of its cache is left out. */
  #cacheUse({ workerId }: WorkerInstance, { usage, cachedBlocks }: Answer) {
    if (usage?.cachedTokens !== undefined) this.#tellers.add(workerId);
    if (usage === undefined || !this.#tellers.has(workerId)) return undefined;
    return {
      promptTokens: usage.promptTokens,
      cachedTokens: usage.cachedTokens ?? 0,
      deviceBlocks: cachedBlocks?.device ?? 0,
      hostBlocks: cachedBlocks?.host ?? 0,
      diskBlocks: cachedBlocks?.disk ?? 0,
    };
  }

  async #relay(
    path: string,
    request: FastifyRequest,
    reply: FastifyReply,
    instance: WorkerInstance,
    client: ClientPresence,
    model: string,
  ) {
    const { clock, client: http, headersTimeoutMs, idleTimeoutMs } = this.#parts;
    const body = request.body as Readonly<Record<string, unknown>>;
    const options = body.stream_options as { include_usage?: boolean } | null | undefined;
    const { fields, stripUsage } = usageFields(body.stream === true, options);
    const renamed = body.model !== model;
    const splitter = new RelaySplitter({ stripUsage });
    const headers = { 'x-kvasir-worker-id': instance.workerId };
    let stream: EventStream | undefined;
    const relay = new Relay(
      {
        pool: http.pool(instance.url),
        path: new URL(instance.url + path).pathname,
        headers: { 'content-type': 'application/json' },
        body: upstreamBody(request.rawBody ?? Buffer.alloc(0), body, renamed ? { ...fields, model } : fields),
        headersTimeoutMs,
        idleTimeoutMs,
      },
      {
        begin: () => {
          stream = new EventStream(reply, headers);
        },
        data: (bytes) => {
          const sent = stream?.write(splitter.push(bytes)) !== false;
          if (splitter.done) relay.complete();
          if (sent) return true;
          stream?.onDrain(() => relay.resume());
          return false;
        },
      },
      clock,
    );
    const stopListening = client.onLeave(() => relay.cancel());
    const outcome = await relay.outcome;
    stopListening();
    if (outcome.kind === 'answered') {
      const { type, bytes } =
        outcome.status === 200 ? { type: 'application/json', bytes: outcome.body } : refusalBody(outcome);
      void reply.code(outcome.status).headers(headers).type(type).send(bytes);
      const facts = outcome.status === 200 ? readChunk(outcome.body.toString('utf8')) : undefined;
      const failure = outcome.status >= 500 ? brokeOff(instance, `status ${outcome.status}`) : undefined;
      return { answer: facts ?? NOTHING, failure, reason: failure === undefined ? 'stop' : 'error' };
    }
    const failure = failureOf(outcome, splitter, instance, stream !== undefined);
    if (failure === undefined || splitter.done) stream?.write(splitter.rest());
    else stream?.write(sseFrame(JSON.stringify(errorBody(failure))) + SSE_DONE);
    stream?.end();
    const reason = failure === undefined ? 'stop' : splitter.error === undefined ? 'exception' : 'error';
    const answer = outcome.kind === 'cancelled' ? { ...NOTHING, tokens: splitter.tokens } : splitter;
    return { answer, failure, reason };
  }
}

type HeaderReader = (name: string) => string | undefined;

function headersOf({ headers }: FastifyRequest): HeaderReader {
  return (name) => {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
}

const NOTHING: Answer = { tokens: 0, finishes: 0, usage: undefined, cachedBlocks: undefined };

function failureOf(
  outcome: Exclude<RelayOutcome, { kind: 'answered' }>,
  splitter: RelaySplitter,
  instance: WorkerInstance,
  begun: boolean,
): KvasirError | undefined {
  if (outcome.kind === 'cancelled') return undefined;
  if (outcome.kind === 'streamed') {
    if (splitter.error !== undefined) return brokeOff(instance, splitter.error.message);
    return splitter.done ? undefined : brokeOff(instance, 'its stream ended without [DONE]');
  }
  // A client that does not read is no fault of the engine.
  if (outcome.kind === 'timeout' && outcome.waiting === 'client') return undefined;
  return lostEngine(outcome, instance.url, begun);
}

function brokeOff({ url }: WorkerInstance, reason: string): KvasirError {
  return fail('KV_ENGINE_BROKE_OFF', { url, reason });
}
