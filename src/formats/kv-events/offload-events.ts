import { DIALECTS, type Dialect, type DialectName } from './dialects.ts';
import type { BlockRemoved, BlockStored, EngineEvent } from './engine-event.ts';
import { tierOfMedium } from './medium-tier.ts';

const NO_TOKENS = new Uint32Array(0);

/** Whether an event is of a tier below the device. */
export function isBelowDevice(event: EngineEvent): event is BlockStored | BlockRemoved {
  return event.kind !== 'cleared' && tierOfMedium(event.medium) !== 'device';
}

/**
 * An event as far as a version of an engine can tell it: in tiers below the device some name each block by its hash
 * alone, some tell nothing.
 */
export function toldEvents(event: EngineEvent, dialect: DialectName): readonly EngineEvent[] {
  const { offloads }: Dialect = DIALECTS[dialect];
  if (offloads === 'described' || !isBelowDevice(event)) return [event];
  if (offloads === undefined) return [];
  return event.kind === 'removed' ? [event] : namedOnly(event);
}

function namedOnly({ blockHashes, medium, groupIdx }: BlockStored): readonly BlockStored[] {
  return Array.from(blockHashes, (hash) => ({
    kind: 'stored',
    blockHashes: BigUint64Array.of(hash),
    parentHash: undefined,
    tokenIds: NO_TOKENS,
    blockSize: 0,
    ...(medium !== undefined && { medium }),
    ...(groupIdx !== undefined && { groupIdx }),
  }));
}
