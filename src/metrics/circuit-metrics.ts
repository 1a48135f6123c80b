import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { CIRCUITS } from './names/kvasir.ts';
import type { ProcessMetrics } from './process-metrics.ts';

const STATES = ['closed', 'half_open', 'open'] as const;
type CircuitState = (typeof STATES)[number];

/** Which workers are left out because they failed too often. */
export class CircuitMetrics {
  readonly #state: Family<'worker' | 'state', Gauge>;
  readonly #changes: Family<'state', Counter>;

  constructor({ service }: ProcessMetrics) {
    this.#state = service.gauge(CIRCUITS.state);
    this.#changes = service.counter(CIRCUITS.changesTotal);
    for (const state of STATES) this.#changes.with({ state });
  }

  /** `undefined`: the worker left. */
  changed(worker: string, state: CircuitState | undefined): void {
    if (state === undefined) return void this.#state.removeWhere({ worker });
    this.#changes.with({ state }).inc();
    for (const each of STATES) this.#state.with({ worker, state: each }).set(each === state ? 1 : 0);
  }
}
