import type { RouterObserver } from '../kv/observer.ts';
import type { FrontendMetrics } from '../metrics/frontend-metrics.ts';
import type { RouterOverheadMetrics } from '../metrics/router-overhead-metrics.ts';
import type { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { Hop } from './worker-pool.ts';

export interface RouterInstruments {
  readonly frontend: FrontendMetrics;
  readonly overhead: RouterOverheadMetrics;
  readonly requests: RouterRequestMetrics;
  readonly blockSize: number;
  readonly hop: Hop;
}

/** Carries what a router tells to the metrics that show it. */
export function observeRouter(instruments: RouterInstruments): RouterObserver {
  const { frontend, overhead, requests, blockSize, hop } = instruments;
  return {
    phases: ({ blockHashingMs, indexerFindMatchesMs, seqHashingMs, totalMs }) => {
      const foundMs = blockHashingMs + indexerFindMatchesMs;
      overhead.observe(blockHashingMs, foundMs, foundMs + seqHashingMs, totalMs);
    },
    routed: ({ isl, overlapBlocks }) => requests.routed(isl, blockSize, overlapBlocks),
    loadChanged: (worker, activeDecodeBlocks, activePrefillTokens) =>
      frontend.workers
        .worker({ ...worker, workerType: hop })
        .setLoad(activeDecodeBlocks, activePrefillTokens),
    predictionError: ({ isl, predictedTokens, actualTokens }) =>
      requests.predicted(isl, predictedTokens, actualTokens),
  };
}
