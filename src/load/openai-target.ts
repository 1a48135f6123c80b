import { type Dispatcher, Pool } from 'undici';
import { AnswerRecorder } from './answer-recorder.ts';
import { errorMessage } from './chunk-facts.ts';
import type { PlannedRequest } from './plan.ts';
import type { PromptWriter } from './prompt-words.ts';
import type { Answer } from './record.ts';
import { type BodyOptions, requestBody } from './request-body.ts';
import type { LoadTarget, PreparedRequest } from './target.ts';

export interface OpenAiTargetOptions extends BodyOptions {
  /** Base URL, with or without `/v1`. */
  readonly url: string;
  /** Path of the endpoint; by form when absent. */
  readonly endpoint?: string | undefined;
  readonly writer: PromptWriter;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly apiKey?: string | undefined;
  /** A request that takes longer has failed. */
  readonly timeoutMs?: number | undefined;
  readonly keepText?: boolean | undefined;
}

const MAX_ERROR_BYTES = 64 * 1024;
const STOPPED = 'the run was stopped';
const DEFAULT_TIMEOUT_MS = 600_000;

/** Any OpenAI-compatible server over HTTP. Connections are made as needed and kept. */
export class OpenAiTarget implements LoadTarget {
  readonly #options: OpenAiTargetOptions;
  readonly #pool: Pool;
  readonly #path: string;
  readonly #headers: Readonly<Record<string, string>>;
  /** Requests in flight by their signal, which has one listener for all: removing one of thousands is slow. */
  readonly #open = new WeakMap<AbortSignal, Set<Exchange>>();

  constructor(options: OpenAiTargetOptions) {
    const base = new URL(options.url);
    this.#options = options;
    this.#path = joinPath(base.pathname, options.endpoint ?? defaultEndpoint(options));
    this.#pool = new Pool(base.origin, {
      // Timeouts are the target's own: one per request, over its whole length.
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1,
      keepAliveTimeout: 60_000,
    });
    this.#headers = {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(options.apiKey !== undefined && { authorization: `Bearer ${options.apiKey}` }),
      ...options.headers,
    };
  }

  prepare(request: PlannedRequest): PreparedRequest {
    return { request, body: requestBody(request, this.#options.writer, this.#options) };
  }

  send(prepared: PreparedRequest, nowMs: () => number, signal: AbortSignal): Promise<Answer> {
    const { request, body } = prepared;
    const open = this.#openUnder(signal);
    return new Promise((resolve) => {
      const exchange = new Exchange(nowMs, this.#options.keepText === true, (answer) => {
        open.delete(exchange);
        resolve(answer);
      });
      open.add(exchange);
      exchange.limit(this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS, request.cancelAfterMs);
      const headers = { ...this.#headers, 'x-request-id': request.id };
      this.#pool.dispatch({ path: this.#path, method: 'POST', headers, body }, exchange);
      if (signal.aborted) exchange.stop('cancelled', STOPPED);
    });
  }

  /** Closes all connections; requests in flight fail. */
  async stop(): Promise<void> {
    await this.#pool.destroy();
  }

  #openUnder(signal: AbortSignal): Set<Exchange> {
    const known = this.#open.get(signal);
    if (known !== undefined) return known;
    const open = new Set<Exchange>();
    this.#open.set(signal, open);
    const onAbort = (): void => {
      for (const exchange of open) exchange.stop('cancelled', STOPPED);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    return open;
  }
}

/** One request on the wire: undici calls it back, it resolves once with the answer. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #nowMs: () => number;
  readonly #resolve: (answer: Answer) => void;
  readonly #recorder: AnswerRecorder;
  #controller: Dispatcher.DispatchController | undefined;
  #stopped: { readonly outcome: Answer['outcome']; readonly reason: string } | undefined;
  #release = (): void => {};
  #wroteMs: number | undefined;
  #headersMs: number | undefined;
  #status: number | undefined;
  #worker: string | undefined;
  #streams = false;
  #plain: Buffer[] = [];
  #plainBytes = 0;
  #settled = false;

  constructor(nowMs: () => number, keepText: boolean, resolve: (answer: Answer) => void) {
    this.#nowMs = nowMs;
    this.#resolve = resolve;
    this.#recorder = new AnswerRecorder(nowMs(), keepText);
  }

  /** Arms what may end the request before the server does. */
  limit(timeoutMs: number, cancelAfterMs: number | undefined): void {
    const timeout = setTimeout(() => this.stop('failed', `no end within ${timeoutMs} ms`), timeoutMs);
    const cancel =
      cancelAfterMs === undefined
        ? undefined
        : setTimeout(() => this.stop('cancelled', `cancelled after ${cancelAfterMs} ms`), cancelAfterMs);
    this.#release = () => {
      clearTimeout(timeout);
      clearTimeout(cancel);
    };
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#wroteMs ??= this.#nowMs();
    if (this.#stopped !== undefined) controller.abort(new Error(this.#stopped.reason));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    this.#headersMs = this.#nowMs();
    this.#status = status;
    this.#streams = status < 300 && String(headers['content-type'] ?? '').includes('event-stream');
    const worker = headers['x-kvasir-worker-id'] ?? headers['x-worker-id'];
    this.#worker = worker === undefined ? undefined : String(worker);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#streams) this.#recorder.push(chunk, this.#nowMs());
    else if (this.#plainBytes < MAX_ERROR_BYTES) this.#plain.push(chunk);
    this.#plainBytes += chunk.length;
  }

  onResponseEnd(): void {
    const status = this.#status ?? 0;
    if (this.#streams) this.#settle(this.#recorder.finish(this.#nowMs(), status));
    else this.#fail(plainError(Buffer.concat(this.#plain).toString('utf8'), status), status);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const { outcome, reason } = this.#stopped ?? { outcome: 'failed' as const, reason: reasonOf(error) };
    const status = outcome === 'cancelled' ? 499 : this.#status;
    this.#settle(this.#recorder.answer(outcome, this.#nowMs(), { status, error: reason }));
  }

  /** Ends the request from here; what was seen of it stays in its answer. */
  stop(outcome: 'failed' | 'cancelled', reason: string): void {
    if (this.#settled || this.#stopped !== undefined) return;
    this.#stopped = { outcome, reason };
    if (this.#controller !== undefined) this.#controller.abort(new Error(reason));
    // Not yet on a connection: undici will drop it when one is there; the answer need not wait.
    else this.#settle(this.#recorder.answer(outcome, this.#nowMs(), { error: reason }));
  }

  #fail(error: string, status: number): void {
    this.#settle(this.#recorder.answer('failed', this.#nowMs(), { status, error }));
  }

  #settle(answer: Answer): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#release();
    this.#resolve({
      ...answer,
      wroteMs: this.#wroteMs,
      headersMs: this.#headersMs,
      worker: answer.worker ?? this.#worker,
    });
  }
}

function defaultEndpoint(options: BodyOptions): string {
  return options.form === 'chat' ? '/v1/chat/completions' : '/v1/completions';
}

/** `http://h/v1` and `http://h/prefix` both take `/v1/completions`. */
function joinPath(base: string, endpoint: string): string {
  const prefix = base.replace(/\/+$/, '');
  return prefix.endsWith('/v1') && endpoint.startsWith('/v1/')
    ? prefix + endpoint.slice(3)
    : prefix + endpoint;
}

function plainError(body: string, status: number): string {
  if (status < 300) return `the answer is not an event stream: ${body.slice(0, 200)}`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  return `HTTP ${status}: ${parsed === undefined ? body.slice(0, 200) : errorMessage(parsed, body.slice(0, 200))}`;
}

function reasonOf(error: Error): string {
  // A refused connection comes as an AggregateError without a text of its own.
  const { code } = error as { code?: string };
  return error.message === '' ? (code ?? error.name) : error.message;
}
