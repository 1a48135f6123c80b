import { LinearModel } from './thompson-linear.ts';

/** What a request meets at the worker that takes it. */
export interface JobLoad {
  /** Prompt tokens to compute before the answer: those that wait there and its own. */
  readonly prefillTokens: number;
  /** KV blocks in decode, its own included. */
  readonly decodeBlocks: number;
}

export const FLEET_SIZE = 4;
// The prior weighs a hundredth of a request, so that few teach the level.
const LAMBDA = 0.01;
const FORGET_RATE = 0.998;
/** Outcomes before which nothing is known. */
const LEAST_LESSONS = 8;
const LEAST_LATENCY_MS = 1e-3;
const SLOWNESS_ALPHA = 0.05;

/** A worker as far as the fleet's latency goes. */
export interface FleetMember {
  /** Logarithm of what it takes against what the fleet would at the same job. */
  slowness: number;
}

/**
 * What a request usually takes in this fleet, given its size and the load that it meets: a regression of log latency
 * over all workers. A worker is slow if it takes longer than that, not if it was given more to do; so each outcome is
 * cleared of its worker's slowness before it is learned (backfitting), or a slow worker's few requests would make
 * small loads look slow.
 */
export class FleetLatency {
  readonly model = new LinearModel(FLEET_SIZE, LAMBDA, FORGET_RATE);
  lessons = 0;

  /** Undefined while too little is known. */
  expectMs(load: JobLoad, outputTokens: number): number | undefined {
    if (this.lessons < LEAST_LESSONS) return undefined;
    return Math.exp(this.model.predict(shapeOf(load, outputTokens)).mean);
  }

  learn(worker: FleetMember, load: JobLoad, outputTokens: number, latencyMs: number): void {
    const x = shapeOf(load, outputTokens);
    const logMs = Math.log(Math.max(LEAST_LATENCY_MS, latencyMs));
    if (this.lessons >= LEAST_LESSONS) {
      const above = logMs - this.model.predict(x).mean;
      worker.slowness += SLOWNESS_ALPHA * (above - worker.slowness);
    }
    this.lessons++;
    this.model.learn(x, logMs - worker.slowness);
  }
}

function shapeOf({ prefillTokens, decodeBlocks }: JobLoad, outputTokens: number): Float64Array {
  return Float64Array.of(1, Math.log1p(prefillTokens), Math.log1p(decodeBlocks), Math.log1p(outputTokens));
}
