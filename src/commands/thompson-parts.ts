import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { int, list, text } from '../base/settings.ts';
import { CircuitBreakers } from '../frontend/circuit-breakers.ts';
import type { DirectoryObserver } from '../frontend/model-directory.ts';
import { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';

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

/** A directory whose models and workers nobody counts. */
export const UNWATCHED: DirectoryObserver = {
  workers: { add: () => {}, remove: () => {} },
  addModel: () => {},
  removeModel: () => {},
};

export const DEFAULT_BLOCK_SIZE = 16;

export function noWorkers(model: string): Error {
  return fail('KV_NO_WORKERS', { model, reason: 'none is ready' });
}

/** Breakers that nobody tells of failures: the pair learns of them, or asks for the next worker in turn. */
export function untrippedCircuits(clock: Clock): CircuitBreakers {
  return new CircuitBreakers(clock, { failures: 0, windowMs: 0, openMs: 0, successes: 1 });
}
