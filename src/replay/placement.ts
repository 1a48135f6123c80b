import type { RankEvent } from '../engine/pass.ts';
import type { Prompt } from '../engine/prompt.ts';
import type { WorkloadRequest } from './workload.ts';

/** Where a request goes. */
export interface Target {
  /** Number of the worker in its pool. */
  readonly worker: number;
  readonly dpRank: number;
  /** Prompt tokens expected to be cached there. */
  readonly overlapTokens: number;
}

export interface Decided {
  send(target: Target): void;
  /** No worker may take it, and it does not wait. */
  refuse(reason: string): void;
}

/** Chooses a worker for each request of one pool, and is told what happens to it. */
export interface Placement {
  /** Calls back once, now or at a later instant of the replay. */
  place(request: WorkloadRequest, prompt: Prompt, decided: Decided): void;
  /** The first token came out: the prompt is computed. */
  prefilled(request: WorkloadRequest): void;
  /** The request ended, in whatever way. */
  ended(request: WorkloadRequest): void;
  kvEvents(worker: number, dpRank: number, events: readonly RankEvent[]): void;
  /** Whether anything but an arrival can make it send a request: then workers must not run ahead. */
  readonly mayQueue: boolean;
  /** Resolves when all that can be sent at this instant has been; asked only of one that may queue. */
  settled(): Promise<void>;
}

/** Workers in turn; ranks in turn once all workers had theirs. */
export function roundRobin(workers: number, dpSize: number): Placement {
  let next = 0;
  return {
    place(_request, _prompt, { send }) {
      const turn = next++;
      send({ worker: turn % workers, dpRank: Math.floor(turn / workers) % dpSize, overlapTokens: 0 });
    },
    prefilled: () => {},
    ended: () => {},
    kvEvents: () => {},
    mayQueue: false,
    settled: () => Promise.resolve(),
  };
}
