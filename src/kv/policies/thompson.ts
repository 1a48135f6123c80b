import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { CandidateTable } from './candidate-table.ts';
import { kvCosts } from './kv-cost.ts';
import type { Policy, PolicyRequest } from './policy.ts';
import { type BanditRequest, ThompsonBandit } from './thompson-bandit.ts';
import { randomDraws } from './thompson-draws.ts';
import { interarrivalLevel, outputLevel } from './thompson-levels.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';
import type { WorkerView } from './thompson-scores.ts';
import { banditState, restoreBandit } from './thompson-state.ts';

export interface ThompsonParts {
  readonly blockSize: number;
  readonly random: Random;
  /** Absent: time stands still, so that nothing expires. */
  readonly clock?: Clock | undefined;
}

// How many requests fill a worker, where it does not tell (the reference's guess).
const FULL_AT_REQUESTS = 20;

/** Learns from how requests went which worker suits which; costs it writes are negative scores. */
export function thompsonPolicy(name: string, parameters: ThompsonParameters, parts: ThompsonParts): Policy {
  const { blockSize, clock, random } = parts;
  const bandit = new ThompsonBandit(parameters, randomDraws(random));
  const nowS = (): number => (clock?.nowMs() ?? 0) / 1000;
  const names = new Map<number, string>();
  const nameOf = (rank: number): string => names.get(rank) ?? `#${rank}`;
  return {
    name,
    reads: 'overlap',
    choose(request, table, costs, probabilities, decision) {
      kvCosts(request.isl, blockSize, request.weights, table, costs);
      const views = viewsOf(request, table, costs, blockSize, nameOf);
      const choice = bandit.choose(banditRequest(request, decision), views, nowS());
      for (let i = 0; i < table.count; i++) costs[i] = -choice.scores[i]!;
      probabilities.set(choice.probabilities);
      return choice.row;
    },
    rankAdded(rank, worker) {
      names.set(rank, worker);
      bandit.beliefs.return(worker, nowS());
    },
    rankRemoved(rank) {
      // What is believed of a named worker waits for its return; the id may become another's.
      bandit.retire(nameOf(rank), names.has(rank), nowS());
      names.delete(rank);
    },
    learn({ decision, outcome, latencyMs, outputTokens }) {
      if (outcome !== 'cancelled')
        return bandit.learn(decision, { success: outcome === 'success', latencyMs, outputTokens });
      bandit.cancel(decision);
      return undefined;
    },
    state: (wallMs) => banditState(bandit, nowS(), wallMs),
    restore(state, wallMs) {
      restoreBandit(bandit, state, nowS(), wallMs);
      for (const worker of names.values()) bandit.beliefs.return(worker, nowS());
    },
  };
}

function viewsOf(
  { isl }: PolicyRequest,
  table: CandidateTable,
  costs: Float64Array,
  blockSize: number,
  nameOf: (rank: number) => string,
): readonly WorkerView[] {
  return Array.from({ length: table.count }, (_, row) => ({
    worker: nameOf(table.rank[row]!),
    gpu: Math.min(1, table.activeRequests[row]! / FULL_AT_REQUESTS),
    queue: table.activeRequests[row]!,
    overlap: Math.min(1, table.cachedTokens[row]! / isl),
    work: Math.max(0, costs[row]!) * blockSize,
    load: {
      prefillTokens: table.prefillTokens[row]! + Math.max(0, isl - table.cachedTokens[row]!),
      decodeBlocks: table.activeBlocks[row]! + table.additionalBlocks[row]!,
    },
  }));
}

function banditRequest(
  { isl, conversation, expectedOutputTokens, queryOnly }: PolicyRequest,
  decision: number,
): BanditRequest {
  return {
    decision,
    tokens: isl,
    prefixId: conversation?.prefixId,
    reuse: conversation?.remainingCalls ?? 0,
    osl: outputLevel(expectedOutputTokens),
    iat: interarrivalLevel(conversation?.interarrivalMs),
    iatMs: conversation?.interarrivalMs,
    queryOnly,
  };
}
