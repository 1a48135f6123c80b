import type { BusyMonitor } from './busy.ts';
import type { Fleet, FleetRank, FleetWorker } from './fleet.ts';
import type { RequestControls } from './route-request.ts';

/** Why a request has no place; expected, hence a value and not an error. */
export type RefusalOutcome =
  /** None is registered, or all were filtered away. */
  | 'no_workers'
  | 'all_overloaded'
  | 'pinned_overloaded'
  | 'pin_not_allowed'
  /** The `direct` mode was not told the worker. */
  | 'worker_required'
  | 'queue_full'
  /** A request of that id is active. */
  | 'duplicate';

export interface Refusal {
  readonly kind: 'refused';
  readonly outcome: RefusalOutcome;
  readonly reason: string;
}

export function refuse(outcome: RefusalOutcome, reason: string): Refusal {
  return { kind: 'refused', outcome, reason };
}

/** How many workers each rule let through, to say what emptied the list. */
interface Passed {
  allowed: number;
  active: number;
  inRange: number;
  tainted: number;
}

/**
 * Writes the ranks that may serve a request into `out`. Rules in order: allow-list (with LoRA replicas and
 * exclusions), not inhibited, rank in range, required taints, not overloaded. The same for every policy.
 */
export function eligibleRanks(
  fleet: Fleet,
  busy: BusyMonitor,
  controls: RequestControls,
  loraName: string | undefined,
  out: FleetRank[],
): Refusal | undefined {
  out.length = 0;
  if (controls.workerId !== undefined)
    return pinnedRank(fleet, busy, controls, controls.workerId, loraName, out);
  const lora = loraName !== undefined && fleet.hasReplicas(loraName) ? loraName : undefined;
  const passed: Passed = { allowed: 0, active: 0, inRange: 0, tainted: 0 };
  for (const worker of fleet.workers()) {
    if (!isAllowed(worker, controls, lora)) continue;
    passed.allowed++;
    if (worker.info.inhibited === true) continue;
    passed.active++;
    const ranks = ranksInRange(worker, controls.dpRank);
    if (ranks.length === 0) continue;
    passed.inRange++;
    if (!hasTaints(worker, controls.requiredTaints)) continue;
    passed.tainted++;
    if (busy.isWorkerBusy(worker)) continue;
    for (const rank of ranks) out.push(rank);
  }
  if (out.length > 0) return undefined;
  if (passed.tainted > 0)
    return refuse('all_overloaded', `all ${passed.tainted} eligible workers are over their busy thresholds`);
  return refuse('no_workers', whatEmptied(fleet, controls, passed));
}

function pinnedRank(
  fleet: Fleet,
  busy: BusyMonitor,
  controls: RequestControls,
  workerId: string,
  loraName: string | undefined,
  out: FleetRank[],
): Refusal | undefined {
  const notAllowed = (reason: string): Refusal => refuse('pin_not_allowed', `worker ${workerId} ${reason}`);
  const worker = fleet.worker(workerId);
  if (worker === undefined) return notAllowed('is not known');
  const lora = loraName !== undefined && fleet.hasReplicas(loraName) ? loraName : undefined;
  if (!isAllowed(worker, controls, lora)) return notAllowed('is not among those allowed for this request');
  if (worker.info.inhibited === true) return notAllowed('takes no new requests');
  if (controls.dpRank === undefined && worker.ranks.length > 1)
    return notAllowed(`has ${worker.ranks.length} data-parallel ranks: name the one`);
  const [rank] = ranksInRange(worker, controls.dpRank);
  if (rank === undefined) return notAllowed(`has no data-parallel rank ${controls.dpRank}`);
  if (!hasTaints(worker, controls.requiredTaints)) return notAllowed('lacks a required taint');
  if (busy.isWorkerBusy(worker))
    return refuse('pinned_overloaded', `worker ${workerId} is over its busy thresholds`);
  out.push(rank);
  return undefined;
}

function isAllowed({ info }: FleetWorker, controls: RequestControls, lora: string | undefined): boolean {
  const { allowedWorkers, excludedWorkers } = controls;
  if (allowedWorkers !== undefined && !allowedWorkers.has(info.workerId)) return false;
  if (excludedWorkers?.has(info.workerId) === true) return false;
  return lora === undefined || info.loras?.includes(lora) === true;
}

function ranksInRange(worker: FleetWorker, dpRank: number | undefined): readonly FleetRank[] {
  return dpRank === undefined ? worker.ranks : worker.ranks.filter(({ key }) => key.dpRank === dpRank);
}

function hasTaints({ info }: FleetWorker, required: readonly string[] | undefined): boolean {
  return required === undefined || required.every((taint) => info.taints?.includes(taint) === true);
}

/** Sum of the weights of preferred taints that the worker carries. */
export function preferredTaintWeight({ info }: FleetWorker, preferred: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const taint of info.taints ?? []) sum += preferred.get(taint) ?? 0;
  return sum;
}

function whatEmptied(fleet: Fleet, controls: RequestControls, passed: Passed): string {
  if (fleet.size === 0) return 'none is registered';
  if (passed.allowed === 0) return `none of ${fleet.size} is allowed for this request`;
  if (passed.active === 0) return 'none takes new requests';
  if (passed.inRange === 0) return `none has data-parallel rank ${controls.dpRank}`;
  return `none carries the taints ${controls.requiredTaints?.join(', ')}`;
}
