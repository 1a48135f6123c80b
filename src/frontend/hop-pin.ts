import type { Fleet } from '../kv/fleet.ts';
import type { ClientControls } from './request-controls.ts';

/** Where a client wants one hop of its request. */
export interface HopPin {
  readonly workerId: string | undefined;
  readonly dpRank: number | undefined;
}

/**
 * The pin of a hop, given the workers of its pool and of the other hop's, if there is one. `backend_instance_id` says
 * nothing of the hop: where the other pool has the worker and this one does not, it is not meant for this one, nor is
 * a rank that only workers there have.
 */
export function pinOf(
  phase: 'prefill' | 'decode' | 'aggregated',
  controls: ClientControls,
  own: Fleet,
  other: Fleet | undefined,
): HopPin {
  const { backendWorkerId: backend, decodeWorkerId, prefillWorkerId, prefillDpRank } = controls;
  const isPrefill = phase === 'prefill';
  const isElsewhere =
    backend !== undefined && own.worker(backend) === undefined && other?.worker(backend) !== undefined;
  const workerId = (isPrefill ? prefillWorkerId : decodeWorkerId) ?? (isElsewhere ? undefined : backend);
  if (isPrefill && prefillDpRank !== undefined) return { workerId, dpRank: prefillDpRank };
  const isOthersRank = workerId === undefined && (isElsewhere || (isPrefill && decodeWorkerId !== undefined));
  const dpRank = isOthersRank && !hasRank(own, controls.dpRank) ? undefined : controls.dpRank;
  return { workerId, dpRank };
}

function hasRank(fleet: Fleet, dpRank: number | undefined): boolean {
  return [...fleet.workers()].some(({ ranks }) => ranks.some(({ key }) => key.dpRank === dpRank));
}
