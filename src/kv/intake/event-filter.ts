import type { BlockRemoved, BlockStored, EngineEvent } from '../../formats/kv-events/engine-event.ts';
import { tierOfMedium } from '../../formats/kv-events/medium-tier.ts';
import { type GroupRejection, MainGroups } from './main-groups.ts';

/** Why an engine's event says nothing about the prefixes that its worker holds. */
export type FilterRejection =
  | GroupRejection
  | 'unknown_medium'
  | 'non_local_locality'
  | 'unsupported_ownership';

/** Which of one rank's events are about blocks of prompts that the worker itself holds. */
export class EventFilter {
  readonly #groups = new MainGroups();

  /** Undefined when the event counts, else why not. */
  reject(event: EngineEvent): FilterRejection | undefined {
    return event.kind === 'cleared' ? rejectOwner(event.ownership) : this.#rejectBlocks(event);
  }

  #rejectBlocks(event: BlockStored | BlockRemoved): FilterRejection | undefined {
    const { groupIdx, locality, medium, ownership } = event;
    if (locality !== undefined && locality.toUpperCase() !== 'LOCAL') return 'non_local_locality';
    if (tierOfMedium(medium) === undefined) return 'unknown_medium';
    const kind = event.kind === 'stored' ? event.kvCacheSpecKind : undefined;
    return rejectOwner(ownership) ?? this.#groups.reject(groupIdx, kind);
  }
}

/** Blocks of a cache that several workers own are not one worker's to offer. */
export function rejectOwner(ownership: string | undefined): 'unsupported_ownership' | undefined {
  return ownership === undefined || ownership === '' || ownership === 'worker'
    ? undefined
    : 'unsupported_ownership';
}
