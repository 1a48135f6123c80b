import type { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import type { RouterConfig } from '../kv/config.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import type { RouterObserver } from '../kv/observer.ts';
import type { Refusal } from '../kv/select.ts';
import type { Selection } from '../kv/selection.ts';
import type { Placement } from './placement.ts';

export interface RoutedPlacementOptions {
  readonly config: RouterConfig;
  readonly engine: EngineSettings;
  readonly workers: number;
  /** The replay's own: moved with its instants. */
  readonly clock: VirtualClock;
  /** Of choices among equals. */
  readonly seed: number;
  readonly index: KvIndex;
  readonly hasher: BlockHasher;
  /** Told what the router does. */
  readonly observer?: RouterObserver | undefined;
}

/** Longer than any replay: a request of virtual time cannot get lost. */
const ENDLESS_LEASE_MS = 1e15;

/** Places requests with the router that serves real fleets, fed by the simulated engines' events. */
export function routedPlacement(options: RoutedPlacementOptions): Placement {
  const { config, engine, clock, index, hasher } = options;
  const { blockSize, dpSize } = engine;
  const router = new KvRouter({
    blockSize,
    clock,
    hasher,
    random: new SeededRandom(options.seed),
    config: { ...config, leaseMs: ENDLESS_LEASE_MS },
    index,
    observer: options.observer,
  });
  const keys = Array.from({ length: options.workers }, (_, worker) =>
    Array.from({ length: dpSize }, (_, dpRank): WorkerKey => ({ workerId: String(worker + 1), dpRank })),
  );
  for (const [worker] of keys.entries()) {
    router.addWorker({
      workerId: String(worker + 1),
      dpSize,
      totalKvBlocks: engine.numGpuBlocks,
      maxNumBatchedTokens: engine.maxNumBatchedTokens,
    });
  }
  const placed = new Map<number, { readonly selection: Selection; readonly atMs: number }>();
  const mayQueue = config.queue.classes.some(
    ({ busyThreshold, busyThresholdFrac }) => busyThreshold !== undefined || busyThresholdFrac !== undefined,
  );
  let queued = 0;
  let failure: unknown;
  return {
    place(request, prompt, { send, refuse }) {
      const take = (outcome: Selection | Refusal): void => {
        if (outcome.kind === 'refused') {
          refuse(outcome.reason);
          return;
        }
        const { worker, overlap } = outcome;
        placed.set(request.index, { selection: outcome, atMs: clock.nowMs() });
        const overlapTokens = overlap.device * blockSize;
        send({ worker: Number(worker.workerId) - 1, dpRank: worker.dpRank, overlapTokens });
      };
      const outcome = router.admit({
        requestId: String(request.index),
        hashes: prompt.hashes(hasher, blockSize),
        isl: Math.max(1, prompt.length),
        expectedOutputTokens: request.outputLength,
        controls: { sessionId: request.session.id, priority: request.priority },
        conversation: {
          prefixId: request.session.id,
          remainingCalls: request.session.turns.length - 1 - request.turn,
        },
      });
      if (!(outcome instanceof Promise)) {
        take(outcome);
        return;
      }
      queued++;
      outcome
        .then((late) => {
          queued--;
          take(late);
        })
        .catch((thrown: unknown) => {
          failure ??= thrown;
        });
    },
    get mayQueue() {
      return mayQueue;
    },
    async settled() {
      // Whatever capacity freed at this instant has been granted once all promises have run.
      if (queued > 0) await new Promise((resolve) => setImmediate(resolve));
      if (failure !== undefined) throw failure;
    },
    prefilled: ({ index: request }) => placed.get(request)?.selection.booking?.prefillComplete(),
    ended({ index, outputLength }) {
      const done = placed.get(index);
      if (done === undefined) return;
      placed.delete(index);
      done.selection.booking?.free();
      const latencyMs = clock.nowMs() - done.atMs;
      router.recordOutcome(done.selection.decision, {
        outcome: 'success',
        latencyMs,
        outputTokens: outputLength,
      });
    },
    kvEvents(worker, dpRank, events) {
      const rank = router.fleet.rankOf(keys[worker]![dpRank]!)!.id;
      for (const { event } of events) index.apply(rank, event);
    },
  };
}
