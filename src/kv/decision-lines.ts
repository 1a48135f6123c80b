import { type Decision, explain } from './decision-log.ts';
import type { RouterObserver } from './observer.ts';
import type { RequestOutcome } from './policies/policy.ts';

/**
 * A decision as a line of JSON, without the line feed: all that its policy saw of the candidates, column by column,
 * and with which probability it would have taken each. Holds nothing of the prompt. `router` tells routers of one
 * file apart.
 */
export function decisionLine(router: string, blockSize: number, decision: Decision): string {
  const candidates = explain(decision);
  const column = (pick: (candidate: (typeof candidates)[number]) => unknown): readonly unknown[] =>
    candidates.map((candidate) => pick(candidate) ?? null);
  return JSON.stringify({
    kind: 'decision',
    router,
    number: decision.number,
    at_ms: Math.round(decision.atWallMs),
    request_id: decision.requestId,
    policy: decision.policy,
    pinned_by: decision.pinnedBy ?? null,
    block_size: blockSize,
    isl: decision.isl,
    expected_output_tokens: decision.expectedOutputTokens ?? null,
    chosen: candidates.findIndex(({ chosen }) => chosen),
    candidates: {
      worker: column(({ worker }) => `${worker.workerId}/${worker.dpRank}`),
      probability: column(({ probability }) => probability),
      cost: column(({ cost }) => cost),
      device_blocks: column(({ deviceBlocks }) => deviceBlocks),
      host_pinned_blocks: column(({ hostPinnedBlocks }) => hostPinnedBlocks),
      disk_blocks: column(({ diskBlocks }) => diskBlocks),
      external_blocks: column(({ externalBlocks }) => externalBlocks),
      cached_tokens: column(({ cachedTokens }) => cachedTokens),
      prefill_tokens: column(({ prefillTokens }) => prefillTokens),
      active_blocks: column(({ activeBlocks }) => activeBlocks),
      additional_blocks: column(({ additionalBlocks }) => additionalBlocks),
      active_requests: column(({ activeRequests }) => activeRequests),
    },
  });
}

/** What came of it, as a line of its own. */
export function outcomeLine(router: string, number: number, outcome: RequestOutcome): string {
  const { latencyMs, outputTokens } = outcome;
  return JSON.stringify({
    kind: 'outcome',
    router,
    number,
    outcome: outcome.outcome,
    latency_ms: Math.round(latencyMs * 1000) / 1000,
    output_tokens: outputTokens,
  });
}

/** Hands on what a router does as lines. */
export function decisionObserver(
  router: string,
  blockSize: number,
  write: (line: string) => void,
): RouterObserver {
  return {
    decided: (decision) => write(decisionLine(router, blockSize, decision)),
    settled: ({ number }, outcome) => write(outcomeLine(router, number, outcome)),
  };
}
