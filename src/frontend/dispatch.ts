import { sleepUntil } from '../base/clock.ts';
import { fail, type KvasirError, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';
import type { FrontendMetrics, MigrationType } from '../metrics/frontend-metrics.ts';
import type { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { AnswerMeter } from './answer-meter.ts';
import { AnswerStream } from './answer-stream.ts';
import { type AttemptParts, type AttemptResult, attempt } from './attempt.ts';
import { type Continuation, canContinue, continueAnswer } from './continuation.ts';
import { engineBody, type HintForwarding } from './engine-body.ts';
import { type Exchange, PATHS } from './exchange.ts';
import type { ServedModel } from './model-directory.ts';
import type { PrefillBypass } from './prefill-bypass.ts';
import { type Handoff, prefillElsewhere } from './prefill-hop.ts';
import { pinsDecode } from './request-controls.ts';
import { place, refusalError } from './route.ts';
import type { Hop } from './worker-pool.ts';

export interface DispatchParts extends AttemptParts {
  readonly log: Log;
  readonly metrics: FrontendMetrics;
  requestsOf(hop: Hop): RouterRequestMetrics;
  readonly random: Random;
  /** How often a request is tried again when an engine fails before its first token. */
  readonly retryLimit: number;
  /** Before the second retry, and before one that has no other worker to go to; grows from retry to retry. */
  readonly retryBackOffMs: number;
  /** How often an answer that breaks off is gone on with by another worker. */
  readonly migrationLimit: number;
  /** Prompt and answer so far, in tokens, beyond which that is not done. */
  readonly migrationMaxSeqLen: number | undefined;
  readonly forwarding: HintForwarding;
  readonly prefillBypass: PrefillBypass;
  /** An engine failed: have a look at it. */
  suspect(workerId: string): void;
  /** All that could serve a request have failed it: look for others. */
  hurry(): void;
  /** The model with the pool that it has now. */
  current(model: ServedModel): ServedModel;
}

const BACK_OFF_FACTOR = 1.5;
const BACK_OFF_JITTER = 0.2;
const MAX_BACK_OFF_MS = 30_000;

/** Places the request, sends it, and lets other workers take over while that can be done. */
export async function dispatch(parts: DispatchParts, exchange: Exchange): Promise<void> {
  const handoff = await prefillElsewhere(parts, exchange);
  const run = new Dispatch(parts, exchange, handoff);
  try {
    while (!exchange.client.left && (await run.step()) === 'again');
  } catch (thrown) {
    run.giveUp(thrown);
  } finally {
    run.end();
  }
}

interface Placed {
  readonly router: KvRouter;
  readonly selection: Selection;
  readonly instance: WorkerInstance;
}

/** One request on its way from worker to worker. */
class Dispatch {
  readonly #parts: DispatchParts;
  readonly #exchange: Exchange;
  #handoff: Handoff | undefined;
  /** Prefill workers that a decode worker met, or was to meet. */
  readonly #met: string[] = [];
  readonly #excluded = new Set<string>();
  #retriesLeft: number;
  #backOffs = 0;
  #migrationsLeft: number;
  /** What is still to be generated, once another engine has begun the answer. */
  #continuation: Continuation | undefined;
  #answer: AnswerStream | undefined;
  /** A failure that another worker is to make good. */
  #migration: { readonly type: MigrationType; readonly sinceMs: number } | undefined;
  #lost: KvasirError | undefined;

  constructor(parts: DispatchParts, exchange: Exchange, handoff: Handoff | undefined) {
    const pinned = pinsDecode(exchange.controls);
    this.#parts = parts;
    this.#exchange = exchange;
    this.#handoff = handoff;
    this.#retriesLeft = pinned ? 0 : parts.retryLimit;
    this.#migrationsLeft = canContinue(exchange) ? parts.migrationLimit : 0;
  }

  /** One worker's turn; `again` if another one should have a turn. */
  async step(): Promise<'over' | 'again'> {
    const placed = await this.#place();
    if (placed === undefined) return 'over';
    const result = await this.#send(placed);
    const { instance } = placed;
    if (result.kind === 'settled') return 'over';
    if (result.kind === 'unmet') return this.#meetAgain(result.error);
    this.#excluded.add(instance.workerId);
    this.#parts.suspect(instance.workerId);
    const begun = result.kind === 'broken';
    this.#lost = begun
      ? result.error
      : fail('KV_ENGINE_UNREACHABLE', { url: instance.url, reason: result.reason });
    this.#failed(begun ? 'ongoing_request' : 'new_request', instance);
    if (!begun) {
      this.#retriesLeft--;
      if (this.#backOffs > 0 || this.#noOtherLeft) await this.#backOff();
      else this.#backOffs++;
      if (this.#handoff?.meets === true) await this.#meetAnew();
      return 'again';
    }
    this.#migrationsLeft--;
    if (await this.#prepareRest()) return 'again';
    this.#exchange.guard.fail(result.errorType);
    this.#answer?.finish(result.error);
    return 'over';
  }

  /** Nothing more can be done: tells the client, in the stream if it has begun, else by throwing on. */
  giveUp(thrown: unknown): void {
    if (this.#answer?.begun !== true) throw thrown;
    this.#exchange.guard.failWith(thrown);
    this.#answer.finish(this.#lost ?? toError(thrown));
  }

  end(): void {
    this.#handoff?.release();
    this.#migrated(this.#exchange.client.left ? 'cancelled' : 'failure');
  }

  async #meetAgain(error: KvasirError): Promise<'again'> {
    this.#lost = error;
    this.#retriesLeft--;
    this.#parts.metrics.migrated(this.#exchange.model.name, 'new_request');
    await this.#meetAnew();
    return 'again';
  }

  /**
   * Has the prompt computed by another prefill worker: where both hops run at once, the next decode worker needs one that
   * waits for it; else what was kept for this one is gone.
   */
  async #meetAnew(): Promise<void> {
    const before = this.#handoff;
    if (before === undefined || this.#exchange.client.left) return;
    before.release();
    this.#met.push(before.worker.workerId);
    this.#handoff = await prefillElsewhere(this.#parts, this.#exchange, this.#met);
    // A decode worker that meets others computes no prompts itself.
    if (before.meets && this.#handoff === undefined && this.#lost !== undefined) throw this.#lost;
  }

  /** Waits for a worker; undefined if the client left meanwhile. */
  async #place(): Promise<Placed | undefined> {
    this.#exchange.model = this.#parts.current(this.#exchange.model);
    const { model, client } = this.#exchange;
    const router = model.pool.router('decode');
    const selection =
      router &&
      (await place(this.#parts.metrics.stages, this.#exchange, router, {
        phase: this.#handsOver ? 'decode' : 'aggregated',
        excluded: this.#excluded,
        keepsCredit: this.#parts.prefillBypass.rule !== 'off',
        prompt: this.#continuation?.prompt,
      }));
    const nobody =
      selection === undefined || (selection.kind === 'refused' && selection.outcome === 'no_workers');
    if (nobody && this.#lost !== undefined && this.#retriesLeft > 0) {
      // Those that failed may be back, or others have come.
      this.#retriesLeft--;
      this.#excluded.clear();
      this.#parts.hurry();
      await this.#backOff();
      return client.left ? undefined : this.#place();
    }
    if (router === undefined || selection === undefined)
      throw this.#lost ?? fail('KV_NO_WORKERS', { model: model.name, reason: 'none is ready' });
    if (selection.kind === 'refused') throw this.#lost ?? refusalError(selection, this.#exchange, 'decode');
    const instance = model.pool.instance(selection.worker.workerId);
    if (instance !== undefined && !client.left) return { router, selection, instance };
    selection.booking?.free(client.left ? 'cancelled' : 'failed');
    // A worker that left at this very moment will not be chosen again.
    return client.left ? undefined : this.#place();
  }

  /** Whether all workers have failed the request. */
  get #noOtherLeft(): boolean {
    const { pool } = this.#exchange.model;
    return (pool.router('decode')?.fleet.size ?? 0) <= this.#excluded.size;
  }

  /** Waits before the next try, longer each time and never the same for all; shorter if the client leaves. */
  async #backOff(): Promise<void> {
    const { clock, random, retryBackOffMs } = this.#parts;
    const jitter = 1 + BACK_OFF_JITTER * (2 * random.next() - 1);
    const ms = Math.min(MAX_BACK_OFF_MS, retryBackOffMs * BACK_OFF_FACTOR ** this.#backOffs++) * jitter;
    await sleepUntil(clock, clock.nowMs() + ms, this.#exchange.client.signal).catch(() => {});
  }

  /** Whether the prompt comes from a prefill worker: what was generated since is not in it. */
  get #handsOver(): boolean {
    return this.#handoff !== undefined && this.#continuation === undefined;
  }

  #send({ router, selection, instance }: Placed): Promise<AttemptResult> {
    const exchange = this.#exchange;
    const { worker } = selection;
    const handoff = this.#handsOver ? this.#handoff : undefined;
    const decode = { ...worker, workerType: 'decode' } as const;
    exchange.collector.attribute(
      handoff === undefined ? decode : { ...handoff.worker, workerType: 'prefill' },
      decode,
    );
    const meter = new AnswerMeter({
      exchange,
      selection,
      router,
      requests: this.#parts.requestsOf('decode'),
      stages: this.#parts.metrics.stages,
      url: instance.url,
      continues: this.#continuation !== undefined,
      prefillDoneMs: handoff?.doneMs,
      nowMs: () => this.#parts.clock.nowMs(),
      onFirstTokens: () => this.#migrated('success'),
    });
    const resumable = this.#migrationsLeft > 0;
    const { body, ...strip } = engineBody(
      exchange,
      { instance, dpRank: worker.dpRank },
      this.#parts.forwarding,
      this.#continuation,
      handoff,
      resumable,
    );
    const headers = answerHeaders(exchange, selection, handoff);
    const endpoint = this.#continuation?.endpoint ?? exchange.endpoint;
    const completes = endpoint !== exchange.endpoint;
    const leg = { meter, headers, ...strip, keeps: resumable, completes };
    if (this.#answer === undefined) this.#answer = new AnswerStream(exchange, leg);
    else this.#answer.next(leg);
    return attempt(this.#parts, exchange, this.#answer, meter, {
      instance,
      path: PATHS[endpoint],
      body,
      headers:
        instance.dpSize > 1
          ? { ...exchange.headers, 'x-data-parallel-rank': String(worker.dpRank) }
          : exchange.headers,
      answerHeaders: headers,
      last: this.#retriesLeft === 0,
      resumable,
      handoff,
      remeets: this.#retriesLeft > 0,
    });
  }

  /** Readies the request for the rest of the answer; false if that cannot be asked for. */
  async #prepareRest(): Promise<boolean> {
    const { model, prompt } = this.#exchange;
    const generated = this.#answer?.generated;
    const { encoder } = model.pool;
    if (generated === undefined || encoder === undefined) return false;
    const { migrationMaxSeqLen } = this.#parts;
    if (migrationMaxSeqLen !== undefined && prompt.length + generated.tokens > migrationMaxSeqLen) {
      this.#parts.metrics.migrationTooLong(model.name);
      return false;
    }
    this.#continuation = await continueAnswer(this.#exchange, generated, encoder);
    return this.#continuation !== undefined;
  }

  #failed(type: MigrationType, { url }: WorkerInstance): void {
    const { metrics, log, clock } = this.#parts;
    metrics.migrated(this.#exchange.model.name, type);
    this.#migration ??= { type, sinceMs: clock.nowMs() };
    log.warn({ url, reason: this.#lost?.message, type }, 'engine failed a request: trying another');
  }

  #migrated(outcome: 'success' | 'failure' | 'cancelled'): void {
    if (this.#migration === undefined) return;
    const { type, sinceMs } = this.#migration;
    this.#migration = undefined;
    const { metrics, clock } = this.#parts;
    metrics.migrationEnded(this.#exchange.model.name, type, outcome, clock.nowMs() - sinceMs);
  }
}

function answerHeaders(
  { requestId }: Exchange,
  { worker, overlapBlocks }: Selection,
  handoff: Handoff | undefined,
): Record<string, string> {
  return {
    'x-request-id': requestId,
    'x-kvasir-worker-id': worker.workerId,
    'x-kvasir-dp-rank': String(worker.dpRank),
    ...(handoff && { 'x-kvasir-prefill-worker-id': handoff.worker.workerId }),
    'x-kvasir-overlap-blocks': String(Math.round(overlapBlocks)),
  };
}
