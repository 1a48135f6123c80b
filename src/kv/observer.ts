import type { Decision } from './decision-log.ts';
import type { KvEvent, WorkerKey } from './event.ts';
import type { StreamState } from './intake/event-stream.ts';
import type { Lesson, RequestOutcome } from './policies/policy.ts';
import type { LoadChange } from './sequences/active-sequences.ts';

/**
 * Where one routing decision spent its time, in milliseconds, in the arithmetic of 1.0.2: each phase is the
 * elapsed time at its end less that at the end of the one before, never below 0.
 */
export interface PhaseTimings {
  readonly blockHashingMs: number;
  readonly indexerFindMatchesMs: number;
  readonly seqHashingMs: number;
  readonly schedulingMs: number;
  readonly totalMs: number;
}

/** What a routed request looked like. */
export interface RoutedFacts {
  readonly worker: WorkerKey;
  readonly isl: number;
  /** Blocks of the prompt, the partial one included. */
  readonly promptBlocks: number;
  /** Cached blocks on the chosen rank, weighted by tier. */
  readonly overlapBlocks: number;
  readonly queryOnly: boolean;
}

/** How far off a prediction of cached tokens was, once the engine has told. */
interface PredictionError {
  readonly worker: WorkerKey;
  readonly predictedTokens: number;
  readonly actualTokens: number;
  readonly isl: number;
  /** Running mean of the errors of the rank, this one included; 0 for a rank that left. */
  readonly biasTokens: number;
}

/** Requests waiting in one class. */
export interface QueueDepth {
  readonly policyClass: string;
  readonly requests: number;
  readonly islTokens: number;
  readonly cachedTokens: number;
}

/** Told what the router does, for metrics; every method is optional and must return quickly. */
export interface RouterObserver {
  /** After every successful selection, queries included. */
  phases?(timings: PhaseTimings): void;
  routed?(facts: RoutedFacts): void;
  /** A request was placed; not told of mere questions. Its candidates can be explained only now. */
  decided?(decision: Decision): void;
  /** How it went, and what the policy made of it, if it learns. */
  settled?(decision: Decision, outcome: RequestOutcome, lesson: Lesson | undefined): void;
  /** The router's own bookkeeping of a rank changed. */
  loadChanged?(
    worker: WorkerKey,
    activeDecodeBlocks: number,
    activePrefillTokens: number,
    cause: LoadChange,
  ): void;
  /** A prompt is taken to be cached where it went, for a time; its hashes can be read only now. */
  routeRemembered?(worker: WorkerKey, sequence: BigUint64Array, ttlMs: number): void;
  workerRegistered?(worker: WorkerKey): void;
  workerRemoved?(worker: WorkerKey): void;
  eventApplied?(worker: WorkerKey, kind: KvEvent['kind'], status: string, durationMs: number): void;
  eventWarning?(worker: WorkerKey, warning: string): void;
  /** An engine's event was not indexed. */
  eventRejected?(worker: WorkerKey, reason: string): void;
  /** How far the index can be trusted for a rank. */
  intakeChanged?(worker: WorkerKey, state: StreamState, reason: string): void;
  /** Batches of events were lost for good. */
  eventsMissed?(worker: WorkerKey, count: number): void;
  queueChanged?(depth: QueueDepth): void;
  /** A request that waited in the queue was placed or refused after so long, or its caller left. */
  waited?(policyClass: string, waitMs: number, end: 'placed' | 'left'): void;
  backpressure?(policyClass: string, reason: string): void;
  predictionError?(error: PredictionError): void;
  /** The router has stopped and tells nothing more. */
  stopped?(): void;
  /** A request whose lease ran out was freed. */
  leaseExpired?(requestId: string): void;
}

/** Timings from the clock's readings at the start and at the end of each phase. */
export function phaseTimings(
  startMs: number,
  hashedMs: number,
  matchedMs: number,
  trackedMs: number,
  endMs: number,
): PhaseTimings {
  return {
    blockHashingMs: Math.max(0, hashedMs - startMs),
    indexerFindMatchesMs: Math.max(0, matchedMs - hashedMs),
    seqHashingMs: Math.max(0, trackedMs - matchedMs),
    schedulingMs: Math.max(0, endMs - trackedMs),
    totalMs: Math.max(0, endMs - startMs),
  };
}

/** Tells several observers of the same router. */
export function joinObservers(...observers: readonly RouterObserver[]): RouterObserver {
  const joined: Record<string, (...told: unknown[]) => void> = {};
  for (const observer of observers)
    for (const [name, tell] of Object.entries(observer)) {
      const before = joined[name];
      joined[name] =
        before === undefined
          ? tell
          : (...told) => {
              before(...told);
              tell(...told);
            };
    }
  return joined as RouterObserver;
}
