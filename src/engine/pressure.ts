import type { PressureRecord, PressureState } from './pass.ts';
import type { Sequence } from './sequence.ts';

export interface Pressure {
  readonly kind: PressureRecord['kind'];
  readonly victim: Sequence;
  readonly requiredBlocks: number;
  readonly availableBlocks: number;
  readonly state: () => PressureState;
}

/** Lets `giveWay` take the victim's blocks, and records the rank's state before and after. */
export function underPressure(
  { kind, victim, requiredBlocks, availableBlocks, state }: Pressure,
  giveWay: () => void,
): PressureRecord {
  const before = state();
  const requestActiveBlocksBefore = victim.slots.length;
  giveWay();
  return {
    kind,
    sequence: victim,
    before,
    after: state(),
    requestActiveBlocksBefore,
    logicalAvailableBlocksBefore: availableBlocks,
    requiredBlocksBefore: requiredBlocks,
  };
}
