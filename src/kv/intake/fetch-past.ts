import type { Clock } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import type { EventSource, SequencedBatch, Snapshot } from './event-source.ts';

/** What a source told of the past of its stream. */
export type Past =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | {
      readonly kind: 'replay';
      readonly batches: readonly SequencedBatch[];
      /** False: it broke off, and there is more to ask for. */
      readonly ended: boolean;
    };

export interface PastRequest {
  readonly clock: Clock;
  readonly source: EventSource;
  /**
   * First batch wanted; 0 for everything. A replay begins with the one before, which is known already: if it is
   * not the same any more, the engine has restarted.
   */
  readonly fromSeq: number;
  /** Number of the oldest live batch that waits for them; undefined when none does. */
  readonly oldestLive: () => number | undefined;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 30_000;

/**
 * Everything from a number on: a snapshot when all is wanted, else a replay; the other way when the first fails, or
 * when the replay no longer reaches back so far. Rejects when nothing answers, and after 30 s each.
 */
export async function fetchPast(request: PastRequest): Promise<Past> {
  const { source, fromSeq } = request;
  if (source.snapshot === undefined) return replay(request);
  if (source.replay === undefined) return snapshot(request);
  if (fromSeq === 0) return snapshot(request).catch(() => replay(request));
  const past = await replay(request).catch(() => undefined);
  if (past !== undefined && reaches(past.batches, request)) return past;
  return snapshot(request).catch((reason: unknown) => {
    if (past === undefined) throw reason;
    return past;
  });
}

async function snapshot(request: PastRequest): Promise<Past> {
  const told = await withTimeout(request, (signal) => request.source.snapshot!(signal));
  return { kind: 'snapshot', snapshot: told };
}

type Replay = Past & { readonly kind: 'replay' };

async function replay(request: PastRequest): Promise<Replay> {
  const { source, fromSeq } = request;
  const batches: SequencedBatch[] = [];
  const take = (batch: SequencedBatch): void => void batches.push(batch);
  const askFrom = Math.max(0, fromSeq - 1);
  const ended = await withTimeout(request, (signal) => source.replay!(askFrom, take, signal));
  batches.sort((a, b) => a.seq - b.seq);
  return { kind: 'replay', batches, ended };
}

/** Whether a replay has the first batch wanted; one without any does when no live batch says otherwise. */
export function reaches(
  batches: readonly SequencedBatch[],
  { fromSeq, oldestLive }: Pick<PastRequest, 'fromSeq' | 'oldestLive'>,
): boolean {
  const first = batches.find(({ seq }) => seq >= fromSeq)?.seq ?? oldestLive() ?? fromSeq;
  return first <= fromSeq;
}

function withTimeout<T>(
  { clock, signal: outer }: PastRequest,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    if (outer.aborted) return reject(outer.reason);
    const end = (reason: unknown): void => {
      controller.abort(reason);
      settle(() => reject(reason));
    };
    const onAbort = (): void => end(outer.reason);
    const cancel = clock.at(clock.nowMs() + TIMEOUT_MS, () =>
      end(fail('KV_EVENTS_SILENT', { ms: TIMEOUT_MS })),
    );
    const settle = (how: () => void): void => {
      cancel();
      outer.removeEventListener('abort', onAbort);
      how();
    };
    outer.addEventListener('abort', onAbort, { once: true });
    work(controller.signal).then(
      (value) => settle(() => resolve(value)),
      (reason) => settle(() => reject(reason)),
    );
  });
}
