import type { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import type { RouterConfig } from '../kv/config.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import type { RouterObserver } from '../kv/observer.ts';
import type { Replica } from '../kv/replica/replica.ts';

/** Several routers in front of the same workers, as several frontends are. */
export interface RouterGroupSpec {
  readonly routers: number;
  /** Whether they share their bookings. */
  readonly replicaSync: boolean;
  /** How long a message from router to router takes, in ms. */
  readonly replicaDelayMs: number;
}

export const ONE_ROUTER: RouterGroupSpec = { routers: 1, replicaSync: false, replicaDelayMs: 0 };

export interface RouterGroupOptions {
  readonly group: RouterGroupSpec;
  readonly config: RouterConfig;
  readonly engine: EngineSettings;
  readonly workers: number;
  /** The replay's own: moved with its instants. */
  readonly clock: VirtualClock;
  /** Of choices among equals. */
  readonly seed: number;
  readonly makeIndex: () => KvIndex;
  readonly hasher: BlockHasher;
  /** Told what the routers do. */
  readonly observer?: RouterObserver | undefined;
}

/** A router with the index that it reads, which is fed directly. */
export interface GroupedRouter {
  readonly router: KvRouter;
  readonly index: KvIndex;
}

/** Longer than any replay: a request of virtual time cannot get lost. */
const ENDLESS_LEASE_MS = 1e15;

/** Makes the routers of a replay, numbered workers `1..n` in each, connected if they share bookings. */
export function makeRouterGroup(options: RouterGroupOptions): readonly GroupedRouter[] {
  const { group, clock } = options;
  const members = Array.from({ length: group.routers }, (_, i) => makeRouter(options, i));
  if (!group.replicaSync || members.length === 1) return members;
  const replicas: Replica[] = [];
  for (const [self, { router }] of members.entries()) {
    const replica = router.shareBookings({
      router: String(self),
      send: (message, to) => {
        clock.at(clock.nowMs() + group.replicaDelayMs, () => {
          for (const [other, each] of replicas.entries())
            if (other !== self && (to === undefined || to === String(other))) each.receive(message);
        });
        return true;
      },
    });
    replicas.push(replica);
  }
  return members;
}

function makeRouter(options: RouterGroupOptions, stream: number): GroupedRouter {
  const { config, engine, workers, clock, hasher, seed, observer, makeIndex } = options;
  const { blockSize, dpSize } = engine;
  const index = makeIndex();
  const router = new KvRouter({
    blockSize,
    clock,
    hasher,
    random: new SeededRandom(seed, stream),
    config: { ...config, leaseMs: ENDLESS_LEASE_MS },
    index,
    observer,
  });
  for (let worker = 1; worker <= workers; worker++) {
    router.addWorker({
      workerId: String(worker),
      dpSize,
      totalKvBlocks: engine.numGpuBlocks,
      maxNumBatchedTokens: engine.maxNumBatchedTokens,
    });
  }
  return { router, index };
}
