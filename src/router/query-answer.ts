import type { CandidateExplanation } from '../kv/decision-log.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouteRequest } from '../kv/route-request.ts';
import { type TierTokens, tierTokens } from './index-partition.ts';

/** Overlaps of a prompt with what every rank holds, in tokens. */
export interface QueryAnswer {
  /** By worker and rank, on the device. */
  readonly scores: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Kept for callers that read it; always empty. */
  readonly frequencies: readonly number[];
  readonly instances: Readonly<Record<string, TierTokens>>;
}

export type QueriedPrompt = Pick<RouteRequest, 'tokens' | 'hashes' | 'isl' | 'namespace'>;

/** What the workers of some routers hold of a prompt, given as tokens or as hashes. */
export function answerQuery(routers: readonly KvRouter[], prompt: QueriedPrompt): QueryAnswer {
  const instances = Object.assign({}, ...routers.map((router) => heldBy(router, prompt)));
  const entries = Object.entries<TierTokens>(instances);
  return { scores: Object.fromEntries(entries.map(([id, { dp }]) => [id, dp])), frequencies: [], instances };
}

function heldBy(router: KvRouter, prompt: QueriedPrompt): Record<string, TierTokens> {
  const asked = (prompt.isl ?? prompt.tokens?.length ?? 0) > 0;
  const rows = asked ? router.inspect({ requestId: 'query', queryOnly: true, ...prompt }) : [];
  const byWorker = new Map<string, CandidateExplanation[]>();
  for (const row of 'kind' in rows ? [] : rows) {
    const ranks = byWorker.get(row.worker.workerId) ?? [];
    byWorker.set(row.worker.workerId, [...ranks, row]);
  }
  return Object.fromEntries(
    [...byWorker].map(([workerId, ranks]) => [workerId, tierTokens(ranks, router.blockSize)]),
  );
}
