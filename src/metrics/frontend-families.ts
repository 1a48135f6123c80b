import { FRONTEND } from './names/frontend.ts';
import { FRONTEND_OWN } from './names/kvasir.ts';
import type { Registry } from './registry.ts';
import { withFrontendPrefix } from './sanitise.ts';
import type { FamilySpec } from './spec.ts';

export type FrontendFamilies = ReturnType<typeof frontendFamilies>;

/** Registers the HTTP service's own families under a prefix. */
export function frontendFamilies(service: Registry, prefix: string) {
  const named = <S extends FamilySpec>(spec: S): S => ({
    ...spec,
    name: withFrontendPrefix(spec.name, prefix),
  });
  return {
    requests: service.counter(named(FRONTEND.requestsTotal)),
    started: service.counter(named(FRONTEND.requestsStartedTotal)),
    inflight: service.gauge(named(FRONTEND.inflightRequests)),
    active: service.gauge(named(FRONTEND.activeRequests)),
    queued: service.gauge(named(FRONTEND.queuedRequests)),
    disconnected: service.gauge(named(FRONTEND.disconnectedClients)),
    duration: service.histogram(named(FRONTEND.requestDurationSeconds)),
    inputTokens: service.histogram(named(FRONTEND.inputSequenceTokens)),
    outputSequence: service.histogram(named(FRONTEND.outputSequenceTokens)),
    cachedTokens: service.histogram(named(FRONTEND.cachedTokens)),
    tokenizerLatency: service.histogram(named(FRONTEND.tokenizerLatencyMs)),
    outputTokens: service.counter(named(FRONTEND.outputTokensTotal)),
    ttft: service.histogram(named(FRONTEND.timeToFirstTokenSeconds)),
    itl: service.histogram(named(FRONTEND.interTokenLatencySeconds)),
    embeddingLatency: service.histogram(named(FRONTEND.embeddingLatencySeconds)),
    totalKvBlocks: service.gauge(named(FRONTEND.modelTotalKvBlocks)),
    maxNumSeqs: service.gauge(named(FRONTEND.modelMaxNumSeqs)),
    maxNumBatchedTokens: service.gauge(named(FRONTEND.modelMaxNumBatchedTokens)),
    contextLength: service.gauge(named(FRONTEND.modelContextLength)),
    kvCacheBlockSize: service.gauge(named(FRONTEND.modelKvCacheBlockSize)),
    migrationLimit: service.gauge(named(FRONTEND.modelMigrationLimit)),
    migrations: service.counter(named(FRONTEND.modelMigrationTotal)),
    migrationDuration: service.histogram(named(FRONTEND.modelMigrationDurationSeconds)),
    migrationTooLong: service.counter(named(FRONTEND.modelMigrationMaxSeqLenExceededTotal)),
    cancellations: service.counter(named(FRONTEND.modelCancellationTotal)),
    rejections: service.counter(named(FRONTEND.modelRejectionTotal)),
    disconnects: service.counter(FRONTEND_OWN.disconnectsTotal),
    modelOverflow: service.counter(FRONTEND_OWN.modelOverflowTotal),
    limited: service.counter(FRONTEND_OWN.limitedTotal),
    prefillBypassed: service.counter(FRONTEND_OWN.prefillBypassedTotal),
    agentHints: service.counter(FRONTEND_OWN.agentHintsTotal),
    chunkGap: service.histogram(FRONTEND_OWN.chunkGapSeconds),
  };
}
