import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { deviceAwareWeightedPolicy } from './device-aware-weighted.ts';
import { directPolicy } from './direct.ts';
import { kvPolicy } from './kv.ts';
import { kvPolicy1x0 } from './kv-1-0.ts';
import { leastLoadedPolicy } from './least-loaded.ts';
import type { Policy } from './policy.ts';
import { powerOfTwoPolicy } from './power-of-two.ts';
import { randomPolicy } from './random.ts';
import { roundRobinPolicy } from './round-robin.ts';
import { thompsonPolicy } from './thompson.ts';
import { KVASIR_THOMPSON, REFERENCE_THOMPSON, type ThompsonParameters } from './thompson-parameters.ts';

export interface PolicyParts {
  readonly blockSize: number;
  readonly random: Random;
  readonly acceleratorToCpuRatio?: number;
  readonly clock?: Clock;
  readonly thompson?: Partial<ThompsonParameters>;
}

const MAKERS = {
  kv: ({ blockSize, random }: PolicyParts) => kvPolicy(blockSize, random),
  'kv-1.0': ({ blockSize, random }: PolicyParts) => kvPolicy1x0(blockSize, random),
  'round-robin': () => roundRobinPolicy(),
  random: ({ random }: PolicyParts) => randomPolicy(random),
  direct: () => directPolicy(),
  'power-of-two': ({ random }: PolicyParts) => powerOfTwoPolicy(random),
  'least-loaded': ({ random }: PolicyParts) => leastLoadedPolicy(random),
  'device-aware-weighted': ({ random, acceleratorToCpuRatio }: PolicyParts) =>
    deviceAwareWeightedPolicy(random, acceleratorToCpuRatio),
  thompson: (parts: PolicyParts) =>
    thompsonPolicy('thompson', { ...KVASIR_THOMPSON, ...parts.thompson }, parts),
  'thompson-reference': (parts: PolicyParts) =>
    thompsonPolicy('thompson-reference', { ...REFERENCE_THOMPSON, ...parts.thompson }, parts),
};

export type PolicyName = keyof typeof MAKERS;

export const POLICY_NAMES = Object.keys(MAKERS) as readonly PolicyName[];

export function makePolicy(name: PolicyName, parts: PolicyParts): Policy {
  return MAKERS[name](parts);
}
