import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { PLANNER } from './names/planner.ts';
import type { Registry } from './registry.ts';

/** States of the last load decision; all are shown, the current one at 1. New ones go to the end. */
export const LOAD_DECISIONS = [
  'unset',
  'disabled',
  'no_fpm_data',
  'scaling_in_progress',
  'worker_count_mismatch',
  'insufficient_data',
  'no_change',
  'scale_up',
  'scale_down',
  'scale_down_capped_by_throughput',
  'scale_down_refused_consolidation',
  'override_by_user_plugin',
  'reconcile_clamped_to_floor',
  'reconcile_clamped_to_ceiling',
  'held_over',
  'rejected_by_plugin',
] as const;
export type LoadDecision = (typeof LOAD_DECISIONS)[number];

/** States of the last throughput decision. */
export const THROUGHPUT_DECISIONS = [
  'unset',
  'disabled',
  'no_traffic_data',
  'predict_failed',
  'model_not_ready',
  'set_lower_bound',
  'scale',
  'override_by_user_plugin',
  'held_over',
  'circuit_open',
  'rejected_by_plugin',
] as const;
export type ThroughputDecision = (typeof THROUGHPUT_DECISIONS)[number];

const {
  loadScalingDecision,
  throughputScalingDecision,
  engineQueuedPrefillTokens,
  engineQueuedDecodeKvTokens,
  engineInflightDecodeKvTokens,
  ...PLAIN
} = PLANNER;

export type PlannerGauge = keyof typeof PLAIN;

/** What the forward-pass metrics of one engine rank say is waiting and running. */
export interface EngineLoad {
  readonly workerId: string;
  readonly dpRank: number;
  readonly queuedPrefillTokens: number;
  readonly queuedDecodeKvTokens: number;
  readonly inflightDecodeKvTokens: number;
}

type EngineLabel = 'dp_rank' | 'worker_id';

/** `dynamo_planner_*`: what the planner sees, foresees and decides. Plain gauges start at zero. */
export class PlannerMetrics {
  readonly #plain: ReadonlyMap<PlannerGauge, Gauge>;
  readonly #load: ReadonlyMap<string, Gauge>;
  readonly #throughput: ReadonlyMap<string, Gauge>;
  readonly #queuedPrefill: Family<EngineLabel, Gauge>;
  readonly #queuedDecode: Family<EngineLabel, Gauge>;
  readonly #inflightDecode: Family<EngineLabel, Gauge>;

  constructor(service: Registry) {
    const names = Object.keys(PLAIN) as PlannerGauge[];
    this.#plain = new Map(names.map((name) => [name, service.gauge(PLAIN[name]).with()]));
    const load = service.gauge(loadScalingDecision);
    const throughput = service.gauge(throughputScalingDecision);
    this.#load = new Map(
      LOAD_DECISIONS.map((state) => [state, load.with({ dynamo_planner_load_scaling_decision: state })]),
    );
    this.#throughput = new Map(
      THROUGHPUT_DECISIONS.map((state) => [
        state,
        throughput.with({ dynamo_planner_throughput_scaling_decision: state }),
      ]),
    );
    this.#queuedPrefill = service.gauge(engineQueuedPrefillTokens);
    this.#queuedDecode = service.gauge(engineQueuedDecodeKvTokens);
    this.#inflightDecode = service.gauge(engineInflightDecodeKvTokens);
    this.setLoadDecision('unset');
    this.setThroughputDecision('unset');
  }

  /** Sets the given gauges, units as their names say; the others keep their last values. */
  set(values: Partial<Readonly<Record<PlannerGauge, number>>>): void {
    for (const [name, value] of Object.entries(values)) this.#plain.get(name as PlannerGauge)?.set(value);
  }

  /** Adds the GPU hours of a tick. */
  addGpuHours(hours: number): void {
    this.#plain.get('gpuHours')?.add(hours);
  }

  setLoadDecision(decision: LoadDecision): void {
    for (const [state, gauge] of this.#load) gauge.set(state === decision ? 1 : 0);
  }

  setThroughputDecision(decision: ThroughputDecision): void {
    for (const [state, gauge] of this.#throughput) gauge.set(state === decision ? 1 : 0);
  }

  /** Replaces the loads of all engines, so that those that left vanish. */
  setEngineLoads(loads: readonly EngineLoad[]): void {
    for (const family of [this.#queuedPrefill, this.#queuedDecode, this.#inflightDecode]) family.clear();
    for (const load of loads) {
      const labels = { worker_id: load.workerId, dp_rank: String(load.dpRank) };
      this.#queuedPrefill.with(labels).set(load.queuedPrefillTokens);
      this.#queuedDecode.with(labels).set(load.queuedDecodeKvTokens);
      this.#inflightDecode.with(labels).set(load.inflightDecodeKvTokens);
    }
  }
}
