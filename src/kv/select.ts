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

/** How many workers each rule left out, in the order of the rules. */
export interface LeftOut {
  /** By the allow-list, as no replica of the adapter, or because they failed the request already. */
  readonly notAllowed: number;
  readonly inhibited: number;
  readonly withoutRank: number;
  readonly withoutTaints: number;
  readonly overloaded: number;
}

/** Counts for {@link LeftOut}; one is used for decision after decision. */
export class LeftOutCounts implements LeftOut {
  notAllowed = 0;
  inhibited = 0;
  withoutRank = 0;
  withoutTaints = 0;
  overloaded = 0;

  clear(): void {
    this.notAllowed = this.inhibited = this.withoutRank = this.withoutTaints = this.overloaded = 0;
  }

  /** Copied; undefined if nobody was left out. */
  told(): LeftOut | undefined {
    const { notAllowed, inhibited, withoutRank, withoutTaints, overloaded } = this;
    if (notAllowed + inhibited + withoutRank + withoutTaints + overloaded === 0) return undefined;
    return { notAllowed, inhibited, withoutRank, withoutTaints, overloaded };
  }
}

/**
 * Writes the ranks that may serve a request into `out`. Rules in order: allow-list (with LoRA replicas and
 * exclusions), not inhibited, rank in range, required taints, not overloaded. The same for every policy. Whom each
 * rule left out is counted in `leftOut`; a pin leaves out nobody but says why it fails.
 */
export function eligibleRanks(
  fleet: Fleet,
  busy: BusyMonitor,
  controls: RequestControls,
  loraName: string | undefined,
  out: FleetRank[],
  leftOut: LeftOutCounts,
): Refusal | undefined {
  out.length = 0;
  leftOut.clear();
  if (controls.workerId !== undefined)
    return pinnedRank(fleet, busy, controls, controls.workerId, loraName, out);
  const lora = loraName !== undefined && fleet.hasReplicas(loraName) ? loraName : undefined;
  for (const worker of fleet.workers()) {
    const ranks = ranksInRange(worker, controls.dpRank);
    if (!isAllowed(worker, controls, lora)) leftOut.notAllowed++;
    else if (worker.info.inhibited === true) leftOut.inhibited++;
    else if (ranks.length === 0) leftOut.withoutRank++;
    else if (!hasTaints(worker, controls.requiredTaints)) leftOut.withoutTaints++;
    else if (busy.isWorkerBusy(worker)) leftOut.overloaded++;
    else for (const rank of ranks) out.push(rank);
  }
  if (out.length > 0) return undefined;
  const { overloaded } = leftOut;
  if (overloaded > 0)
    return refuse('all_overloaded', `all ${overloaded} eligible workers are over their busy thresholds`);
  return refuse('no_workers', whatEmptied(fleet, controls, leftOut));
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
  if (controls.dpRank === undefined && worker.ranks.length > 1 && controls.anyRank !== true)
    return notAllowed(`has ${worker.ranks.length} data-parallel ranks: name the one`);
  const ranks = ranksInRange(worker, controls.dpRank);
  if (ranks.length === 0) return notAllowed(`has no data-parallel rank ${controls.dpRank}`);
  if (!hasTaints(worker, controls.requiredTaints)) return notAllowed('lacks a required taint');
  if (busy.isWorkerBusy(worker))
    return refuse('pinned_overloaded', `worker ${workerId} is over its busy thresholds`);
  out.push(...ranks);
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

/** Names the last rule that any worker came to. */
function whatEmptied(fleet: Fleet, controls: RequestControls, leftOut: LeftOut): string {
  if (fleet.size === 0) return 'none is registered';
  const { inhibited, withoutRank, withoutTaints } = leftOut;
  if (inhibited + withoutRank + withoutTaints === 0)
    return `none of ${fleet.size} is allowed for this request`;
  if (withoutRank + withoutTaints === 0) return 'none takes new requests';
  if (withoutTaints === 0) return `none has data-parallel rank ${controls.dpRank}`;
  return `none carries the taints ${controls.requiredTaints?.join(', ')}`;
}
