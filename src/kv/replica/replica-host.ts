import type { Clock } from '../../base/clock.ts';
import type { WorkerKey } from '../event.ts';
import type { ActiveSequences } from '../sequences/active-sequences.ts';

/** What the router behind it provides. */
export interface ReplicaHost {
  readonly clock: Clock;
  readonly sequences: ActiveSequences;
  readonly rankOf: (key: WorkerKey) => number | undefined;
  readonly keyOf: (rank: number) => WorkerKey | undefined;
}
