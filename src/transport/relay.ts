import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Clock } from '../base/clock.ts';
import { connectionProblem } from './http-client.ts';

export interface RelayRequest {
  readonly pool: Dispatcher;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  /** How long the engine may take to answer at all. */
  readonly headersTimeoutMs: number;
  /** How long a begun answer may be silent, and a client may leave it unread. */
  readonly idleTimeoutMs: number;
  /** Largest answer that is no event stream; 64 MiB unless given. */
  readonly maxAnswerBytes?: number;
}

/** Takes an event stream as it comes in; of other answers it hears nothing. */
export interface RelayListener {
  /** The engine began an event stream. */
  begin(headers: IncomingHttpHeaders): void;
  /** Bytes that are valid during the call only; false asks the engine to pause until {@link Relay.resume}. */
  data(bytes: Buffer, atMs: number): boolean;
}

/** How an exchange ended: every way is an expected outcome. */
export type RelayOutcome =
  /** The event stream ended in good HTTP order, or {@link Relay.complete} was called. */
  | { readonly kind: 'streamed' }
  /** An answer that is no event stream, an error of the engine included. */
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly body: Buffer;
    }
  /** No connection, or it was lost. */
  | { readonly kind: 'broke'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly waiting: 'headers' | 'data' | 'client'; readonly afterMs: number }
  /** {@link Relay.cancel} was called. */
  | { readonly kind: 'cancelled' };

const DEFAULT_MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * One POST to an engine whose answer is passed on as it comes. The engine reads no faster than the client: the
 * listener's `false` pauses its socket. The outcome is settled exactly once, and after it nothing is heard.
 */
export class Relay implements Dispatcher.DispatchHandler {
  readonly outcome: Promise<RelayOutcome>;
  readonly #request: RelayRequest;
  readonly #listener: RelayListener;
  readonly #clock: Clock;
  #settle: (outcome: RelayOutcome) => void = () => {};
  #settled = false;
  #controller: Dispatcher.DispatchController | undefined;
  #answer: { status: number; headers: IncomingHttpHeaders; pieces: Buffer[]; size: number } | undefined;
  #streaming = false;
  #paused = false;
  #lastMs: number;
  #cancelTimer: () => void = () => {};

  constructor(request: RelayRequest, listener: RelayListener, clock: Clock) {
    this.#request = request;
    this.#listener = listener;
    this.#clock = clock;
    this.#lastMs = clock.nowMs();
    this.outcome = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#armTimer();
    const { pool, path, headers, body } = request;
    pool.dispatch({ path, method: 'POST', headers, body }, this);
  }

  /** When it was begun, or bytes last came. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /** Takes the engine for lost, for a reason that it was not told here. */
  breakOff(reason: string): void {
    this.#finish({ kind: 'broke', reason });
  }

  /** Ends the exchange at the engine too. */
  cancel(): void {
    this.#finish({ kind: 'cancelled' });
  }

  /**
   * The listener has the whole answer: the end of the stream is not waited for, nor is its loss one. The connection is
   * left to end in good order, within the time that a begun answer may be silent.
   */
  complete(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle({ kind: 'streamed' });
  }

  /** The client has read what it got. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#lastMs = this.#clock.nowMs();
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#settled) controller.abort(new Error('no longer wanted'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#settled || status < 200) return;
    this.#lastMs = this.#clock.nowMs();
    this.#streaming = status === 200 && /^text\/event-stream\b/i.test(headers['content-type'] ?? '');
    if (this.#streaming) this.#listener.begin(headers);
    else this.#answer = { status, headers, pieces: [], size: 0 };
    this.#cancelTimer();
    this.#armTimer();
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (this.#settled) return;
    this.#lastMs = this.#clock.nowMs();
    if (this.#streaming) {
      if (this.#listener.data(bytes, this.#lastMs) || this.#settled) return;
      this.#paused = true;
      controller.pause();
      return;
    }
    const answer = this.#answer;
    if (answer === undefined) return;
    answer.size += bytes.length;
    const { maxAnswerBytes = DEFAULT_MAX_ANSWER_BYTES } = this.#request;
    if (answer.size > maxAnswerBytes)
      this.#finish({ kind: 'broke', reason: `its answer exceeds ${maxAnswerBytes} bytes` });
    else answer.pieces.push(Buffer.from(bytes));
  }

  onResponseEnd(): void {
    this.#cancelTimer();
    const answer = this.#answer;
    if (answer === undefined) this.#finish({ kind: 'streamed' });
    else {
      const { status, headers, pieces } = answer;
      this.#finish({ kind: 'answered', status, headers, body: Buffer.concat(pieces) });
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#cancelTimer();
    this.#finish({ kind: 'broke', reason: connectionProblem(error) });
  }

  #finish(outcome: RelayOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cancelTimer();
    if (outcome.kind !== 'streamed' && outcome.kind !== 'answered') this.#abort();
    this.#settle(outcome);
  }

  #abort(): void {
    const controller = this.#controller;
    if (controller !== undefined && !controller.aborted) controller.abort(new Error('no longer wanted'));
  }

  /** One timer per phase that looks at the time of the last bytes when it fires, instead of a reset per chunk. */
  #armTimer(): void {
    const { headersTimeoutMs, idleTimeoutMs } = this.#request;
    const begun = this.#streaming || this.#answer !== undefined;
    const limitMs = begun ? idleTimeoutMs : headersTimeoutMs;
    this.#cancelTimer = this.#clock.at(this.#lastMs + limitMs, () => {
      if (this.#clock.nowMs() - this.#lastMs < limitMs) this.#armTimer();
      else if (this.#settled) this.#abort();
      else {
        const waiting = !begun ? 'headers' : this.#paused ? 'client' : 'data';
        this.#finish({ kind: 'timeout', waiting, afterMs: limitMs });
      }
    });
  }
}
