import type { KvEvent } from '../kv/event.ts';
import type { PromptNamespace } from '../kv/hash.ts';
import type { Sequence } from './sequence.ts';

/**
 * What one pass of one rank did. Admissions and pressure hold at its start, the rest at its end.
 * The object is the rank's own and is overwritten by its next pass.
 */
export interface Pass {
  startNs: number;
  endNs: number;
  readonly admissions: Admission[];
  readonly pressure: PressureRecord[];
  readonly outputs: Output[];
  readonly events: RankEvent[];
}

export interface Admission {
  readonly sequence: Sequence;
  /** Prompt tokens found in the cache. */
  readonly reusedTokens: number;
}

/** What a request received at the end of a pass: `count` tokens of one time stamp, none if rejected. */
export interface Output {
  readonly sequence: Sequence;
  /** Position of the first of the tokens in the answer. */
  readonly first: number;
  readonly count: number;
  readonly completed: boolean;
  readonly rejected: boolean;
  /** On the first output of a request only: prompt tokens reused at its first admission. */
  readonly cachedTokens: number | undefined;
}

/** A cache change with its number on this rank, counted from 0 without gaps. */
export interface RankEvent {
  readonly id: number;
  readonly event: KvEvent;
  /** Tokens of all stored blocks in order, where the engine is set to tell them. */
  readonly tokenIds: Uint32Array | undefined;
  /** Of the request that filled the blocks, where it has one. */
  readonly namespace?: PromptNamespace | undefined;
}

/** A running request lost its blocks because the pool was exhausted. */
export interface PressureRecord {
  readonly kind: 'vllm_preemption' | 'sglang_retraction';
  readonly sequence: Sequence;
  readonly before: PressureState;
  readonly after: PressureState;
  readonly requestActiveBlocksBefore: number;
  readonly logicalAvailableBlocksBefore: number;
  readonly requiredBlocksBefore: number;
}

export interface PressureState {
  readonly runningRequests: number;
  /** Not told by sglang. */
  readonly waitingRequests: number | undefined;
  readonly activeBlocks: number;
}

/** State of a rank after a pass. used + cached + free = total. */
export interface RankMetrics {
  /** As the imitated engine reports it: sglang counts evictable cache, vllm does not. */
  readonly activeBlocks: number;
  readonly totalBlocks: number;
  readonly runningRequests: number;
  readonly waitingRequests: number;
  readonly preemptionsTotal: number;
  /** Blocks that running requests hold, reservations included. */
  readonly usedBlocks: number;
  /** Blocks held only for reuse. */
  readonly cachedBlocks: number;
  readonly freeBlocks: number;
  /** Prompt tokens of all admissions so far, and those of them found in the cache. */
  readonly queriedTokensTotal: number;
  readonly hitTokensTotal: number;
  /** Hits and lookups of the last pass (sglang). */
  readonly passHitTokens: number;
  readonly passQueriedTokens: number;
}

/** Forward-pass metrics, as the planner reads them; queue figures are those after the pass. */
export interface ForwardPass {
  readonly numPrefillRequests: number;
  readonly sumPrefillTokens: number;
  readonly varPrefillLength: number;
  readonly sumPrefillKvTokens: number;
  readonly numDecodeRequests: number;
  readonly sumDecodeKvTokens: number;
  readonly varDecodeKvTokens: number;
  readonly numQueuedPrefill: number;
  readonly sumQueuedPrefillTokens: number;
  readonly varQueuedPrefillLength: number;
  readonly numQueuedDecode: number;
  readonly sumQueuedDecodeKvTokens: number;
  readonly varQueuedDecodeKvTokens: number;
  readonly durationMs: number;
}
