import type { Clock } from '../base/clock.ts';
import { fail, type KvasirError } from '../base/errors.ts';
import { readChunk } from '../formats/openai/answer-chunk.ts';
import type { EngineError } from '../formats/openai/engine-error.ts';
import type { ErrorType } from '../metrics/outcome.ts';
import { errorTypeOfStatus } from '../metrics/outcome.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import {
  faultOf,
  isDown,
  isRefusal,
  lostEngine,
  refusalBody,
  refusalMessage,
} from '../transport/engine-failure.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { Relay, type RelayOutcome } from '../transport/relay.ts';
import type { AnswerMeter } from './answer-meter.ts';
import type { AnswerStream } from './answer-stream.ts';
import type { Exchange } from './exchange.ts';
import { watchForHang } from './hung-worker.ts';
import type { Handoff } from './prefill-hop.ts';
import type { ResponseHomes } from './response-homes.ts';

export interface AttemptParts {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly homes: ResponseHomes;
}

export interface AttemptRequest {
  readonly instance: WorkerInstance;
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** For an answer that is no stream. */
  readonly answerHeaders: Readonly<Record<string, string>>;
  /** The last one: what fails now is the client's to see. */
  readonly last: boolean;
  /** Another engine could go on with the answer should it break off. */
  readonly resumable: boolean;
  /** Where the prompt comes from, if from another engine. */
  readonly handoff: Handoff | undefined;
  /** Another prefill worker may take over where that one is lost. */
  readonly remeets: boolean;
}

export type AttemptResult =
  /** The request has its outcome. */
  | { readonly kind: 'settled' }
  /** This engine gave nothing that reached the client, and another one may do better. */
  | { readonly kind: 'retry'; readonly reason: string }
  /** The prompt did not arrive, through no fault of this engine. */
  | { readonly kind: 'unmet'; readonly error: KvasirError }
  /** The answer broke off in the middle: it can be gone on with, or given up with the error. */
  | { readonly kind: 'broken'; readonly error: KvasirError; readonly errorType: ErrorType };

const SETTLED: AttemptResult = { kind: 'settled' };

/** Sends the request to one engine and its answer, or what came of it, to the client. */
export async function attempt(
  parts: AttemptParts,
  exchange: Exchange,
  answer: AnswerStream,
  meter: AnswerMeter,
  request: AttemptRequest,
): Promise<AttemptResult> {
  const { instance } = request;
  const relay = new Relay(
    {
      pool: parts.client.pool(instance.url),
      path: new URL(instance.url + request.path).pathname,
      headers: request.headers,
      body: request.body,
      headersTimeoutMs: parts.headersTimeoutMs,
      idleTimeoutMs: parts.idleTimeoutMs,
    },
    answer,
    parts.clock,
  );
  answer.follow(relay);
  const stopListening = exchange.client.onLeave(() => relay.cancel());
  const letLeaseGo = meter.keepLease(parts.clock);
  const stopWatching = watchForHang(parts.client, {
    pool: exchange.model.pool,
    instance,
    relay,
    canMove: () => request.resumable || (meter.tokenCount === 0 && !request.last),
  });
  let lost: string | undefined;
  const stopWaiting = request.handoff?.onLost((reason) => {
    // Once there are tokens, the prompt has arrived.
    if (meter.tokenCount > 0) return;
    lost = reason;
    relay.cancel();
  });
  try {
    const outcome = await relay.outcome;
    if (lost !== undefined && outcome.kind === 'cancelled') {
      const error = fail('KV_PREFILL_FAILED', { url: request.handoff!.url, reason: lost });
      // Which says nothing of the worker that waited for it.
      meter.end('cancelled');
      if (request.remeets) return { kind: 'unmet', error };
      throw error;
    }
    if (meter.tokenCount === 0 && request.remeets && isLackOfPrefill(outcome, answer, request.handoff)) {
      meter.end('cancelled');
      const facts = {
        url: request.handoff!.url,
        reason: `it was not there to be fetched: ${answer.splitter.error?.message ?? reasonOf(outcome)}`,
      };
      return { kind: 'unmet', error: fail('KV_PREFILL_FAILED', facts) };
    }
    const retryable = meter.tokenCount === 0 && !request.last && outcome.kind !== 'timeout';
    const failure =
      retryable || request.resumable ? await enginesFailure(parts, outcome, answer, instance.url) : undefined;
    if (failure !== undefined && retryable) {
      meter.end(isRefusal(outcome) ? 'refused' : 'failed');
      return { kind: 'retry', reason: failure };
    }
    const broken = failure === undefined ? undefined : breakOf(outcome, answer, instance.url);
    if (broken !== undefined) {
      meter.end('failed');
      return broken;
    }
    const responseId = settle(exchange, meter, answer, outcome, request, parts.clock.nowMs());
    if (responseId !== undefined) parts.homes.put(responseId, instance.workerId);
    return SETTLED;
  } finally {
    stopListening();
    stopWatching();
    letLeaseGo();
    stopWaiting?.();
    meter.end('cancelled');
  }
}

/**
 * Whether a decode worker seems to lack what a prefill worker had kept for it, which vLLM tells as a defect of its own: the
 * prefill worker has died since, or the time to fetch it is over.
 */
function isLackOfPrefill(
  outcome: RelayOutcome,
  { splitter }: AnswerStream,
  handoff: Handoff | undefined,
): boolean {
  if (handoff === undefined || handoff.meets) return false;
  if (outcome.kind === 'answered') return outcome.status === 500 && faultOf(outcome) !== 'engine';
  // Of a stream, the same comes as its first event.
  return outcome.kind === 'streamed' && splitter.withholds && splitter.error?.dead !== true;
}

/** Why another engine may do better; one that does not say whose failing it was is asked whether it lives. */
async function enginesFailure(
  { client }: AttemptParts,
  outcome: RelayOutcome,
  answer: AnswerStream,
  url: string,
): Promise<string | undefined> {
  const failure = failureOf(outcome, answer);
  if (failure === undefined || failure.fault === 'request') return undefined;
  return failure.fault === 'engine' || (await isDown(client, url)) ? failure.message : undefined;
}

function failureOf(outcome: RelayOutcome, answer: AnswerStream): EngineError | undefined {
  const { splitter, begun } = answer;
  switch (outcome.kind) {
    case 'cancelled':
      return undefined;
    case 'broke':
      return { message: outcome.reason, fault: 'engine' };
    case 'timeout':
      return begun && outcome.waiting !== 'client' ? { message: outcome.kind, fault: 'engine' } : undefined;
    case 'streamed':
      if (splitter.withholds) return splitter.error;
      return answer.whole ? undefined : { message: 'its stream ended without [DONE]', fault: 'engine' };
    default: {
      if (outcome.status === 200) return brokenWhole(outcome.body);
      const fault = faultOf(outcome);
      return fault && { message: `status ${outcome.status}`, fault };
    }
  }
}

/** An engine that is stopped ends what it was at as an answer with half a text. */
function brokenWhole(body: Buffer): EngineError | undefined {
  if (!body.includes('"abort"') && !body.includes('"error"')) return undefined;
  return readChunk(body.toString('utf8'))?.error;
}

/** How the answer broke off, if it did so after the client had some of it. */
function breakOf(outcome: RelayOutcome, answer: AnswerStream, url: string): AttemptResult | undefined {
  if (!answer.begun) return undefined;
  if (outcome.kind === 'streamed') {
    const error = answer.unfinished();
    return error && { kind: 'broken', error, errorType: 'internal' };
  }
  const lost = outcome.kind === 'broke' || (outcome.kind === 'timeout' && outcome.waiting !== 'client');
  if (!lost) return undefined;
  return { kind: 'broken', error: lostEngine(outcome, url, true), errorType: failureType(outcome) };
}

/** Gives the request its outcome, and the id of the response that came, if one did. */
function settle(
  exchange: Exchange,
  meter: AnswerMeter,
  answer: AnswerStream,
  outcome: RelayOutcome,
  request: AttemptRequest,
  atMs: number,
): string | undefined {
  switch (outcome.kind) {
    case 'cancelled':
      meter.end('cancelled');
      return undefined;
    case 'streamed':
      settleStream(exchange, meter, answer);
      return answer.splitter.responseId;
    case 'answered':
      if (!answer.begun) return settleAnswer(exchange, meter, outcome, request.answerHeaders, atMs);
      settleRefusal(exchange, meter, answer, outcome);
      return undefined;
    default: {
      const error = lostEngine(outcome, request.instance.url, answer.begun);
      const slowClient = outcome.kind === 'timeout' && outcome.waiting === 'client';
      meter.end(slowClient ? 'cancelled' : 'failed');
      if (!answer.begun) throw error;
      exchange.guard.fail(failureType(outcome));
      answer.finish(error);
      return undefined;
    }
  }
}

function settleStream(exchange: Exchange, meter: AnswerMeter, answer: AnswerStream): void {
  const { splitter } = answer;
  if (splitter.usage !== undefined) meter.usage(splitter.usage);
  const whole = answer.whole && splitter.error === undefined;
  meter.end(whole ? 'done' : 'failed');
  if (whole) exchange.guard.succeed();
  else exchange.guard.fail('internal');
  answer.finish();
}

/** An engine that was to go on with an answer refused to. */
function settleRefusal(
  exchange: Exchange,
  meter: AnswerMeter,
  answer: AnswerStream,
  { status, body }: Extract<RelayOutcome, { kind: 'answered' }>,
): void {
  meter.end('failed');
  exchange.guard.fail('internal');
  const reason = `another one refused to go on with it: ${status}, ${refusalMessage(body).text}`;
  answer.finish(fail('KV_ENGINE_BROKE_OFF', { url: meter.url, reason }));
}

function settleAnswer(
  exchange: Exchange,
  meter: AnswerMeter,
  outcome: Extract<RelayOutcome, { kind: 'answered' }>,
  headers: Readonly<Record<string, string>>,
  atMs: number,
): string | undefined {
  const { guard, reply } = exchange;
  const { status, body } = outcome;
  meter.accepted();
  void reply.headers(headers);
  if (status !== 200) {
    const { type, bytes } = refusalBody(outcome);
    meter.end(isRefusal(outcome) ? 'refused' : status >= 500 ? 'failed' : 'done');
    guard.fail(errorTypeOfStatus(status, `Validation: ${refusalMessage(body).text}`));
    if (status === 429 || status === 529) guard.reject();
    const later = outcome.headers['retry-after'];
    if (later !== undefined) void reply.header('retry-after', later);
    void reply.code(status).type(type).send(bytes);
    return undefined;
  }
  const facts = readChunk(body.toString('utf8'));
  if (facts === undefined)
    throw fail('KV_ENGINE_BROKE_OFF', { url: meter.url, reason: 'its answer is not valid JSON' });
  const tokens = facts.usage?.completionTokens ?? facts.tokens;
  if (tokens > 0) meter.firstTokens(tokens, 0, atMs);
  if (facts.usage !== undefined) meter.usage(facts.usage);
  meter.end('done');
  guard.succeed();
  void reply
    .code(200)
    .type(outcome.headers['content-type'] ?? 'application/json; charset=utf-8')
    .send(body);
  return facts.responseId;
}

function failureType(outcome: RelayOutcome): ErrorType {
  if (outcome.kind !== 'timeout') return 'internal';
  return outcome.waiting === 'client' ? 'cancelled' : 'response_timeout';
}

function reasonOf(outcome: RelayOutcome): string {
  return outcome.kind === 'broke'
    ? outcome.reason
    : outcome.kind === 'answered'
      ? `status ${outcome.status}`
      : outcome.kind;
}
