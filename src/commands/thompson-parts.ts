import { type Clock, RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { int, list, text } from '../base/settings.ts';
import { CircuitBreakers } from '../frontend/circuit-breakers.ts';
import type { DirectoryObserver, ModelDirectory } from '../frontend/model-directory.ts';
import { BlockHasher } from '../kv/hash.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { RouterService, type RouterServiceParts } from '../thompson/router-service.ts';
import type { Discovery } from '../transport/discovery.ts';
import { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';
import { HttpClient } from '../transport/http-client.ts';

/** Flags that both halves of the Thompson pair have. */
export const THOMPSON_SETTINGS = {
  engine: list({ placeholder: 'SPEC', separator: ' ', help: 'workers, as kvasir frontend takes them' }),
  host: text({ default: '127.0.0.1', placeholder: 'ADDRESS', help: 'address to listen on' }),
  namespace: text({ default: 'dynamo', env: 'DYN_NAMESPACE', help: 'namespace of the workers' }),
  kvCacheBlockSize: int({
    min: 1,
    env: 'DYNAMO_KV_BLOCK_SIZE',
    help: 'tokens per KV block of engines that do not tell theirs; 16',
  }),
  ...DISCOVERY_SETTINGS,
};

const DEFAULT_BLOCK_SIZE = 16;

/** A directory whose models and workers nobody counts. */
const UNWATCHED: DirectoryObserver = {
  workers: { add: () => {}, remove: () => {} },
  addModel: () => {},
  removeModel: () => {},
};

/** What both halves own; `name` tells one from another at the same host, such as its port. */
export function openThompson(host: string, name: number, log: Log) {
  const clock = new RealClock();
  const instanceId = new BlockHasher().hashText(`${host}:${name}/${clock.wallMs()}`, 0n);
  return {
    clock,
    client: new HttpClient(),
    metrics: new ProcessMetrics({ clock, log, version: 'current', instanceId }),
  };
}

/** How both halves keep the models and workers that a plane finds. */
export function thompsonDirectory(
  discovery: Discovery,
  clock: Clock,
  log: Log,
  blockSize: number | undefined,
) {
  return {
    log,
    discovery,
    metrics: UNWATCHED,
    minInitialWorkers: 0,
    makeCircuits: () => untrippedCircuits(clock),
    wallMs: () => clock.wallMs(),
    defaultBlockSize: blockSize ?? DEFAULT_BLOCK_SIZE,
  };
}

/** `/find_worker` and `/feedback` for the models and workers of a directory. */
export function routerService(
  directory: ModelDirectory,
  parts: Pick<RouterServiceParts, 'clock' | 'watch' | 'feedbackTimeoutMs'>,
): RouterService {
  return new RouterService({
    ...parts,
    models: () => directory.pools().map(({ model }) => model),
    routerOf: (model) =>
      directory
        .models()
        .find(({ name }) => name === model)
        ?.pool.router('decode'),
  });
}

export function noWorkers(model: string): Error {
  return fail('KV_NO_WORKERS', { model, reason: 'none is ready' });
}

/** Breakers that nobody tells of failures: the pair learns of them, or asks for the next worker in turn. */
function untrippedCircuits(clock: Clock): CircuitBreakers {
  return new CircuitBreakers(clock, { failures: 0, windowMs: 0, openMs: 0, successes: 1 });
}
