import type { BlockHasher } from '../kv/hash.ts';
import type { AnswerTokens } from './answer-tokens.ts';
import type { DecodeRun } from './decode-run.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { ForwardPass, Pass, RankEvent, RankMetrics } from './pass.ts';
import type { EngineRequest } from './prompt.ts';
import type { RemoteKv } from './remote-kv.ts';
import type { Sequence } from './sequence.ts';

/** One rank of a simulated engine, without a clock: passes are computed at their start, whole. */
export interface Scheduler {
  /** Something waits or runs; a pass may still be without effect. */
  readonly hasWork: boolean;
  /** With `holdsAtEnd` its blocks stay held when it has ended, until `releaseHeld`: another engine fetches them. */
  submit(request: EngineRequest, holdsAtEnd?: boolean): Sequence;
  releaseHeld(sequence: Sequence): void;
  /** Where prompts of other engines arrive. */
  readonly remote: RemoteKv;
  /** A prompt's KV has arrived at its reserved place: it may run from the next pass on. */
  activate(sequence: Sequence): void;
  /** A request whose prompt another engine computes; waits for a destination. */
  expect(request: EngineRequest): Sequence;
  /** Drops a request and frees its blocks; false if it is not here. */
  cancel(sequence: Sequence): boolean;
  /** Computes the pass that starts now. The result is overwritten by the next call. */
  pass(nowNs: number): Pass;
  /**
   * Computes the decode passes that start before `horizonNs` as one run, up to the next pass that does more than
   * emit a token for each running request; undefined if that is very near. Times equal those of single passes.
   */
  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined;
  metrics(): RankMetrics;
  /** Figures of the last pass; to be read before the next submission. */
  forwardPass(): ForwardPass;
  /** Drops all cached blocks and gives the events of that; undefined, and nothing done, while there is work. */
  clearCache(): readonly RankEvent[] | undefined;
  /** Needs `snapshots` among the rank's parts and KV events turned on; empty otherwise. */
  snapshot(): RankSnapshot;
}

/** What a rank is made of. */
export interface RankParts {
  readonly settings: EngineSettings;
  readonly hasher: BlockHasher;
  readonly answer: AnswerTokens;
  /** Tells the random streams of a fleet's ranks apart: worker number * dpSize + rank. */
  readonly stream: number;
  /** Keep what a snapshot needs, at the price of a map entry per held block. */
  readonly snapshots: boolean;
}

export interface RankSnapshot {
  /** Stored events of everything held, parents first; their number is `lastEventId`. */
  readonly events: readonly RankEvent[];
  /** Number of the newest event that the snapshot stands for, -1 before the first. */
  readonly lastEventId: number;
}
