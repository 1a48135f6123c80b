import type { CandidateExplanation } from '../../kv/decision-log.ts';

/** What one rank holds of a prompt, in blocks; lower tiers count what lies above them, extensions do not. */
export interface OverlapRow {
  readonly worker_id: bigint;
  readonly dp_rank: number;
  readonly device_blocks: number;
  readonly host_pinned_blocks: number;
  readonly disk_blocks: number;
  readonly host_pinned_extension_blocks: number;
  readonly disk_extension_blocks: number;
  readonly shared_beyond_device_blocks: null;
  /** What the router's cost takes off for it: tiers, backlog decay and the request's overrides weighed in. */
  readonly router_credit_blocks: number;
}

export function overlapRow(row: CandidateExplanation): OverlapRow {
  const { deviceBlocks, hostPinnedBlocks, creditBlocks = 0 } = row;
  const disk = row.diskBlocks + row.externalBlocks;
  return {
    worker_id: BigInt(row.worker.workerId),
    dp_rank: row.worker.dpRank,
    device_blocks: deviceBlocks,
    host_pinned_blocks: deviceBlocks + hostPinnedBlocks,
    disk_blocks: deviceBlocks + hostPinnedBlocks + disk,
    host_pinned_extension_blocks: hostPinnedBlocks,
    disk_extension_blocks: disk,
    shared_beyond_device_blocks: null,
    router_credit_blocks: creditBlocks,
  };
}
