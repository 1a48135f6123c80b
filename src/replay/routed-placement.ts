import type { WorkerKey } from '../kv/event.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Refusal } from '../kv/select.ts';
import type { Selection } from '../kv/selection.ts';
import type { Placement } from './placement.ts';
import { makeRouterGroup, type RouterGroupOptions } from './router-group.ts';

interface Placed {
  readonly router: KvRouter;
  readonly selection: Selection;
  readonly atMs: number;
}

/** Places requests with the router that serves real fleets, fed by the simulated engines' events; of several, in turn. */
export function routedPlacement(options: RouterGroupOptions): Placement {
  const { config, engine, clock, hasher, group } = options;
  const { blockSize, dpSize } = engine;
  const members = makeRouterGroup(options);
  const keys = Array.from({ length: options.workers }, (_, worker) =>
    Array.from({ length: dpSize }, (_, dpRank): WorkerKey => ({ workerId: String(worker + 1), dpRank })),
  );
  const placed = new Map<number, Placed>();
  // What routers tell each other must be told at its instant, so workers must not run ahead then either.
  const mayQueue =
    (group.replicaSync && group.routers > 1) ||
    config.queue.classes.some(
      ({ busyThreshold, busyThresholdFrac }) =>
        busyThreshold !== undefined || busyThresholdFrac !== undefined,
    );
  let turn = 0;
  let queued = 0;
  let failure: unknown;
  return {
    place(request, prompt, { send, refuse }) {
      const { router } = members[turn++ % members.length]!;
      const take = (outcome: Selection | Refusal): void => {
        if (outcome.kind === 'refused') {
          refuse(outcome.reason);
          return;
        }
        const { worker, overlap } = outcome;
        placed.set(request.index, { router, selection: outcome, atMs: clock.nowMs() });
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
      done.router.recordOutcome(done.selection.decision, {
        outcome: 'success',
        latencyMs,
        outputTokens: outputLength,
      });
    },
    kvEvents(worker, dpRank, events) {
      for (const { router, index } of members) {
        const rank = router.fleet.rankOf(keys[worker]![dpRank]!)!.id;
        for (const { event } of events) index.apply(rank, event);
      }
    },
  };
}
