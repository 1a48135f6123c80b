import type { PromptNamespace } from '../kv/hash.ts';
import type { RankEvent } from './pass.ts';

/** What a rank knows of one visible block. */
export interface HeldBlock {
  readonly blockHash: bigint;
  readonly localHash: bigint;
  readonly parentHash: bigint | undefined;
  readonly tokenIds: Uint32Array | undefined;
  readonly namespace?: PromptNamespace | undefined;
}

/**
 * Held blocks as stored events, parents before children, consecutive blocks of one chain in one event. The
 * events carry no numbers of their own: all get `id`, that of the newest event they stand for.
 */
export function storedEvents(blocks: Iterable<HeldBlock>, id: number): readonly RankEvent[] {
  const children = new Map<bigint | undefined, HeldBlock[]>();
  for (const block of blocks) {
    const siblings = children.get(block.parentHash);
    if (siblings === undefined) children.set(block.parentHash, [block]);
    else siblings.push(block);
  }
  const events: RankEvent[] = [];
  const starts = [...(children.get(undefined) ?? [])].reverse();
  for (let start = starts.pop(); start !== undefined; start = starts.pop()) {
    const run: HeldBlock[] = [];
    for (let block: HeldBlock | undefined = start; block !== undefined; ) {
      run.push(block);
      const [first, ...others]: HeldBlock[] = children.get(block.blockHash) ?? [];
      starts.push(...others);
      block = first;
    }
    events.push(storedEvent(run, id));
  }
  return events;
}

function storedEvent(run: readonly HeldBlock[], id: number): RankEvent {
  const { namespace } = run[0]!;
  const withTokens = run.every(({ tokenIds }) => tokenIds !== undefined);
  return {
    id,
    event: {
      kind: 'stored',
      parentHash: run[0]!.parentHash,
      blockHashes: BigUint64Array.from(run, ({ blockHash }) => blockHash),
      localHashes: BigUint64Array.from(run, ({ localHash }) => localHash),
    },
    tokenIds: withTokens ? Uint32Array.from(run.flatMap(({ tokenIds }) => [...tokenIds!])) : undefined,
    ...(namespace && { namespace }),
  };
}
