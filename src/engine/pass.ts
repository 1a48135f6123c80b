import type { KvEvent, StorageTier } from '../kv/event.ts';
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
  readonly transfers: TierTransfer[];
}

/** The record of a rank's passes, with the lists that other parts of the rank fill. */
export function newPass(events: RankEvent[], transfers: TierTransfer[] = []): Pass {
  return { startNs: 0, endNs: 0, admissions: [], pressure: [], outputs: [], events, transfers };
}

/** Makes the record that of a pass which starts now; events and transfers are their owners' to clear. */
export function startPass(pass: Pass, nowNs: number): void {
  pass.startNs = nowNs;
  pass.admissions.length = 0;
  pass.pressure.length = 0;
  pass.outputs.length = 0;
}

export interface Admission {
  readonly sequence: Sequence;
  /** Prompt tokens found in the cache, those in lower tiers included. */
  readonly reusedTokens: number;
  /** Those of them that were loaded from a lower tier. */
  readonly loadedTokens: number;
}

/** KV that was copied from one storage tier to another. */
export interface TierTransfer {
  readonly from: StorageTier;
  readonly to: StorageTier;
  readonly sizeBytes: number;
  /** On the link alone, without waiting for others. */
  readonly durationNs: number;
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

/** The end of a request without a token of its own. */
export function endOutput(sequence: Sequence, rejected: boolean): Output {
  const { generated: first } = sequence;
  return { sequence, first, count: 0, completed: true, rejected, cachedTokens: undefined };
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
  /** Those of the hits that were loaded from lower tiers. */
  readonly loadedTokensTotal: number;
  /** Blocks of the tier below the device: held, and in all; 0 without one. */
  readonly hostBlocks: number;
  readonly totalHostBlocks: number;
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
