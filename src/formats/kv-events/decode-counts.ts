/** Why an event of a readable batch was not delivered. */
export const REJECT_REASONS = [
  /** A field has a type that no version of any engine gives it, or a required one is missing. */
  'malformed',
  'unknown_tag',
  /** The producer marked it `Ignored`. */
  'ignored',
  /** More tokens than its blocks hold: nobody can tell which are whose. */
  'token_count_mismatch',
  'duplicate_hash',
  'hash_equals_parent',
] as const;

export type RejectReason = (typeof REJECT_REASONS)[number];

/** What a decoder has met since it was made; every number only grows. */
export interface DecodeCounts {
  batches: number;
  /** Payloads that are no batch at all. */
  malformedBatches: number;
  /** Batches that ended inside an event: what came before it was delivered. */
  truncatedBatches: number;
  stored: number;
  removed: number;
  cleared: number;
  readonly rejected: Record<RejectReason, number>;
}

export function emptyDecodeCounts(): DecodeCounts {
  const rejected = Object.fromEntries(REJECT_REASONS.map((reason) => [reason, 0]));
  return {
    batches: 0,
    malformedBatches: 0,
    truncatedBatches: 0,
    stored: 0,
    removed: 0,
    cleared: 0,
    rejected: rejected as Record<RejectReason, number>,
  };
}
