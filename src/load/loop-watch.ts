import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { CancelTimer, Clock } from '../base/clock.ts';
import { ascending, percentileLinear } from '../math/percentile.ts';
import type { GeneratorHealth } from './record.ts';

const SAMPLE_EVERY_MS = 20;
const MAX_SAMPLES = 20_000;

/** Watches whether the generator itself keeps up: a late client measures itself, not the server. */
export class LoopWatch {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #utilization: EventLoopUtilization;
  readonly #cpu: NodeJS.CpuUsage;
  readonly #delays = new Float64Array(MAX_SAMPLES);
  #count = 0;
  #cancel: CancelTimer = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.nowMs();
    this.#utilization = performance.eventLoopUtilization();
    this.#cpu = process.cpuUsage();
    this.#sample();
  }

  stop(): GeneratorHealth {
    this.#cancel();
    const wallMs = Math.max(1, this.#clock.nowMs() - this.#startMs);
    const { user, system } = process.cpuUsage(this.#cpu);
    const sorted = ascending(this.#delays.subarray(0, Math.min(this.#count, MAX_SAMPLES)));
    return {
      loopDelayP50Ms: percentileLinear(sorted, 50) ?? 0,
      loopDelayP99Ms: percentileLinear(sorted, 99) ?? 0,
      loopDelayMaxMs: sorted.at(-1) ?? 0,
      loopUtilization: performance.eventLoopUtilization(this.#utilization).utilization,
      cpuShare: (user + system) / 1000 / wallMs,
    };
  }

  #sample(): void {
    const due = this.#clock.nowMs() + SAMPLE_EVERY_MS;
    this.#cancel = this.#clock.at(due, () => {
      // Old samples give way to new ones, so that a day's run stays bounded.
      this.#delays[this.#count++ % MAX_SAMPLES] = Math.max(0, this.#clock.nowMs() - due);
      this.#sample();
    });
  }
}
